#!/usr/bin/env bash
# Runs one component test: hack/component.sh TEST
#
# These run against real clocks and threads, and a busy machine can be late. What fails is shown and tried once
# more; only a second failure counts. One that hangs is ended. The log is TEST.log.
set -euo pipefail
run() { # -> says how it ended, if badly: what is killed leaves no word of its own
    local code=0
    timeout -k 5 300 "$1" >"$1.log" 2>&1 || code=$?
    [ $code = 0 ] || echo "$1 ended with $code (124: after 300 s; above 128: by that signal and 128)"
    return $code
}
run "$1" && exit
grep -E '\[  (FAILED|ERROR)' -A1 "$1.log" || tail -5 "$1.log"
echo "Once more, for it failed: $1"
run "$1" && exit
cat "$1.log"
echo "FAILED $1"
exit 1
