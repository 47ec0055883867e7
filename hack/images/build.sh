#!/usr/bin/env bash
# Makes the images of the product's programs, from scratch: hack/images/build.sh [PROGRAM...]
#
# Reads build/surgetank-controller and build/surgetank-sidecar (or each PROGRAM, a path) and writes
# build/images/<program>.tar. An image has the stripped program, the shared libraries it needs, the
# certificate authorities and a user that is not root, and nothing else: no shell, no package manager.
# Names are ${IMAGE_PREFIX:-surgetank.dev}/<program>:${IMAGE_TAG:-dev}. Needs no root and no daemon.
set -euo pipefail
case "${1:-}" in -h | --help) awk 'NR == 1 { next } /^#/ { sub(/^# ?/, ""); print; next } { exit }' "$0"; exit 0 ;; esac
here=$(cd "$(dirname "$0")" && pwd)
build=${BUILD:-$here/../../build}
prefix=${IMAGE_PREFIX:-surgetank.dev} tag=${IMAGE_TAG:-dev}
limit=$((30 * 1000 * 1000))
[ $# -gt 0 ] || set -- "$build/surgetank-controller" "$build/surgetank-sidecar"

libraries() { # of a program, with the loader: the paths that ldd prints
    ldd "$1" | awk '$2 == "=>" && $3 ~ /^\// {print $3} $1 ~ /^\// {print $1} /not found/ {print "missing:" $1}'
}

fill() { # ROOT PROGRAM
    local root=$1 program=$2 library
    mkdir -p "$root"/{etc/ssl/certs,usr/local/bin,usr/lib/ssl,tmp,var/lib}
    ln -s usr/lib "$root/lib"
    ln -s usr/lib64 "$root/lib64"
    mkdir -p "$root/usr/lib64"
    chmod 755 "$root"
    chmod 1777 "$root/tmp"
    strip -o "$root/usr/local/bin/$(basename "$program")" "$program"
    chmod 755 "$root/usr/local/bin/$(basename "$program")"
    for library in $(libraries "$program"); do
        case $library in missing:*) echo "$program needs ${library#missing:}, which is not installed" >&2; return 1 ;; esac
        # /lib is a link to /usr/lib in the image as on Debian, so either spelling ends in one place
        install -D -m 755 "$library" "$root/usr/${library#/usr}"
    done
    install -m 644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    ln -s /etc/ssl/certs/ca-certificates.crt "$root/usr/lib/ssl/cert.pem"
    ln -s /etc/ssl/certs "$root/usr/lib/ssl/certs"
    echo 'root:x:0:0:root:/:/sbin/nologin
nonroot:x:65532:65532:nonroot:/:/sbin/nologin' >"$root/etc/passwd"
    echo 'root:x:0:
nonroot:x:65532:' >"$root/etc/group"
    echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
}

for program; do
    name=$(basename "$program")
    [ -x "$program" ] || { echo "images: $program does not exist; run make first" >&2; exit 1; }
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    fill "$work" "$program"
    config=$(jq -cn --arg entry "/usr/local/bin/$name" \
        '{Entrypoint: [$entry], User: "65532:65532", WorkingDir: "/", Env: ["PATH=/usr/local/bin"]}')
    out=$build/images/$name.tar
    "$here/archive.sh" "$work" "$prefix/$name:$tag" "$out" "$config"
    rm -rf "$work"
    size=$(stat -c %s "$out")
    printf 'image %-40s %5.1f MB\n' "$prefix/$name:$tag" "$(jq -n "$size / 1000000")"
    [ "$size" -le $limit ] || { echo "images: $name is larger than 30 MB" >&2; exit 1; }
done
