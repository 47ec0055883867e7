#!/usr/bin/env bash
# Copies the CRDs into the chart: hack/chart-crds.sh [--check]
#
# Helm neither upgrades nor templates what is in a chart's crds/, so each CRD becomes a template with
# the values crds.install and crds.keep around it. --check only says whether the copies are up to date.
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in
-h | --help) awk 'NR == 1 { next } /^#/ { sub(/^# ?/, ""); print; next } { exit }' "$0"; exit 0 ;;
--check) check=yes ;;
'') check=no ;;
*) echo "unknown option '$1'; see --help" >&2; exit 1 ;;
esac

template() { # FILE
    echo '{{- /* Made by hack/chart-crds.sh from crds/; change it there. */ -}}'
    echo '{{- if .Values.crds.install }}'
    sed -e '/^#/d' -e '/^metadata:$/a\
{{- if .Values.crds.keep }}\
  annotations: {helm.sh/resource-policy: keep}\
{{- end }}' "$1"
    echo '{{- end }}'
}

for crd in crds/*.yaml; do
    grep -q '{{' "$crd" && { echo "$crd has {{ in it, which Helm would read as a template" >&2; exit 1; }
    copy=charts/surgetank/templates/crd-$(basename "$crd")
    if [ $check = no ]; then
        template "$crd" >"$copy"
    elif ! template "$crd" | cmp -s - "$copy"; then
        echo "$copy is not what $crd makes; run make chart" >&2
        exit 1
    fi
done
