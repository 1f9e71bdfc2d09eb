#!/usr/bin/env bash
# Checks that the tools the build needs are there, installs the missing ones through rustup, or through apt-get as root,
# where that is possible, and says what to do where it is not.
set -euo pipefail

die() { echo "toolchain: $*" >&2; exit 1; }

command -v cargo >/dev/null || die "cargo is missing: install Rust from https://rustup.rs"

# SQLite and ring are compiled from C, librdkafka from C and C++ with make.
missing_tools() {
    local tool
    for tool in cc c++ make; do command -v "$tool" >/dev/null || echo "$tool"; done
}
missing="$(missing_tools | paste -sd ' ')"
if [ -n "$missing" ] && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "toolchain: installing build-essential, for $missing" >&2
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install build-essential >/dev/null
    hash -r
    missing="$(missing_tools | paste -sd ' ')"
fi
[ -z "$missing" ] \
    || die "missing: $missing. A C compiler, a C++ compiler and make are needed: 'sudo apt-get install build-essential'"

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
