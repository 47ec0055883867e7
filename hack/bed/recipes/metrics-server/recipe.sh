# shellcheck shell=bash disable=SC2034
# metrics-server: CPU and memory of pods, for `kubectl top` and HPAs; from its own module.
version=0.9.0

make_part() { # OUT
    GOBIN=$1 CGO_ENABLED=0 go install -trimpath -ldflags "-s -w" "sigs.k8s.io/metrics-server/cmd/metrics-server@v$version"
}
