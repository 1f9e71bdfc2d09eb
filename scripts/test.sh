#!/usr/bin/env bash
# Everything that must hold before a change goes in: format, lints, bans, tests, documentation.
#
#   ./scripts/test.sh              all of it
#   ./scripts/test.sh --fast       no documentation build
#
# Needs the Rust toolchain, a C and a C++ compiler and make; and for the servers that the tests run against, Docker with
# compose, or root (or sudo) on a Debian-like system, where apt-get and Maven bring Postgres, Redis and Kafka. Ends with
# the test runners' own summaries and a non-zero exit code when anything failed. Warnings are failures.
set -euo pipefail
cd "$(dirname "$0")/.."

# What the tests run against; event stores of their own they start themselves.
servers="postgres redis kafka"
fast=false
witnessed="not run"
servers_ran=false
for argument in "$@"; do
    case "$argument" in
        --fast) fast=true ;;
        *) echo "test.sh: unknown argument '$argument' (known: --fast)" >&2; exit 2 ;;
    esac
done

step() { printf '\n==> %s\n' "$*"; }

log="$(mktemp)"
scratch="$(mktemp -d)"
built="${CARGO_TARGET_DIR:-$PWD/target}/debug"
cleanup() {
    rm -rf "$log" "$scratch"
    # shellcheck disable=SC2086
    [ "$servers_ran" = true ] || ./scripts/services.sh down $servers >/dev/null
}
trap cleanup EXIT
# Servers that ran before are somebody's: they stay.
# shellcheck disable=SC2086
./scripts/services.sh status $servers >/dev/null 2>&1 && servers_ran=true

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
# shellcheck disable=SC2086
./scripts/services.sh up $servers

step "tests"
failed=0
# The summaries are repeated at the end, so that a result is never buried under what the tests print.
cargo test --workspace --no-fail-fast 2>&1 | tee "$log" || failed=1

# The deliberate bugs are compiled in here and nowhere else; of the whole workspace, so that dependencies stay as they are.
step "deliberate bugs"
timeout 900 cargo test --workspace --features wallex-sim-tests/mutants --test mutants 2>&1 | tee -a "$log" || failed=1

# The official Python client against our event store: where Python can make an environment and fetch the client.
witness() {
    local said
    if ! command -v python3 >/dev/null; then witnessed="skipped: there is no python3"; return; fi
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        apt-get -qq -y --no-install-recommends install python3-venv >/dev/null 2>&1 || true
    fi
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then witnessed="skipped: python3 has no venv"; return; fi
    if ! said="$(./scripts/witness.sh --install 2>&1)"; then
        witnessed="skipped: the client cannot be installed: ${said##*$'\n'}"
        return
    fi
    witnessed="failed"
    witness_program && WITNESS_SERVER="$built/examples/with_server" ./scripts/witness.sh && witnessed="passed"
}

# The program that the tests have built, on an empty directory and a port of its own.
witness_program() (
    export SERVICES_DIR="$scratch" SERVICES_EVENTSTORE_PORT=22114 SERVICES_WALLEX="$built/wallex"
    trap './scripts/services.sh down eventstore' EXIT
    ./scripts/services.sh up eventstore && ./scripts/witness.sh "kurrentdb://127.0.0.1:22114?tls=false"
)
step "witness"
witness || failed=1
echo "witness: $witnessed"

if [ "$fast" = false ]; then
    step "documentation"
    RUSTDOCFLAGS="--cfg madsim -D warnings" cargo doc --workspace --no-deps --quiet || failed=1
fi

step "summary"
grep -E '^ +(Running|Doc-tests)|^test result:|^test .* FAILED|^error(\[|:)' "$log" || true
passed="$(sed -n 's/^test result: .*\. \([0-9]*\) passed; .*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')"
broken="$(sed -n 's/^test result: .* \([0-9]*\) failed; .*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')"
echo "total: $passed passed, $broken failed"
echo "witness: $witnessed"
[ "$passed" -gt 0 ] || { echo "test.sh: no test ran" >&2; failed=1; }
exit "$failed"
