# shellcheck shell=bash disable=SC2034
# Jaeger 2, the backend for traces. go.mod is Jaeger's own, with its replaces, and requires Jaeger.
version=1.76.0

make_part() { # OUT
    CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w" -o "$1/jaeger" \
        github.com/jaegertracing/jaeger/cmd/jaeger
}
