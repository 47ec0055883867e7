# shellcheck shell=bash disable=SC2034
# Clients for tests/interop: the OpenTelemetry SDK for Go with its six OTLP exporters, and h2spec.
version=1.47.0

make_part() { # OUT
    CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w" -o "$1/otel-client" .
    CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w" -o "$1/h2spec" github.com/summerwind/h2spec/cmd/h2spec
}
