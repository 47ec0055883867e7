# shellcheck shell=bash disable=SC2034
# The OpenTelemetry Collector with its Kafka receiver and exporter: the peer to compare with.
version=0.155.0

make_part() { # OUT
    CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w" -o "$1/otelcol" .
}
