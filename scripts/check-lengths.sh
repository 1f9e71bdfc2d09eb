#!/usr/bin/env bash
# No source file has more than 600 lines: one that does hides a second module.
set -euo pipefail
cd "$(dirname "$0")/.."

most=600
long="$(find . -name target -prune -o -name .git -prune -o -name '*.rs' -print0 | xargs -0 wc -l \
    | awk -v most="$most" '$2 != "total" && $1 > most { print "  " $2 ": " $1 " lines" }')"
if [ -n "$long" ]; then
    printf 'files above %s lines:\n%s\n' "$most" "$long" >&2
    exit 1
fi
echo "no source file has more than $most lines"
