#!/usr/bin/env bash
# No source file has more than 600 lines: one that does hides a second module. A module of more than 80 lines begins with
# a header of 3 to 12 lines, from which a newcomer learns what it is for; a crate's own (lib.rs) may be longer.
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

# Tests need none: their names say what they are about.
small=80
unclear="$(find . -name target -prune -o -name .git -prune -o -path '*/src/*' -name '*.rs' ! -path '*/tests/*' \
    ! -path '*_tests/*' ! -name tests.rs ! -name '*_tests.rs' -print0 | xargs -0 awk -v small="$small" '
    function judge() {
        if (file == "" || lines <= small) return
        if (header < 3) print "  " file ": " header " lines of header; say what it owns and keeps, and what others do"
        if (header > 12 && file !~ /\/lib\.rs$/) print "  " file ": " header " lines of header; move details to the items"
    }
    FNR == 1 { judge(); file = FILENAME; header = 0; opening = 1 }
    opening { if (/^\/\/!/) header++; else opening = 0 }
    { lines = FNR }
    END { judge() }')"
if [ -n "$unclear" ]; then
    printf 'modules above %s lines whose //! header has not 3 to 12 lines:\n%s\n' "$small" "$unclear" >&2
    exit 1
fi
echo "every module above $small lines begins with a header of 3 to 12 lines"
