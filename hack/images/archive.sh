#!/usr/bin/env bash
# Writes a directory as a one-layer image archive, with no daemon and no builder:
#   hack/images/archive.sh ROOT NAME:TAG OUT.tar [CONFIG]
#
# CONFIG is the image's "config" object as JSON (Entrypoint, User, ...). The format is docker-archive: a tar of
# the layer's tar, the configuration, and manifest.json, each file named by its checksum. The same ROOT
# gives the same bytes: order, owners and times are fixed.
set -euo pipefail
case "${1:-}" in -h | --help | "") awk 'NR == 1 { next } /^#/ { sub(/^# ?/, ""); print; next } { exit }' "$0"; exit 0 ;; esac
root=$1 name=$2 out=$3 config=${4:-"{}"}
command -v jq >/dev/null || { echo "archive.sh: jq is not installed; run hack/deps/apt.sh" >&2; exit 1; }

same=(--sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu)
sum() { sha256sum "$1" | cut -d' ' -f1; }

mkdir -p "$(dirname "$out")"
work=$(mktemp -d "$(dirname "$out")/.archive.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/image"
tar "${same[@]}" -C "$root" -cf "$work/layer.tar" .
layer=$(sum "$work/layer.tar")
mv "$work/layer.tar" "$work/image/$layer.tar"
jq -cn --argjson config "$config" --arg layer "sha256:$layer" --arg arch "$(dpkg --print-architecture)" '{
    architecture: $arch, os: "linux", created: "1970-01-01T00:00:00Z", config: $config,
    rootfs: {type: "layers", diff_ids: [$layer]},
    history: [{created: "1970-01-01T00:00:00Z", created_by: "hack/images/archive.sh"}]}' >"$work/config"
id=$(sum "$work/config")
mv "$work/config" "$work/image/$id.json"
jq -cn --arg id "$id.json" --arg layer "$layer.tar" --arg name "$name" \
    '[{Config: $id, RepoTags: [$name], Layers: [$layer]}]' >"$work/image/manifest.json"
tar "${same[@]}" -C "$work/image" -cf "$work/archive" manifest.json "$id.json" "$layer.tar"
mv "$work/archive" "$out"
