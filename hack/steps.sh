# shellcheck shell=bash
# What scripts share that do several things which take a while. Sourced, never run.
#
#   steps_begin DIRECTORY      the clock starts; logs go below DIRECTORY
#   step NAME COMMAND...       runs the command with its output in a log; says how long it took, shows where it
#                              stands meanwhile, and the log's end if it fails
#   steps_interrupt            ends the command that runs, for traps
#
# On a terminal the line is redrawn; elsewhere one is added each half minute.

steps_begin() {
    steps_logs=$1 steps_started=$SECONDS steps_pid=
    mkdir -p "$steps_logs"
}

steps_elapsed() { echo $((SECONDS - steps_started)); }

steps_line() { # TEXT
    [ ! -t 1 ] || printf '\r\033[K'
    printf '%6d s  %s\n' "$(steps_elapsed)" "$1"
}

steps_redraw() { # TEXT
    local columns
    columns=$(tput cols 2>/dev/null || echo 100)
    printf '\r\033[K%6d s  %.*s' "$(steps_elapsed)" $((columns - 11)) "$1"
}

steps_last_words() { tail -qn 1 "$1" | tr -d '\r'; }

step() { # NAME COMMAND...
    local name=$1 log begin=$SECONDS said=$SECONDS
    shift
    log=$steps_logs/$(tr -cs 'a-zA-Z0-9\n' - <<<"$name").log
    [ ! -t 1 ] || steps_redraw "$name ..."
    "$@" >"$log" 2>&1 &
    steps_pid=$!
    while kill -0 $steps_pid 2>/dev/null; do
        sleep 0.2
        if [ -t 1 ] && [ $((SECONDS - begin)) -ge 2 ]; then
            steps_redraw "$name ... $((SECONDS - begin)) s: $(steps_last_words "$log")"
        elif [ $((SECONDS - said)) -ge 30 ]; then
            said=$SECONDS
            steps_line "$name ... $((SECONDS - begin)) s: $(steps_last_words "$log")"
        fi
    done
    if wait $steps_pid; then
        steps_pid=
        steps_line "$name: ok, $((SECONDS - begin)) s"
        return 0
    fi
    steps_pid=
    steps_line "$name: FAILED; the end of ${log#"$PWD"/}:"
    tail -n 40 "$log" | sed 's/^/    /'
    return 1
}

steps_interrupt() {
    [ -n "${steps_pid:-}" ] || return 0
    steps_end_tree "$steps_pid"
    wait "$steps_pid" 2>/dev/null || true
    steps_pid=
}

steps_end_tree() { # PID: commands in the background don't hear of Ctrl-C
    local child children
    children=$(ps -o pid= --ppid "$1") || true
    kill -TERM "$1" 2>/dev/null || true
    for child in $children; do
        steps_end_tree "$child"
    done
}
