#!/usr/bin/env bash
# Breaks things on purpose for long: hack/soak.sh [part...]
#
#   lives    spools that live through many power cuts, clock jumps and calls that fail, by the hundred thousand
#   disk     power cuts at every byte that is not synced, every call that fails; full disks, read-only ones, and back
#   tail     power cuts and failing calls under the lines of log files; storms of rotations, with kills
#   loss     what made other agents lose data: kills, outages, full spools, rotations, in full length
#   sigterm  SIGTERM in every state
#   faults   system calls and allocations that fail, each in turn; kills that take the disk along
#   fuzz     every fuzz target, SURGETANK_FUZZ_S seconds each (60)
#   outage   SURGETANK_OUTAGE_S seconds (1200) without Kafka, beside the other parts
#   kills    a hundred kills -9 with a real broker up, frozen and closed; needs the bed that is up
#
# Without a part: all of them. Seeds are printed; SURGETANK_SEED=N gives all parts that one. `make soak` builds
# what this needs. Logs stay under build/soak-logs; the last line counts.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
case "${1:-}" in -h | --help) awk 'NR == 1 { next } /^#/ { sub(/^# ?/, ""); print; next } { exit }' "$0"; exit 0 ;; esac

seed=${SURGETANK_SEED:-$((RANDOM * 32768 + RANDOM + 1))}
logs=$PWD/build/soak-logs
tests=build/tests
passed=0 failed=0
mkdir -p "$logs"

# Runs a part with a seed, its output in a log, of which it shows what tells seeds and figures.
run() { # NAME COMMAND...
    local name=$1 begin=$SECONDS status=0
    shift
    "$@" >"$logs/$name.log" 2>&1 || status=$?
    if [ $status = 0 ]; then
        printf '%-10s ok, %d s, seed %s\n' "$name" $((SECONDS - begin)) "$SURGETANK_SEED"
        passed=$((passed + 1))
    else
        printf '%-10s FAILED, %d s, seed %s: build/soak-logs/%s.log\n' "$name" $((SECONDS - begin)) "$SURGETANK_SEED" "$name"
        failed=$((failed + 1))
    fi
    grep -E 'acknowledged|dropped, |messages$|lost: |resident|without Kafka|memory grew|in Kafka|FAILED|ERROR' "$logs/$name.log" | tail -12 | sed 's/^/           /'
}

several() { # TIMES COMMAND...: each with a seed of its own
    local times=$1
    shift
    for ((i = 0; i < times; i++)); do
        SURGETANK_SEED=$((SURGETANK_SEED + i)) "$@" || return 1
    done
}

python() { "$(hack/bed/build --path python)/bin/python" "$@"; }

part_lives() { run lives env SURGETANK_LIVES="${SURGETANK_LIVES:-100000}" $tests/unit/sidecar/spool/test_lives; }
part_disk() {
    local test
    for test in store marks cursor recovery; do run "disk-$test" $tests/unit/sidecar/spool/test_$test; done
    run disk-full $tests/integration/test_spool_disk
}
part_tail() {
    run tail-crash several 20 $tests/integration/test_tail_crash
    run tail-storm env SURGETANK_STORM=10 $tests/integration/test_tail_storm
}
part_loss() { run loss env SURGETANK_LOSS=9 $tests/integration/test_loss; }
part_sigterm() { run sigterm several 5 $tests/integration/test_sigterm; }
part_faults() {
    run tail-faults env SURGETANK_LOSS=1 $tests/integration/test_tail_faults
    run receive-faults env SURGETANK_LOSS=1 $tests/integration/test_receive_faults
    run edge-faults env SURGETANK_LOSS=50 $tests/integration/test_edge_faults
    run replicated env SURGETANK_LOSS=20 $tests/integration/test_replicated
}
part_fuzz() { run fuzz make FUZZ_SECONDS="${SURGETANK_FUZZ_S:-60}" fuzz; }
part_outage() { run outage python -u tests/soak/outage.py; }
part_kills() { run kills hack/bed/in python3 -u tests/soak/edge_kills.py --seed "$SURGETANK_SEED"; }

parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(outage lives disk tail loss sigterm faults fuzz kills)
export SURGETANK_SEED=$seed
for part in "${parts[@]}"; do
    declare -F "part_$part" >/dev/null || { echo "no part is called '$part': see hack/soak.sh --help"; exit 2; }
done
[[ " ${parts[*]} " != *" outage "* ]] || hack/bed/build python kafka-4.4.0 >"$logs/builds.log" 2>&1 || { cat "$logs/builds.log"; exit 1; }

# The outage waits most of the time: beside the others.
for part in "${parts[@]}"; do
    if [ "$part" = outage ] && [ ${#parts[@]} -gt 1 ]; then
        (failed=0; part_outage; exit $failed) >"$logs/outage.told" 2>&1 &
        outage=$!
    else
        "part_$part"
    fi
done
if [ -n "${outage:-}" ]; then
    if wait "$outage"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    cat "$logs/outage.told"
fi
echo "$passed passed, $failed failed"
[ $failed = 0 ]
