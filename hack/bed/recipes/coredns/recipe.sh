# shellcheck shell=bash disable=SC2034
# CoreDNS with only the plugins that a test cluster needs.
version=1.14.7

make_part() { # OUT
    CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w" -o "$1/coredns" .
}
