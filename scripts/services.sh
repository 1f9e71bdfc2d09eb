#!/usr/bin/env bash
# Starts and stops what the tests need beside the Rust toolchain.
#
#   ./scripts/services.sh up|down|status
#
# The embedded default keeps everything in one process and one directory: it needs no service, and this script says
# so. A service is added as three functions (NAME_up, NAME_down, NAME_status) and its name in `services`. Each keeps
# its files below .services/ and listens on the loopback interface only.
set -euo pipefail
cd "$(dirname "$0")/.."

services=()

case "${1:-}" in
    up | down | status) verb="$1" ;;
    *) echo "usage: services.sh up|down|status" >&2; exit 2 ;;
esac

if [ "${#services[@]}" -eq 0 ]; then
    echo "no services needed: the embedded profile runs in one process"
    exit 0
fi

result=0
for service in "${services[@]}"; do
    "${service}_${verb}" || { echo "services.sh: $verb of $service failed" >&2; result=1; }
done
exit "$result"
