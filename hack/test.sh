#!/usr/bin/env bash
# Runs all tests: hack/test.sh [fast]
#
# Installs what is missing, builds with gcc and clang without a warning, checks the rules, runs units (also under
# ASan and UBSan, built by clang, and under TSan), component tests and the clients of others, and then the end-to-end
# tests on a bed of their own, which is taken down again. Those mostly wait. So what no clock judges runs beside them
# at the lowest priority: gcc's analyzer, fuzz targets for a moment, planted bugs. It runs before them where there is
# one processor or less than 6 GB of memory to spare. `fast` leaves out the bed. Logs stay under build/test-logs. A
# failure, or ^C, ends everything. The last line counts the steps.
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in -h | --help) awk 'NR == 1 { next } /^#/ { sub(/^# ?/, ""); print; next } { exit }' "$0"; exit 0 ;; esac

export SURGETANK_BED=test
logs=$PWD/build/test-logs
mkdir -p "$logs"
passed=$logs/passed failed=$logs/failed # the steps that did, a line each
: >"$passed"
: >"$failed"
started=$SECONDS
pid="" lane="" # of the step that runs, and of the lane beside it
bed=down
ccache=$(command -v ccache || true)
export CC="${ccache:+ccache }gcc" CLANG="${ccache:+ccache }clang-14" WERROR=-Werror
make=(make -j"$(nproc)")
terminal=$([ ! -t 1 ] || printf '\r')

say() { printf '%s%4d s  %s%s\n' "$terminal" $((SECONDS - started)) "$1" "${terminal:+                    }"; }

# Takes leave of the lane at its end, and not later: bash forgets a process's status when its number is given again.
leave_lane() {
    [ -n "$lane" ] || return 0
    ! kill -0 "$lane" 2>/dev/null || return 0
    wait "$lane" || exit 1
    lane=""
}

# Waits for the end of a process, and shows for how long. If the lane beside it fails meanwhile, that is all.
watch() { # PID NAME
    local begin=$SECONDS
    while kill -0 "$1" 2>/dev/null; do
        [ -z "$terminal" ] || printf '\r%4d s  %s ... %d s ' $((SECONDS - started)) "$2" $((SECONDS - begin))
        sleep 0.2
        [ ! -s "$failed" ] || exit 1
        leave_lane
    done
}

# Runs a step, its output in a log, and shows the log's end if it fails.
step() { # NAME COMMAND...
    local name=$1 log=$logs/${1// /-}.log begin=$SECONDS
    shift
    (trap '' INT; "$@") >"$log" 2>&1 & # ^C is for clean_up, which must find them all
    pid=$!
    [ "$BASHPID" != $$ ] || watch "$pid" "$name"
    if wait "$pid"; then
        pid=""
        say "$name: ok, $((SECONDS - begin)) s$(grep -hE '^[0-9]+ (unit tests )?passed|passed in ' "$log" | tail -1 |
            sed 's/^/\n        /')"
        echo "$name" >>"$passed"
    else
        say "$name: FAILED; the end of ${log#"$PWD"/}:"$'\n'"$(tail -60 "$log")"
        echo "$name" >>"$failed"
        exit 1
    fi
}

family() { # PID...: these, and all that they have started
    ps -eo pid=,ppid= | awk -v these="$*" '
        { parent[$1] = $2 }
        END {
            n = split(these, found)
            for (i = 1; i <= n; i++) for (p in parent) if (parent[p] == found[i]) found[++n] = p
            for (i = 1; i <= n; i++) print found[i]
        }'
}

end() { # SIGNAL PID..., some of which may be root's
    kill -s "$@" 2>/dev/null || true
    [ "$(id -u)" = 0 ] || sudo -n kill -s "$@" 2>/dev/null || true
}

# On the way out, however that comes: nothing is left that runs.
clean_up() {
    local status=$? left
    trap '' INT TERM HUP
    disown -a
    mapfile -t left < <(family "$pid" "$lane")
    if [ ${#left[@]} -gt 0 ]; then
        end TERM "${left[@]}"
        for _ in $(seq 50); do ps -p "${left[*]}" >/dev/null || break; sleep 0.1; done
        end KILL "${left[@]}"
    fi
    [ $bed = down ] || hack/bed/down >"$logs/bed-down.log" 2>&1 || cat "$logs/bed-down.log"
    [ $status = 0 ] || [ -s "$failed" ] || say "ended before its end"
    echo "$(wc -l <"$passed") passed, $(wc -l <"$failed") failed"
    exit $status
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

in_the_bed() { hack/bed/in python3 -m pytest -q -o cache_dir="$PWD/build/pytest" tests/e2e "$@"; }

# What failed is tried once more on a fresh bed: a busy machine can make a real cluster late. It is said.
end_to_end() { # ARGUMENTS of hack/bed/up...
    in_the_bed && return
    echo "Once more, on a fresh bed, what failed:"
    hack/bed/down
    hack/bed/up "$@"
    in_the_bed --last-failed
}

# With what others leave of the processors; as a session of its own, for Linux may share them out by sessions first.
at_lowest_priority() { # COMMAND...
    setsid bash -c '{ renice -n 19 $$; chrt --idle --pid 0 $$; echo 19 >/proc/$$/autogroup; } >/dev/null 2>&1
        exec "$@"' at_lowest_priority "$@"
}

patient() { # PREFIX...: what no clock judges
    step "gcc's analyzer" "$@" "${make[@]}" analyze
    step "fuzz targets" "$@" "${make[@]}" FUZZ_SECONDS=3 FUZZ_RUNS=50000 FUZZ_SEED=1 fuzz
    step "planted bugs" "$@" hack/mutants.sh --passed
}

# Whether there are two processors, and memory for the bed, which takes 3 GB, and for what runs beside it.
roomy() { [ "$(nproc)" -gt 1 ] && awk '/^MemAvailable/ { exit $2 < 6e6 }' /proc/meminfo; }

step "packages" hack/deps/apt.sh
step "build with gcc" "${make[@]}" build
step "layers" "${make[@]}" layers
step "named tests" "${make[@]}" named
step "headers" "${make[@]}" headers
step "banned functions" "${make[@]}" banned
step "hardened programs" "${make[@]}" hardened
step "format" "${make[@]}" format
[ "${1:-}" != fast ] || step "generated files" "${make[@]}" generated
step "unit tests" "${make[@]}" unit
step "component tests" "${make[@]}" component
step "clang, ASan and UBSan" "${make[@]}" asan
step "TSan" "${make[@]}" tsan
if [ "${1:-}" = fast ]; then
    patient
    exit
fi
step "images" "${make[@]}" images
step "bed builds" hack/bed/build
step "generated files" "${make[@]}" generated
step "clients of others" "${make[@]}" INTEROP_PARTS="python interop-go interop-java prometheus" interop
if roomy; then
    (trap '' INT; patient at_lowest_priority) &
    lane=$!
else
    patient
fi
bed=up
step "bed up" hack/bed/up --quick
step "end-to-end tests" end_to_end --quick
step "bed down" hack/bed/down
step "bed with three brokers of Kafka 3.9 up" hack/bed/up --kafka 3.9.2 --brokers 3
step "end-to-end tests with them" end_to_end --kafka 3.9.2 --brokers 3
step "bed with three brokers down" hack/bed/down
bed=down
watch "$lane" "what ran beside the bed"
leave_lane
