#!/usr/bin/env bash
# Makes the bed's own two images in DIR: hack/bed/lib/own-images.sh DIR
# pause, which every pod needs, and busybox, for the test applications (a shell, wget, nc, httpd).
set -euo pipefail
dir=$1
here=$(cd "$(dirname "$0")" && pwd)
archive=$here/../../images/archive.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/pause"
gcc -Os -static -s -o "$work/pause/pause" "$here/pause.c"
"$archive" "$work/pause" bed.surgetank.dev/pause:1 "$dir/pause.tar" '{"Entrypoint": ["/pause"]}'

mkdir -p "$work/busybox"/{bin,etc,tmp}
chmod 1777 "$work/busybox/tmp"
install -m 755 "$(command -v busybox)" "$work/busybox/bin/busybox"
for applet in $("$work/busybox/bin/busybox" --list); do
    [ "$applet" = busybox ] || ln -s busybox "$work/busybox/bin/$applet"
done
"$archive" "$work/busybox" bed.surgetank.dev/busybox:1 "$dir/busybox.tar" '{"Cmd": ["sh"], "Env": ["PATH=/bin"]}'
