#!/usr/bin/env bash
# Installs the Debian packages that are missing: hack/deps/apt.sh [build] [checks] [bed]
#
#   build    compiler and libraries of the programs; npm, patch and g++ for the pinned librdkafka
#   checks   clang, clang-tidy, clang-format, shellcheck, cmocka, h2load
#   bed      containerd, runc and the rest of what the test bed runs on
#
# Nothing of it runs as a service, now or after a boot: see keep_services_still.
#
# Without an argument: all three. Does nothing when nothing is missing; else it needs root or sudo. Go, a
# JDK, Maven and Python are expected to be there and are only looked for: they are often not Debian's.
set -euo pipefail
case "${1:-}" in -h | --help) awk 'NR == 1 { next } /^#/ { sub(/^# ?/, ""); print; next } { exit }' "$0"; exit 0 ;; esac
[ $# -gt 0 ] || set -- build checks bed

fail() {
    echo "apt.sh: $*" >&2
    exit 1
}

packages_of() {
    case $1 in
    build)
        echo gcc g++ libc6-dev make patch ca-certificates libwebsockets-dev libnghttp2-dev libhttp-parser-dev \
            libcurl4-openssl-dev libcjson-dev libyaml-dev libpcre2-dev libssl-dev libzstd-dev zlib1g-dev libxxhash-dev
        command -v npm >/dev/null || echo npm
        ;;
    checks) echo git libcmocka-dev clang-14 libclang-rt-14-dev clang-tidy-14 clang-format-14 shellcheck nghttp2-client ;;
    bed)
        echo containerd runc containernetworking-plugins iptables conntrack iproute2 procps kmod util-linux \
            busybox-static openssl jq curl haproxy binutils gcc libc6-dev
        python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
        ;;
    *) fail "unknown group '$1'; see --help" ;;
    esac
}

tools_of() { # command and what it is, for what is not installed here
    [ "$1" = bed ] && printf '%s\n' "go:Go 1.24 or newer" "java:a JDK, 17 or newer" "mvn:Maven" "python3:Python 3.9 or newer"
    return 0
}

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing=()
for group; do
    packages=$(packages_of "$group")
    for package in $packages; do
        is_installed "$package" || [[ " ${missing[*]} " == *" $package "* ]] || missing+=("$package")
    done
done

# Debian runs what some packages bring, as soon as they are installed and at each boot. The bed has its own
# haproxy and containerd, in its own namespaces; whoever tries the demo has asked for no proxy that listens and
# no runtime that keeps running, and stopping them afterwards would be late. So they are not started: whatever
# starts services for a package asks policy-rc.d first. Ours names only these, for others may have to be
# restarted by the same run of apt-get, and asks the one that was there about those. That is back when this
# script ends, however it ends; after a kill -9 the next run that installs something sees to it.
services=() # of the packages that are about to be installed
policy=/usr/sbin/policy-rc.d
theirs=$policy.before-surgetank
as_root=()

put_policy_back() {
    if grep -qs '^# Surgetank: ' "$policy"; then "${as_root[@]}" rm -f "$policy"; fi
    if [ -e "$theirs" ] || [ -L "$theirs" ]; then "${as_root[@]}" mv -f "$theirs" "$policy"; fi
}

print_policy() {
    local names
    names=$(printf ' | %s' "${services[@]}" "${services[@]/%/.service}")
    cat <<END
#!/bin/sh
# Surgetank: here for the time of an installation by hack/deps/apt.sh
for word; do
    case \$word in ${names# | }) exit 101 ;; esac
done
[ ! -x $theirs ] || exec $theirs "\$@"
exit 0
END
}

keep_services_still() {
    local service made
    for service in haproxy containerd; do
        if [[ " ${missing[*]} " == *" $service "* ]]; then services+=("$service"); fi
    done
    [ ${#services[@]} -gt 0 ] || return 0
    put_policy_back
    trap settle_services EXIT
    made=$(mktemp)
    print_policy >"$made"
    if [ -e "$policy" ] || [ -L "$policy" ]; then "${as_root[@]}" mv "$policy" "$theirs"; fi
    "${as_root[@]}" install -m 755 "$made" "$policy"
    rm -f "$made"
}

# Also where the installation failed, or was interrupted: apt-get, in the background, goes on to its end then.
settle_services() {
    local service
    trap - EXIT
    wait
    for service in "${services[@]}"; do
        is_installed "$service" || continue
        if [ -e "/etc/init.d/$service" ]; then "${as_root[@]}" update-rc.d "$service" disable >/dev/null || true; fi
        ! command -v systemctl >/dev/null || "${as_root[@]}" systemctl disable --quiet "$service.service" ||
            echo "apt.sh: $service will run after the next boot: systemctl disable $service" >&2
    done
    put_policy_back
}

install_missing() {
    local log begun=$SECONDS said=0 pid
    command -v apt-get >/dev/null || fail "this is not a Debian system; install by hand: ${missing[*]}"
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || fail "missing: ${missing[*]}; run this as root, or install sudo"
        as_root=(sudo)
        sudo -v || fail "missing: ${missing[*]}; sudo did not let us install them"
    fi
    keep_services_still
    log=$(mktemp)
    echo "packages: installing ${missing[*]}"
    (
        "${as_root[@]}" apt-get update -qq
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
    ) >"$log" 2>&1 &
    pid=$!
    while kill -0 $pid 2>/dev/null; do
        sleep 0.2
        if [ $(((SECONDS - begun) / 5)) -gt $said ]; then
            said=$(((SECONDS - begun) / 5))
            echo "packages: $((SECONDS - begun)) s, at: $(tail -n 1 "$log" | cut -c1-80)"
        fi
    done
    wait $pid || { tail -n 20 "$log" >&2; fail "apt-get could not install them; the log is $log"; }
    rm -f "$log"
    settle_services
    echo "packages: installed ${#missing[@]} in $((SECONDS - begun)) s"
}

[ ${#missing[@]} = 0 ] || install_missing

absent=()
for group; do
    while IFS=: read -r tool what; do
        command -v "$tool" >/dev/null || absent+=("$what ('$tool')")
    done < <(tools_of "$group")
done
[ ${#absent[@]} = 0 ] || fail "not found: $(IFS=';'; echo "${absent[*]}"). Install them and run this again."
