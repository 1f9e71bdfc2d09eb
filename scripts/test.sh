#!/usr/bin/env bash
# Everything that must hold before a change goes in: format, lints, bans, tests, documentation.
#
#   ./scripts/test.sh              all of it
#   ./scripts/test.sh --fast       no documentation build
#
# Needs the Rust toolchain and a C compiler. Ends with the test runners' own summaries and a non-zero exit code when
# anything failed. Warnings are failures.
set -euo pipefail
cd "$(dirname "$0")/.."

fast=false
servers_ran=false
for argument in "$@"; do
    case "$argument" in
        --fast) fast=true ;;
        *) echo "test.sh: unknown argument '$argument' (known: --fast)" >&2; exit 2 ;;
    esac
done

step() { printf '\n==> %s\n' "$*"; }

log="$(mktemp)"
cleanup() {
    rm -f "$log"
    [ "$servers_ran" = true ] || ./scripts/services.sh down >/dev/null
}
trap cleanup EXIT
# Servers that ran before are somebody's: they stay.
./scripts/services.sh status >/dev/null 2>&1 && servers_ran=true

step "toolchain"
./scripts/toolchain.sh

step "file lengths"
./scripts/check-lengths.sh

step "format"
cargo fmt --all --check

step "lints"
cargo clippy --workspace --all-targets --quiet -- -D warnings

step "bans of the core"
./scripts/check-bans.sh

step "services"
./scripts/services.sh up

step "tests"
failed=0
# The summaries are repeated at the end, so that a result is never buried under what the tests print.
cargo test --workspace --no-fail-fast 2>&1 | tee "$log" || failed=1

# The deliberate bugs are compiled in here and nowhere else; of the whole workspace, so that dependencies stay as they are.
step "deliberate bugs"
timeout 900 cargo test --workspace --features wallex-sim-tests/mutants --test mutants 2>&1 | tee -a "$log" || failed=1

if [ "$fast" = false ]; then
    step "documentation"
    RUSTDOCFLAGS="--cfg madsim -D warnings" cargo doc --workspace --no-deps --quiet || failed=1
fi

step "summary"
grep -E '^ +(Running|Doc-tests)|^test result:|^test .* FAILED|^error(\[|:)' "$log" || true
passed="$(sed -n 's/^test result: .*\. \([0-9]*\) passed; .*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')"
broken="$(sed -n 's/^test result: .* \([0-9]*\) failed; .*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')"
echo "total: $passed passed, $broken failed"
[ "$passed" -gt 0 ] || { echo "test.sh: no test ran" >&2; failed=1; }
exit "$failed"
