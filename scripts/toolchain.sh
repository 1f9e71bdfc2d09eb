#!/usr/bin/env bash
# Checks that the tools the tests need are there, installs the missing ones through rustup where that is possible,
# and says what to do where it is not.
set -euo pipefail

die() { echo "toolchain: $*" >&2; exit 1; }

command -v cargo >/dev/null || die "cargo is missing: install Rust from https://rustup.rs"
command -v cc >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null \
    || die "no C compiler (SQLite is compiled from C): install gcc or clang, for example 'apt-get install gcc'"

need() { # component, command that proves it
    if ! cargo "$2" --version >/dev/null 2>&1; then
        command -v rustup >/dev/null || die "'cargo $2' is missing and there is no rustup: install the $1 of your Rust"
        rustup component add "$1" || die "rustup could not install $1"
    fi
}
need rustfmt fmt
need clippy clippy

wanted="$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/../Cargo.toml")"
have="$(rustc --version | sed 's/^rustc \([0-9]*\.[0-9]*\).*/\1/')"
[ "$(printf '%s\n%s\n' "$wanted" "$have" | sort -V | head -1)" = "$wanted" ] \
    || die "rustc $have is too old: $wanted or newer is needed ('rustup update')"
rustc --version
