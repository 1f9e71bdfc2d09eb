#!/usr/bin/env bash
# Proves that the bans in core/clippy.toml bite: a crate that breaks each of them must be reported once for each.
# A ban with a misspelt path would otherwise stay silent for ever.
set -euo pipefail
cd "$(dirname "$0")/.."

root="$PWD"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
cat >"$work/Cargo.toml" <<'TOML'
[package]
name = "ban-check"
version = "0.0.0"
edition = "2024"

[workspace]
TOML
cat >"$work/src/lib.rs" <<'RUST'
pub fn offends() {
    let _ = std::time::SystemTime::now(); // clock
    let _ = std::time::Instant::now(); // clock
    std::thread::spawn(|| ()); // thread
    std::thread::sleep(std::time::Duration::ZERO); // thread
    let _ = std::env::var("HOME"); // environment
    let _ = std::process::id(); // environment
    let _ = std::fs::read("/"); // io
    let _: std::collections::HashMap<u8, u8>; // order
    let _: std::collections::HashSet<u8>; // order
    let _: std::hash::RandomState; // order
}
RUST

report="$(CLIPPY_CONF_DIR="$root/core" cargo clippy --quiet --offline --manifest-path "$work/Cargo.toml" \
    --target-dir "$root/target/ban-check" --message-format short 2>&1 || true)"
missed=0
while IFS=: read -r line text; do
    if ! grep -Eq "lib\.rs:$line:[0-9]+: .*disallowed" <<<"$report"; then
        echo "not banned: ${text#"${text%%[! ]*}"}" >&2
        missed=1
    fi
done < <(grep -nE '// (clock|thread|environment|io|order)$' "$work/src/lib.rs")
if [ "$missed" -ne 0 ]; then
    printf '%s\n' "$report" >&2
    exit 1
fi
# And the core itself is held to them: its lints are on.
grep -q '^workspace = true' core/Cargo.toml && grep -q '^disallowed_methods' Cargo.toml && grep -q '^disallowed_types' Cargo.toml \
    || { echo "wallex-core does not take the workspace lints disallowed_methods and disallowed_types" >&2; exit 1; }
echo "every ban bites"
