#!/usr/bin/env bash
# Starts and stops the servers that the production profile stands on: Postgres, Redis, Kafka, and our event store.
#
#   ./scripts/services.sh up [NAME…]      installs what is missing, starts what is down, returns when it answers
#   ./scripts/services.sh down [NAME…]    stops what this checkout has started, and nothing else
#   ./scripts/services.sh status          says what answers where; success when everything does
#   ./scripts/services.sh kill NAME       kill -9
#   ./scripts/services.sh restart NAME    starts it again over the same data
#
# With a container engine the servers are containers (scripts/services/compose.yml), else native processes: Debian
# packages, and Kafka from Maven artifacts pinned by their sums. SERVICES_MODE=native|docker forces either. The event
# store (`wallex eventstore`, in the place of KurrentDB) is built when it is missing; SERVICES_WALLEX names another build.
# Native servers keep their files in target/services (SERVICES_DIR overrides) and listen on 127.0.0.1 alone. Everything
# may be called twice, and by two callers at once. The embedded profile needs none of it.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")/services" && pwd)"
root="$(cd "$here/../.." && pwd)"

postgres_port="${SERVICES_POSTGRES_PORT:-25434}"
eventstore_port="${SERVICES_EVENTSTORE_PORT:-22113}"
redis_port="${SERVICES_REDIS_PORT:-26379}"
kafka_port="${SERVICES_KAFKA_PORT:-29092}"
kafka_controller_port="${SERVICES_KAFKA_CONTROLLER_PORT:-29093}"
# The listener for tests with a proxy in between, and the address it advertises: where such a proxy listens.
kafka_proxied_port="${SERVICES_KAFKA_PROXIED_PORT:-29094}"
kafka_proxy_port="${SERVICES_KAFKA_PROXY_PORT:-29095}"
dir="${SERVICES_DIR:-$root/target/services}"
cache="${SERVICES_CACHE:-$root/target/services/cache}"
ready_seconds="${SERVICES_READY_SECONDS:-120}"
known="postgres redis kafka eventstore"

die() { echo "services.sh: $*" >&2; exit 1; }
usage() { sed -n '4,8s/^# *//p' "${BASH_SOURCE[0]}" >&2; exit 2; }

# shellcheck source=services/process.sh
. "$here/process.sh"
# shellcheck source=services/install.sh
. "$here/install.sh"
# shellcheck source=services/postgres.sh
. "$here/postgres.sh"
# shellcheck source=services/redis.sh
. "$here/redis.sh"
# shellcheck source=services/kafka.sh
. "$here/kafka.sh"
# shellcheck source=services/eventstore.sh
. "$here/eventstore.sh"
# shellcheck source=services/docker.sh
. "$here/docker.sh"

verb="${1:-}"
[ -n "$verb" ] || usage
shift
for name in "$@"; do
    case " $known " in *" $name "*) ;; *) die "unknown service '$name' (known: $known)" ;; esac
done
[ $# -gt 0 ] || case "$verb" in kill | restart) usage ;; *) read -ra all <<<"$known"; set -- "${all[@]}" ;; esac

port_of() { local port="${1}_port"; echo "${!port}"; }

# Runs a function for every service at once; fails when one fails.
each() {
    local action="$1" name pids=() result=0; shift
    for name in "$@"; do "$action" "$name" & pids+=($!); done
    for pid in "${pids[@]}"; do wait "$pid" || result=1; done
    return "$result"
}

up_one() {
    "${1}_ready" && return 0
    if [ "$1" != eventstore ] && [ "$(mode)" = docker ]; then docker_up "$1"; return; fi
    "${1}_install"
    with_lock "$1" start_one "$1" || { echo "services.sh: $1 did not start" >&2; return 1; }
}

# Under the lock: somebody else may have started it meanwhile.
start_one() {
    "${1}_ready" || { "${1}_start" && wait_ready "$1"; }
}

down_one() {
    if docker_has "$1"; then docker_down "$1"; return; fi
    with_lock "$1" "${1}_stop"
}

kill_one() {
    if docker_has "$1"; then docker_kill "$1"; return; fi
    local pid
    pid="$("${1}_pid")" || die "$1 was not started from $dir, so it is not killed"
    kill -9 "$pid"
    wait_gone "$pid"
}

status_one() {
    if "${1}_ready"; then
        echo "$1: answers at 127.0.0.1:$(port_of "$1")"
    else
        echo "$1: does not answer at 127.0.0.1:$(port_of "$1")"
        return 1
    fi
}

case "$verb" in
    up) each up_one "$@"; each status_one "$@" ;;
    down) each down_one "$@" ;;
    status) each status_one "$@" ;;
    kill) each kill_one "$@" ;;
    restart) each up_one "$@" ;;
    *) usage ;;
esac
