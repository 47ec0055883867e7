#!/bin/sh
# Three rules. Fails on every line that breaks one.
#   1. direction: a folder includes itself and what is listed for it, nothing else;
#   2. doors: a third-party header is included by the one folder or file that wraps it;
#   3. use: what a header offers is called by a program, and not by tests alone.
set -eu
bad=0

may_include() { # file -> folders
    case "$1" in
    common/*)                 echo "common" ;;
    sidecar/spool/*)          echo "common sidecar/spool" ;;
    sidecar/net/*)            echo "common sidecar/net" ;;
    sidecar/otlp/*)           echo "common sidecar/otlp" ;;
    sidecar/kafka/*)          echo "common sidecar/kafka" ;;
    sidecar/confine/*)        echo "common sidecar/confine" ;;
    sidecar/live/*)           echo "common sidecar/live" ;;
    sidecar/process/*)        echo "common sidecar/otlp sidecar/process" ;;
    sidecar/export/*)         echo "common sidecar/net sidecar/otlp sidecar/export" ;;
    sidecar/lines/*)          echo "common sidecar/otlp sidecar/lines" ;;
    sidecar/pods/*)           echo "common sidecar/otlp sidecar/pods" ;;
    sidecar/tail/*)           echo "common sidecar/otlp sidecar/spool sidecar/lines sidecar/tail" ;;
    sidecar/edge/*)           echo "common sidecar/pods sidecar/net sidecar/otlp sidecar/spool sidecar/lines sidecar/tail sidecar/kafka sidecar/process sidecar/export sidecar/edge" ;;
    sidecar/gateway/*)        echo "common sidecar/net sidecar/otlp sidecar/spool sidecar/kafka sidecar/process sidecar/export sidecar/gateway" ;;
    sidecar/*)                echo "common sidecar" ;;
    controller/api/*)         echo "common controller/api" ;;
    controller/desired/*)     echo "common controller/api controller/desired" ;;
    controller/kube/*)        echo "common controller/kube" ;;
    controller/cache/*)       echo "common controller/kube controller/cache" ;;
    controller/queue/*)       echo "common controller/queue" ;;
    controller/scaling/*)     echo "common controller/scaling" ;;
    controller/kafka_admin/*) echo "common controller/kafka_admin" ;;
    controller/*)             echo "common controller" ;;
    tests/*)                  echo "common controller sidecar tests" ;;
    esac
}

doors() { # third-party header -> where it may appear
    case "$1" in
    curl/*)           echo "common/http_client.c common/http_transfer." ;;
    cjson/*)          echo "common/json.c" ;;
    yaml.h)           echo "common/yaml.c" ;;
    zlib.h | zstd.h)  echo "common/compress.c" ;;
    pcre2.h)          echo "common/regex.c" ;;
    libwebsockets*)   echo "common/http_server.c" ;;
    openssl/*)        echo "common/tls.c sidecar/net/" ;;
    nghttp2/*)        echo "sidecar/net/" ;;
    http_parser.h)    echo "sidecar/net/" ;;
    librdkafka/*)     echo "sidecar/kafka/ controller/kafka_admin/" ;;
    linux/landlock.h | linux/seccomp.h | linux/filter.h | linux/audit.h) echo "sidecar/confine/" ;;
    xxhash.h)         echo "sidecar/otlp/partition.c" ;;
    *)                echo "any" ;;
    esac
}

# What tests have to see or to do, and programs do not.
for_tests="admin_pool_open_count grpc_client_cancel http_server_port json_item spool_reader_cursor spool_reader_rewind
spool_reader_wake tail_records"

code() { # of the programs, without comments at the beginning of a line
    find common sidecar controller -name '*.[ch]' -exec cat {} + | grep -v '^ \*\|^/\*'
}

called_by_nobody() { # offered by a header, and named twice in all: there, and where it is defined
    code | grep -o '[a-z_][a-z0-9_]*' | sort | uniq -c | awk '$1 <= 2 {print $2}' >"$1"
    find common sidecar controller -name '*.h' \
        -exec sed -nE '/^(typedef|static|#| |\/)/!s/^[a-zA-Z].*[ *]([a-z0-9_]+)\(.*/\1/p' {} + | grep -wFf "$1" -x
}

words=$(mktemp)
trap 'rm -f "$words"' EXIT
for name in $(called_by_nobody "$words"); do
    case " $(echo $for_tests) " in *" $name "*) continue ;; esac
    echo "$name(): offered by a header, called by no program"
    bad=1
done

for file in $(find common controller sidecar tests -name '*.[ch]' 2>/dev/null); do
    for inc in $(sed -n 's/^#include "\([^"]*\)".*/\1/p' "$file"); do
        ok=no
        for dir in $(may_include "$file"); do
            case "$inc" in "$dir"/*) ok=yes ;; esac
        done
        [ $ok = yes ] || { echo "$file: includes $inc, against the direction"; bad=1; }
    done
    for inc in $(sed -n 's/^#include <\([^>]*\)>.*/\1/p' "$file"); do
        doors=$(doors "$inc")
        [ "$doors" = any ] && continue
        ok=no
        for door in $doors tests/; do
            case "$file" in "$door"*) ok=yes ;; esac
        done
        [ $ok = yes ] || { echo "$file: includes <$inc>, whose door is $doors"; bad=1; }
    done
done
exit $bad
