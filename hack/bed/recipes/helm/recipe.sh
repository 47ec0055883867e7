# shellcheck shell=bash disable=SC2034
# Helm 3, from its own module.
version=3.22.0

make_part() { # OUT
    local package=helm.sh/helm/v3/internal/version
    GOBIN=$1 CGO_ENABLED=0 go install -trimpath \
        -ldflags "-s -w -X $package.version=v$version -X $package.gitTreeState=clean" "helm.sh/helm/v3/cmd/helm@v$version"
}
