# shellcheck shell=bash disable=SC2034
# Prometheus 3.15, the backend for metrics, without service discovery (nothing is scraped by it).
version=3.15.0

make_part() { # OUT
    CGO_ENABLED=0 go build -mod=readonly -trimpath -tags remove_all_sd -ldflags "-s -w" -o "$1/prometheus" \
        github.com/prometheus/prometheus/cmd/prometheus
}
