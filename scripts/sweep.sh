#!/usr/bin/env bash
# A long sweep of the simulator: every preset on every topology, each for the same time.
#
#   ./scripts/sweep.sh                    ten minutes in all, from seed 1
#   ./scripts/sweep.sh 60 1000000         sixty minutes in all, from seed 1,000,000
#   SEED=deadbeef ./scripts/sweep.sh 10   from a seed made of this text, such as a commit's hash
#
# Stops at the first failure, with the block that says how to reproduce it, and after a preset that has not reached every
# situation that it must (docs/SIMULATION.md).
set -euo pipefail
cd "$(dirname "$0")/.."

minutes="${1:-10}"
first="${2:-1}"
case "$minutes$first" in
    *[!0-9]* | "") echo "sweep.sh: usage: sweep.sh [MINUTES [FIRST_SEED]]" >&2; exit 2 ;;
esac
if [ -n "${SEED:-}" ]; then
    first="$((16#$(printf '%s' "$SEED" | sha256sum | cut -c1-12)))"
fi
cargo build --release --quiet -p wallex-sim
seconds="$((minutes * 60 / 6))"
for topology in production embedded; do
    for preset in calm default storm; do
        echo "==> $preset on $topology, $seconds s, from seed $first"
        "${CARGO_TARGET_DIR:-target}/release/wallex-sim" sweep --seeds "$first..$((first + 10000000))" --preset "$preset" \
            --topology "$topology" --for "${seconds}s" --jobs "$(nproc)"
    done
done
