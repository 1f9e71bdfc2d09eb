#!/usr/bin/env bash
# Lets the Python client of KurrentDB (kurrentdbclient, from PyPI) use a server of ours: an independent witness that it
# speaks KurrentDB's protocol.
#
#   ./scripts/witness.sh            starts a server on an empty directory, with a transfer in it, and stops it afterwards
#   ./scripts/witness.sh URL        uses one that runs, such as kurrentdb://127.0.0.1:2113?tls=false; leaves streams there
#   ./scripts/witness.sh --install  only installs the client
#
# Needs Python 3.10 or newer with venv. The client is installed once, into target/witness (WITNESS_DIR overrides).
# WITNESS_SERVER names the example `with_server` where it is built already.
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

if [ "${1:-}" = --install ]; then
    exit 0
elif [ $# -gt 0 ]; then
    exec "$dir/venv/bin/python" scripts/witness/witness.py "$1"
fi
if [ -n "${WITNESS_SERVER:-}" ]; then
    exec "$WITNESS_SERVER" "$dir/venv/bin/python" scripts/witness/witness.py
fi
exec cargo run --quiet -p wallex-kurrentdb --example with_server -- "$dir/venv/bin/python" scripts/witness/witness.py
