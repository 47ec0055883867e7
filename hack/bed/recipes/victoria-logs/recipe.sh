# shellcheck shell=bash disable=SC2034
# VictoriaLogs, the backend for logs. go.mod is its own, with one version that can be had and verified.
version=1.36.2

make_part() { # OUT
    CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w" -o "$1/victoria-logs" \
        github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs
}
