# shellcheck shell=bash
# A whole production system on this machine: Postgres, Kafka, Redis, the event store and one instance, on ports and in a
# directory of its own. Sourced by scripts that need one for themselves; `system_begin` first.

# system_begin FIRST_PORT NAME: chooses eight ports from FIRST_PORT on and a directory, and cleans up at the end.
system_begin() {
    local first="$1" root="${SYSTEM_ROOT:-${CARGO_TARGET_DIR:-$PWD/target}}"
    wallex="${WALLEX:-${CARGO_TARGET_DIR:-$PWD/target}/release/wallex}"
    url="http://127.0.0.1:$first"
    listen="127.0.0.1:$first"
    event_store="127.0.0.1:$((first + 1))"
    export SERVICES_MODE=native
    export SERVICES_POSTGRES_PORT=$((first + 2)) SERVICES_REDIS_PORT=$((first + 3)) SERVICES_KAFKA_PORT=$((first + 4))
    export SERVICES_KAFKA_CONTROLLER_PORT=$((first + 5)) SERVICES_KAFKA_PROXIED_PORT=$((first + 6))
    export SERVICES_KAFKA_PROXY_PORT=$((first + 7))
    export SERVICES_CACHE="${SERVICES_CACHE:-${CARGO_TARGET_DIR:-$PWD/target}/services/cache}"
    mkdir -p "$root"
    dir="$(mktemp -d "$root/$2.XXXXXX")"
    chmod 755 "$dir"
    export SERVICES_DIR="$dir/services"
    trap 'say "${0##*/}: line $LINENO failed"' ERR
    trap system_end EXIT
    trap 'exit 130' INT TERM
    cat >"$dir/wallex.toml" <<CONF
profile = "production"
listen = "$listen"
[log]
level = "warn"
[kurrentdb]
url = "kurrentdb://$event_store?tls=false"
[postgres]
url = "postgres://postgres@127.0.0.1:$SERVICES_POSTGRES_PORT/wallex"
[kafka]
brokers = "127.0.0.1:$SERVICES_KAFKA_PORT"
[redis]
url = "redis://127.0.0.1:$SERVICES_REDIS_PORT"
CONF
}

system_end() {
    local status=$?
    trap - EXIT ERR
    rm -f "$dir/watching"
    instance_down
    event_store_down
    ./scripts/services.sh down >/dev/null 2>&1 || true
    if [ "$status" -ne 0 ]; then
        for log in instance.log store.log; do
            [ ! -s "$dir/$log" ] || { say "--- $log"; tail -5 "$dir/$log" >&2; }
        done
    fi
    rm -rf "$dir"
    exit "$status"
}

say() { printf '%s\n' "$*" >&2; }

event_store_up() {
    "$wallex" eventstore --listen "$event_store" --data-dir "$dir/eventstore" >"$dir/store.out" 2>"$dir/store.log" &
    store_pid=$!
    wait_for "http://$event_store/health/live" "$store_pid"
}

event_store_down() { stop "${store_pid:-}"; store_pid=""; }

instance_up() {
    "$wallex" serve --config "$dir/wallex.toml" >"$dir/instance.out" 2>>"$dir/instance.log" &
    instance_pid=$!
    wait_for "$url/health/ready" "$instance_pid"
}

instance_down() { stop "${instance_pid:-}"; instance_pid=""; }

stop() { # pid: ends a process that this script has started, and waits for it
    [ -n "$1" ] || return 0
    kill "$1" 2>/dev/null || return 0
    wait "$1" 2>/dev/null || true
}

wait_for() { # url, pid
    for _ in $(seq 1000); do
        [ -d "/proc/$2" ] || { say "${0##*/}: the server of $1 has ended"; return 1; }
        ! curl -sf --max-time 1 -o /dev/null "$1" || return 0
        sleep 0.02
    done
    say "${0##*/}: $1 does not answer"
    return 1
}

# A figure of the instance, the largest of its kind.
metric() { curl -s --max-time 2 "$url/metrics" | awk -v name="$1" 'index($1, name) == 1 { if ($NF > most) most = $NF } END { printf "%.3f", most }'; }

# Events that some step after the log has not done yet; at least 1 while the oldest of them has an age. Figures that are not
# there, or not known, are no 0.
lag() {
    curl -s --max-time 2 "$url/metrics" | awk '
        !/^(outbox|projector)_lag_(events|seconds)/ { next }
        $NF !~ /^[0-9]/ { unknown = 1; next }
        { seen[$1] = 1 }
        /_lag_seconds/ { if ($NF > 0 && most < 1) most = 1; next }
        $NF > most { most = $NF }
        END { printf "%d", !unknown && ("outbox_lag_events" in seen) && ("outbox_lag_seconds" in seen) ? most : 999999999 }'
}

# Seen twice: one look may fall between a step that has ended and the next that has not begun.
until_caught_up() {
    local seen=0
    for _ in $(seq 3000); do
        if [ "$(lag)" -eq 0 ]; then seen=$((seen + 1)); else seen=0; fi
        [ "$seen" -lt 2 ] || return 0
        sleep 0.02
    done
    say "${0##*/}: the projections do not catch up, $(lag) events behind"
    return 1
}

# psql_ DATABASE ARGUMENTS…
psql_() { local database="$1"; shift; psql -h 127.0.0.1 -p "$SERVICES_POSTGRES_PORT" -U postgres -X -q -v ON_ERROR_STOP=1 "$@" "$database"; }
