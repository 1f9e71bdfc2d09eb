#!/usr/bin/env bash
# Lets the Python client of KurrentDB (kurrentdbclient, from PyPI) use a server of ours: an independent witness that it
# speaks KurrentDB's protocol.
#
#   ./scripts/witness.sh          starts a server on an empty directory, with a transfer in it, and stops it afterwards
#   ./scripts/witness.sh URL      uses one that runs, such as kurrentdb://127.0.0.1:2113?tls=false; leaves streams there
#
# Needs Python 3.10 or newer with venv. The client is installed once, into target/witness (WITNESS_DIR overrides).
set -euo pipefail
cd "$(dirname "$0")/.."

dir="${WITNESS_DIR:-target/witness}"
pinned="kurrentdbclient==1.3.5"
if [ "$(cat "$dir/installed" 2>/dev/null)" != "$pinned" ]; then
    rm -rf "$dir/venv"
    python3 -m venv "$dir/venv"
    "$dir/venv/bin/pip" install --quiet --disable-pip-version-check "$pinned"
    echo "$pinned" >"$dir/installed"
fi

if [ $# -gt 0 ]; then
    exec "$dir/venv/bin/python" scripts/witness/witness.py "$1"
fi
exec cargo run --quiet -p wallex-kurrentdb --example with_server -- "$dir/venv/bin/python" scripts/witness/witness.py
