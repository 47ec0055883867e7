# shellcheck shell=bash disable=SC2034
# What every script of the bed shares: where things are, how progress is printed, how a part of the bed
# is entered. Sourced, never run.
set -euo pipefail

bed_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
checkout=$(cd "$bed_dir/../.." && pwd)
cache=${SURGETANK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/surgetank}
parts_dir=$cache/bed/parts
export SURGETANK_CACHE=$cache

# Several beds can be up at once: SURGETANK_BED names another than the usual one.
[[ "${SURGETANK_BED:-}" =~ ^[a-z0-9-]*$ ]] || { echo "SURGETANK_BED: only a-z, 0-9 and -" >&2; exit 1; }
run=$cache/bed/run${SURGETANK_BED:+-$SURGETANK_BED}
lock=$run.lock

# Addresses inside the bed; nothing outside its network namespace can reach them.
node_ip=10.199.0.1
service_cidr=10.96.0.0/16
pod_cidr=10.244.0.0/16
dns_ip=10.96.0.10
cgroup=surgetank-bed-$(sha256sum <<<"$run" | cut -c1-8)

started=${BED_STARTED:-$(date +%s%N)}
export BED_STARTED=$started

elapsed() { # seconds since the script began, with one decimal
    local tenths=$((($(date +%s%N) - started) / 100000000))
    printf '%d.%d' $((tenths / 10)) $((tenths % 10))
}

step() { printf '%7s s  %s\n' "$(elapsed)" "$*"; }

die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# --help prints the script's own first paragraph: the comment lines below the first line.
help_asked() {
    case "${1:-}" in
    -h | --help)
        awk 'NR == 1 { next } /^#/ { sub(/^# ?/, ""); print; next } { exit }' "$0"
        exit 0
        ;;
    esac
}

need_root() { # re-runs the script as root, with the same cache
    [ "$(id -u)" = 0 ] && return
    command -v sudo >/dev/null || die "needs root (namespaces and mounts); run it as root or install sudo"
    exec sudo --preserve-env=SURGETANK_CACHE,SURGETANK_BED,PATH "$0" "$@"
}

need_commands() { # NAME...
    local missing=()
    for name; do
        PATH=$PATH:/usr/sbin:/sbin command -v "$name" >/dev/null || missing+=("$name")
    done
    [ ${#missing[@]} = 0 ] || die "not installed: ${missing[*]}; run hack/deps/apt.sh"
}

# ---- parts built into the cache

recipe_version() { (
    cd "$bed_dir/recipes/$1"
    # shellcheck source=/dev/null
    . ./recipe.sh
    echo "$version"
); }

# Where a built part lives: its version and a hash of its recipe name it, so that a changed recipe is
# built anew and an old checkout still finds what it built.
part_path() {
    local recipe=$bed_dir/recipes/$1 hash
    [ -f "$recipe/recipe.sh" ] || die "no recipe for '$1'; see hack/bed/build --list"
    hash=$(cd "$recipe" && find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c1-10)
    echo "$parts_dir/$1-$(recipe_version "$1")-$hash"
}

# ---- the running bed

init_pid() { # of the bed's first process; fails when no bed runs
    local pid
    pid=$(cat "$run/init.pid" 2>/dev/null) || return 1
    [ -n "$pid" ] && grep -qa "$run" "/proc/$pid/cmdline" 2>/dev/null && echo "$pid"
}

need_bed() {
    init_pid >/dev/null || die "no bed is running; start one with hack/bed/up"
}

inside() { # CMD...: in the bed's network, mount and process namespaces, as its own processes are
    nsenter -t "$(init_pid)" -n -m -p -- "$@"
}

kubectl() {
    nsenter -t "$(init_pid)" -n -- "$run/bin/kubectl" --kubeconfig "$run/pki/admin.kubeconfig" "$@"
}

# wait_until WHAT SECONDS CMD...: polls; says so when done, and every five seconds while it is not. On a very slow
# machine BED_PATIENCE=N makes every limit N times as long.
wait_until() {
    local what=$1 limit=$(($2 * ${BED_PATIENCE:-1})) begun=$SECONDS said=0
    shift 2
    until "$@" >/dev/null 2>&1; do
        local waited=$((SECONDS - begun))
        [ "$waited" -lt "$limit" ] || { step "$what: NOT within $limit s"; return 1; }
        if [ $((waited / 5)) -gt "$said" ]; then
            said=$((waited / 5))
            step "... waiting for: $what"
        fi
        sleep 0.1
    done
    step "$what"
}
