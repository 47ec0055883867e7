# shellcheck shell=bash disable=SC2034
# etcd, API server, controller manager, scheduler, kubelet, kube-proxy and kubectl as one program with
# several names: seven programs of their own would take seven times the space and link time.
version=1.34.10

make_part() { # OUT
    command -v go >/dev/null || { echo "Go is not installed" >&2; return 1; }
    local flags="-s -w" package
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        flags+=" -X $package.gitVersion=v$version -X $package.gitMajor=1 -X $package.gitMinor=34"
        flags+=" -X $package.gitTreeState=clean -X $package.buildDate=2026-01-01T00:00:00Z"
    done
    CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "$flags" -o "$1/kube" .
    ln -s kube "$1/kubectl"
}
