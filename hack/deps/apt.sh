#!/usr/bin/env bash
# Installs the Debian packages that are missing: hack/deps/apt.sh [build] [checks] [bed]
#
#   build    compiler and libraries of the programs; npm, patch and g++ for the pinned librdkafka
#   checks   clang, clang-tidy, clang-format, shellcheck, cmocka, h2load
#   bed      containerd, runc and the rest of what the test bed runs on
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

install_missing() {
    local as_root=() log begun=$SECONDS said=0 pid
    command -v apt-get >/dev/null || fail "this is not a Debian system; install by hand: ${missing[*]}"
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || fail "missing: ${missing[*]}; run this as root, or install sudo"
        as_root=(sudo)
        sudo -v || fail "missing: ${missing[*]}; sudo did not let us install them"
    fi
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
    # Debian starts it as a service; the bed runs its own, in its own namespaces
    if [[ " ${missing[*]} " == *" containerd "* && -d /run/systemd/system ]]; then
        "${as_root[@]}" systemctl disable --quiet --now containerd.service
    fi
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
