#!/usr/bin/env bash
# Runs one component test: hack/component.sh TEST
#
# These run against real clocks and threads, and a busy machine can be late. What fails is shown and tried once
# more; only a second failure counts. One that hangs is ended. The log is TEST.log.
set -euo pipefail
run() { timeout -k 5 300 "$1" >"$1.log" 2>&1; }
run "$1" && exit
grep -E '\[  (FAILED|ERROR)' -A1 "$1.log" || tail -5 "$1.log"
echo "Once more, for it failed: $1"
run "$1" && exit
cat "$1.log"
echo "FAILED $1"
exit 1
