#!/usr/bin/env bash
# Fails unless each program is built as SECURITY.md says: hack/hardened.sh PROGRAM...
set -euo pipefail
failed=0

need() { # PROGRAM WHAT COMMAND...
    local program=$1 what=$2
    shift 2
    "$@" || { echo "$program: $what" >&2; failed=1; }
}

has() { grep -qE "$1" <<<"$2"; }
lacks() { ! has "$@"; }

for program; do
    facts=$(readelf -hldW "$program")
    symbols=$(nm -D "$program")
    need "$program" "is not position-independent" has 'FLAGS_1.* PIE' "$facts"
    need "$program" "may write to its relocated data (no full RELRO)" has 'FLAGS_1.* NOW' "$facts"
    need "$program" "may write to its relocated data (no RELRO)" has GNU_RELRO "$facts"
    need "$program" "has an executable stack" has 'GNU_STACK .* RW +0x' "$facts"
    need "$program" "has a segment that is writable and executable" lacks 'LOAD .* RWE ' "$facts"
    need "$program" "has relocations in its text" lacks TEXTREL "$facts"
    need "$program" "looks for libraries in a path of its own" lacks 'R(UN)?PATH' "$facts"
    need "$program" "has no stack protector" has __stack_chk_fail "$symbols"
    need "$program" "is built without FORTIFY" has '__(v?snprintf|memcpy|vfprintf|fprintf|memmove)_chk' "$symbols"
done
exit $failed
