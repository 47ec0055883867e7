#!/usr/bin/env bash
# Builds the pinned librdkafka as a static library: hack/deps/librdkafka.sh VERSION PREFIX
#
# Debian 12's 2.0.2 has neither KIP-848 nor IncrementalAlterConfigs nor ListOffsets, so a newer one is
# taken from the sources inside an npm package, whose checksum is pinned here. Safe to run twice and by
# two processes at once; PREFIX appears whole or not at all.
set -euo pipefail
version=$1 prefix=$2
patch=$(cd "$(dirname "$0")" && pwd)/librdkafka-$version.patch
package=@confluentinc/kafka-javascript@1.10.1
sha256=ada7d703bb1d3237e2292bfabf438d663b6160c9f1ac2a2406b5dc4257c81b66

[ -s "$prefix/lib/librdkafka.a" ] && exit 0
mkdir -p "$(dirname "$prefix")"
exec 9>"$prefix.lock"
flock 9
[ -s "$prefix/lib/librdkafka.a" ] && exit 0

command -v npm >/dev/null || { echo "librdkafka: npm is missing; run 'make deps' or install Node.js" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "librdkafka $version: fetching and building (about two minutes, once)"
start=$SECONDS
cd "$work"
tarball=$(npm pack --silent "$package" 2>"$work/npm.log") || { cat "$work/npm.log" >&2; exit 1; }
echo "$sha256  $tarball" | sha256sum --check --quiet ||
    { echo "librdkafka: $package is not the package that was pinned" >&2; exit 1; }
tar -xzf "$tarball" package/deps/librdkafka
cd package/deps/librdkafka
patch --quiet --strip=1 <"$patch"
chmod +x configure configure.self lds-gen.py 2>/dev/null || true
{ # one chain: to the left of || a failed command alone would not end it
    ./configure --prefix="$prefix.new" --disable-syslog --disable-gssapi --disable-c11threads \
        --enable-static --CFLAGS="-O2 -fPIE -fstack-protector-strong -D_FORTIFY_SOURCE=2" &&
        make -j"$(nproc)" -C src librdkafka.a &&
        install -D -m 644 src/librdkafka.a "$prefix.new/lib/librdkafka.a" &&
        install -D -m 644 src/rdkafka.h "$prefix.new/include/librdkafka/rdkafka.h" &&
        install -D -m 644 src/rdkafka_mock.h "$prefix.new/include/librdkafka/rdkafka_mock.h" &&
        install -D -m 644 LICENSE "$prefix.new/LICENSE" &&
        cp config.h "$prefix.new/"
} >"$work/build.log" 2>&1 || { tail -30 "$work/build.log" >&2; exit 1; }
rm -rf "$prefix"
mv "$prefix.new" "$prefix"
echo "librdkafka $version: built in $((SECONDS - start)) s"
