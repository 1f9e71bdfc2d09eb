#!/usr/bin/env bash
# Draws the pages of failed runs, from a few messages to ten thousand and of a crash, and takes a picture of each.
#
#   ./scripts/page-check.sh [DIRECTORY]     pages and pictures go to DIRECTORY (target/pages when left out)
#
# The runs fail by deliberate bugs. Somebody has to look at the pictures; the script sees only that there is something on
# each. WALLEX_SIM names a simulator that was built with the feature `mutants`; else one is built. Needs Chromium: as root
# it installs the package `chromium` with apt-get.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -le 1 ] || { echo "page-check.sh: usage: page-check.sh [DIRECTORY]" >&2; exit 2; }
target="${CARGO_TARGET_DIR:-target}"
directory="${1:-$target/pages}"
mkdir -p "$directory"
directory="$(cd "$directory" && pwd)"

die() { echo "page-check.sh: $*" >&2; exit 1; }
if ! command -v chromium >/dev/null; then
    command -v apt-get >/dev/null || die "Chromium is missing: install it"
    [ "$(id -u)" = 0 ] || die "Chromium is missing: run 'sudo apt-get install chromium'"
    apt-get -qq update && apt-get -qq -y --no-install-recommends install chromium
fi
sim="${WALLEX_SIM:-}"
if [ -z "$sim" ]; then
    cargo build --release --quiet -p wallex-sim --features mutants
    sim="$target/release/wallex-sim"
fi

# page NAME EXIT_CODE FRAGMENT ARGUMENT…: a run that must end with this code, as a page and as a picture.
page() {
    local name="$1" expected="$2" fragment="$3" code=0
    shift 3
    "$sim" "$@" --html "$directory/$name.html" --failures "$directory" >"$directory/$name.txt" 2>&1 || code=$?
    [ "$code" = "$expected" ] || { cat "$directory/$name.txt" >&2; die "$name ended with $code, not with $expected"; }
    chromium --headless=new --no-sandbox --disable-gpu --hide-scrollbars --window-size=1600,900 --virtual-time-budget=5000 \
        --user-data-dir="$directory/browser" --screenshot="$directory/$name.png" \
        "file://$directory/$name.html$fragment" >"$directory/browser.log" 2>&1 || { cat "$directory/browser.log" >&2; die "no picture of $name"; }
    # A page on which nothing is drawn makes a picture of a few kilobytes.
    [ "$(stat -c %s "$directory/$name.png")" -gt 20000 ] || die "$name.png shows next to nothing"
    echo "$(sed -n 's/^steps *//p' "$directory/$name.txt"): $directory/$name.png"
}

page small 1 "" replay sim-tests/plans/legs-apart.json --bug answer-before-append
page middle 1 "" run --seed 4 --preset storm --bug dual-write
page large 1 "" run --seed 14 --preset storm --bug held-forgotten
page large-near 1 "#span=60000" run --seed 14 --preset storm --bug held-forgotten
# Clients that ask instances of which there are none.
sed 's/"instances": [0-9]*/"instances": 0/' sim-tests/plans/legs-apart.json >"$directory/crash.json"
page crash 5 "" replay "$directory/crash.json"
