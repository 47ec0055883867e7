# shellcheck shell=bash disable=SC2034
# The OpenTelemetry Collector with its file-log receiver: the peer to compare with for container logs. The newest
# whose modules all resolve; that of recipes/otelcol is newer, and has no such receiver.
version=0.152.0

make_part() { # OUT
    CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w" -o "$1/otelcol-logs" .
}
