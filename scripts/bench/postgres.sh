# Postgres under pgbench, in a cluster of its own. Sourced by scripts/bench.sh.
#
# The server refuses to run as root, so root runs it as the user that the package made. Default settings, but for more
# buffers and a larger WAL, which spare it work while it is measured; synchronous_commit stays on.

postgres_bin() { # the directory of the newest server
    local newest
    newest="$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)"
    [ -n "$newest" ] && [ -x "$newest/initdb" ] && { echo "$newest"; return; }
    command -v initdb >/dev/null && dirname "$(readlink -f "$(command -v initdb)")"
}

as_postgres() {
    if [ "$(id -u)" -eq 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi
}

postgres_up() { # data directory
    pg_data="$1/postgres"
    pg_bin="$(postgres_bin)"
    pg_user="$([ "$(id -u)" -eq 0 ] && echo postgres || id -un)"
    if [ "$(id -u)" -eq 0 ]; then install -d -o postgres -m 700 "$pg_data"; else install -d -m 700 "$pg_data"; fi
    as_postgres "$pg_bin/initdb" -D "$pg_data" -U bench -A trust -E UTF8 --locale=C.UTF-8 >/dev/null
    cat >>"$pg_data/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
port = $PORT_POSTGRES
unix_socket_directories = ''
max_connections = 300
shared_buffers = 512MB
max_wal_size = 8GB
synchronous_commit = on
CONF
    as_postgres "$pg_bin/pg_ctl" -D "$pg_data" -l "$pg_data/server.log" -w start >/dev/null
    pg_pid="$(head -1 "$pg_data/postmaster.pid")"
    pg psql -q -f "$BENCH_SCRIPTS/schema.sql"
    pg psql -q -c "insert into accounts select id, 'owner-1', 'USD', 100000000000, 1, now(), now()
        from generate_series(1, $WALLETS) id" -c 'vacuum analyze accounts'
}

postgres_down() {
    [ -n "${pg_pid:-}" ] || return 0
    # Only while the process is still the one that was started.
    if [ "$(head -1 "$pg_data/postmaster.pid" 2>/dev/null)" = "$pg_pid" ]; then
        kill -INT "$pg_pid" 2>/dev/null || true
        for _ in $(seq 100); do [ -d "/proc/$pg_pid" ] || break; sleep 0.1; done
    fi
    pg_pid=""
}

pg() { # tool, arguments
    local tool="$1"
    shift
    PGOPTIONS='-c client_min_messages=warning' "$pg_bin/$tool" -h 127.0.0.1 -p "$PORT_POSTGRES" -U bench \
        $([ "$tool" = psql ] && echo '-X -v ON_ERROR_STOP=1') "$@" postgres
}

measure_postgres() { # scenario (spread, hot), connections, seconds
    local scenario="$1" connections="$2" seconds="$3" jobs logs cpu before output count
    jobs="$([ "$connections" -eq 1 ] && echo 1 || echo 2)"
    logs="$BENCH_DIR/pgbench"
    rm -rf "$logs" && mkdir "$logs"
    local run=(pgbench -n -M prepared -c "$connections" -j "$jobs" -D "wallets=$WALLETS" -f "$BENCH_SCRIPTS/$scenario.pgbench")
    pg "${run[@]}" -T 1 >/dev/null
    before="$(cpu_ticks "$pg_pid")"
    output="$(pg "${run[@]}" -T "$seconds" -l --log-prefix="$logs/log")"
    cpu=$(($(cpu_ticks "$pg_pid") - before))
    count="$(cat "$logs"/log.* | wc -l)"
    # Third column of the log: microseconds of the transaction.
    cat "$logs"/log.* | awk '{ print $3 }' | sort -n >"$logs/sorted"
    local rate failed
    rate="$(sed -n 's/^tps = \([0-9.]*\) .*/\1/p' <<<"$output")"
    failed="$(sed -n 's/^number of failed transactions: \([0-9]*\) .*/\1/p' <<<"$output")"
    record "postgres" "$scenario" "$connections" "$count" "$rate" "$(nth "$logs/sorted" "$count" 50)" \
        "$(nth "$logs/sorted" "$count" 99)" "$cpu" "${failed:-0}" ""
    # What it still has to write must not disturb the next measurement.
    pg psql -q -c checkpoint
}

nth() { # sorted file, lines, percentile
    sed -n "$(($2 * $3 / 100 + 1))p" "$1"
}
