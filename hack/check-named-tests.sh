#!/usr/bin/env bash
# Fails if the documentation names a test, as `test_this_or_that` or by its file, that does not exist.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t pages < <(find docs README.md ARCHITECTURE.md -name '*.md')
missing=0
# shellcheck disable=SC2016
while IFS= read -r name; do
    case $name in
    */*) [ -e "$name" ] && continue ;;
    *) grep -rqE "(^static void|^def) $name\(" tests && continue ;;
    esac
    grep -nF "\`$name\`" "${pages[@]}" | cut -d: -f1,2 | sed "s|\$|: there is no test '$name'|"
    missing=1
done < <(grep -ohE '`(tests/[a-z0-9_/.]+\.(py|c)|test_[a-z0-9_]+)`' "${pages[@]}" | tr -d '`' | sort -u)
exit $missing
