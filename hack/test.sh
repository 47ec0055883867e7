#!/usr/bin/env bash
# Runs all tests: hack/test.sh [fast]
#
# Installs what is missing, builds with gcc and clang without a warning, checks the rules, runs units (also
# under ASan and UBSan, built by clang, and under TSan), component tests, planted bugs, fuzz targets for a
# moment, and then the end-to-end tests on a bed of their own, which is taken down again. `fast` leaves out the
# bed. Logs stay under build/test-logs. The last line counts the steps.
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in -h | --help) awk 'NR == 1 { next } /^#/ { sub(/^# ?/, ""); print; next } { exit }' "$0"; exit 0 ;; esac

export SURGETANK_BED=test
logs=$PWD/build/test-logs
mkdir -p "$logs"
passed=0
started=$SECONDS
ccache=$(command -v ccache || true)
export CC="${ccache:+ccache }gcc" CLANG="${ccache:+ccache }clang-14" WERROR=-Werror
build() { make -j"$(nproc)" "$@"; }

# Runs a step, its output in a log; shows elapsed time while it runs, and the log's end if it fails.
step() { # NAME COMMAND...
    local name=$1 log begin=$SECONDS pid
    shift
    log=$logs/${name// /-}.log
    printf '%4d s  %s ...' $((SECONDS - started)) "$name"
    "$@" >"$log" 2>&1 &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.2
        [ -t 1 ] && printf '\r%4d s  %s ... %d s ' $((SECONDS - started)) "$name" $((SECONDS - begin))
    done
    if wait "$pid"; then
        printf '\r%4d s  %s: ok, %d s          \n' $((SECONDS - started)) "$name" $((SECONDS - begin))
        grep -hE '^[0-9]+ (unit tests )?passed|passed in ' "$log" | tail -1 | sed 's/^/        /' || true
        passed=$((passed + 1))
    else
        printf '\r%4d s  %s: FAILED; the end of %s:\n' $((SECONDS - started)) "$name" "${log#"$PWD"/}"
        tail -60 "$log"
        echo "$passed passed, 1 failed"
        exit 1
    fi
}

take_down() { hack/bed/down >"$logs/bed-down.log" 2>&1 || cat "$logs/bed-down.log"; }

in_the_bed() { hack/bed/in python3 -m pytest -q -o cache_dir="$PWD/build/pytest" tests/e2e "$@"; }

# What failed is tried once more on a fresh bed: a busy machine can make a real cluster late. It is said.
end_to_end() { # ARGUMENTS of hack/bed/up...
    in_the_bed && return
    echo "Once more, on a fresh bed, what failed:"
    hack/bed/down
    hack/bed/up "$@"
    in_the_bed --last-failed
}

step "packages" hack/deps/apt.sh
step "build with gcc" build build
step "layers" build layers
step "named tests" build named
step "headers" build headers
step "banned functions" build banned
step "hardened programs" build hardened
step "format" build format
[ "${1:-}" != fast ] || step "generated files" build generated
step "unit tests" build unit
step "component tests" build component
step "gcc's analyzer" build analyze
step "clang, ASan and UBSan" build asan
step "fuzz targets" build FUZZ_SECONDS=3 FUZZ_RUNS=50000 FUZZ_SEED=1 fuzz
step "TSan" build tsan
step "planted bugs" build mutants

if [ "${1:-}" != fast ]; then
    step "images" build images
    step "bed builds" hack/bed/build
    step "generated files" build generated
    step "clients of others" build INTEROP_PARTS="python interop-go interop-java prometheus" interop
    trap take_down EXIT
    step "bed up" hack/bed/up
    step "end-to-end tests" end_to_end
    step "bed down" hack/bed/down
    step "bed with three brokers of Kafka 3.9 up" hack/bed/up --kafka 3.9.2 --brokers 3
    step "end-to-end tests with them" end_to_end --kafka 3.9.2 --brokers 3
    trap - EXIT
    step "bed with three brokers down" hack/bed/down
fi
echo "$passed passed, 0 failed"
