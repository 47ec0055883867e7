#!/usr/bin/env bash
# Renders the chart into manifests/install.yaml, for those without Helm: hack/render-manifests.sh [--check]
#
# --check only says whether the file is up to date, and without helm that it was not compared. Needs helm: the test bed's (hack/bed/build helm), $HELM,
# or one on the path.
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in
-h | --help) awk 'NR == 1 { next } /^#/ { sub(/^# ?/, ""); print; next } { exit }' "$0"; exit 0 ;;
--check) check=yes ;;
'') check=no ;;
*) echo "unknown option '$1'; see --help" >&2; exit 1 ;;
esac

cache=${SURGETANK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/surgetank}
helm=${HELM:-$(command -v helm || find "$cache/bed/parts" -path '*/helm-*' -name helm -type f -perm -u+x 2>/dev/null | sort | tail -1 || true)}
if [ -z "$helm" ] && [ $check = yes ]; then
    echo "no helm found (hack/bed/build helm makes one): manifests/install.yaml was not compared"
    exit 0
fi
[ -n "$helm" ] || { echo "no helm found: run hack/bed/build helm, or set HELM" >&2; exit 1; }
hack/chart-crds.sh --check

render() {
    cat <<'HEAD'
# Surgetank's operator, for kubectl apply -f. Made by hack/render-manifests.sh from
# charts/surgetank: DO NOT EDIT.
apiVersion: v1
kind: Namespace
metadata:
  name: surgetank-system
  labels:
    app.kubernetes.io/name: surgetank
HEAD
    "$helm" template surgetank charts/surgetank --namespace surgetank-system --kube-version 1.34.0 |
        sed -e '/^    app.kubernetes.io\/managed-by: Helm$/d' -e '/^    helm.sh\/chart: /d' \
            -e '/^        app.kubernetes.io\/managed-by: Helm$/d' -e '/^        helm.sh\/chart: /d' -e '/^  annotations: {helm.sh\/resource-policy: keep}$/d'
}

out=manifests/install.yaml
if [ $check = no ]; then
    render >"$out"
elif ! render | cmp -s - "$out"; then
    echo "$out is not what the chart makes; run make chart" >&2
    exit 1
fi
