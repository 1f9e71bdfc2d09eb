# shellcheck shell=bash
# Postgres: a cluster of our own. The superuser is `postgres`, without a password, and there is a database `wallex`.
# The server refuses to run as root, so root starts it as the user `postgres`.

postgres_bin() {
    local newest
    newest="$(printf '%s\n' /usr/lib/postgresql/*/bin/postgres | sort -V | tail -n 1)"
    [ -x "$newest" ] && { echo "${newest%/*}"; return; }
    newest="$(command -v postgres)" && echo "${newest%/*}"
}

postgres_install() {
    postgres_bin >/dev/null || with_lock install install_packages psql postgresql
    postgres_bin >/dev/null || die "there is no Postgres server under /usr/lib/postgresql, nor a 'postgres' in PATH"
}

# A server that takes connections answers a startup message (protocol 3.0, user and database `postgres`) with R, a
# request for authentication or none; one that starts or stops, with an error. That needs no client of Postgres here.
postgres_ready() {
    local answer=""
    {
        exec 8<>"/dev/tcp/127.0.0.1/$postgres_port" \
            && printf '\0\0\0\x29\0\x03\0\0user\0postgres\0database\0postgres\0\0\0' >&8 \
            && answer="$(timeout 2 head -c 1 <&8 | tr -d '\0')" \
            && printf 'X\0\0\0\x04' >&8
    } 2>/dev/null || { { exec 8>&-; } 2>/dev/null; return 1; }
    exec 8>&-
    [ "$answer" = R ]
}

# Where the cluster lies: below our directory, unless the user `postgres` cannot go there.
postgres_data() {
    [ "$(id -u)" -eq 0 ] || { echo "$dir/postgres/data"; return; }
    if [ ! -e "$dir/postgres/place" ]; then
        mkdir -p "$dir/postgres"
        local place="$dir/postgres/data"
        if ! runuser -u postgres -- test -x "$dir/postgres"; then
            place="/var/tmp/wallex-services-$(printf '%s' "$dir" | sha256sum | cut -c1-12)/data"
        fi
        echo "$place" >"$dir/postgres/place"
    fi
    cat "$dir/postgres/place"
}

as_postgres() {
    if [ "$(id -u)" -eq 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi
}

postgres_start() {
    local bin data
    bin="$(postgres_bin)"
    mkdir -p "$dir/postgres"
    data="$(postgres_data)"
    if [ ! -e "$data/PG_VERSION" ]; then
        mkdir -p "$data"
        [ "$(id -u)" -ne 0 ] || chown postgres "$data"
        chmod 700 "$data"
        as_postgres "$bin/initdb" -D "$data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --data-checksums --no-sync \
            >>"$dir/postgres/log" 2>&1
    fi
    as_postgres tee "$data/postgresql.auto.conf" >/dev/null <<CONF
port = $postgres_port
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
max_prepared_transactions = 0
log_checkpoints = off
recovery_init_sync_method = syncfs
CONF
    # Where the first process does not reap, a killed server stays in the process table, and its lock looks held. The
    # shared memory, which the server checks too, still says whether a session of it is left.
    if ! postgres_pid >/dev/null && gone "$(head -n 1 "$data/postmaster.pid" 2>/dev/null || echo none)"; then
        rm -f "$data/postmaster.pid"
    fi
    # -w: returns when the server takes connections, also after it had to recover. Sessions of a killed server may need
    # a moment to notice.
    local until=$((SECONDS + 20))
    until as_postgres "$bin/pg_ctl" -D "$data" -w -t "$ready_seconds" -s start \
        </dev/null >>"$dir/postgres/log" 2>&1 9>&-; do
        [ "$SECONDS" -lt "$until" ] || return 1
        sleep 0.2
    done
    as_postgres "$bin/createdb" -h 127.0.0.1 -p "$postgres_port" -U postgres wallex >/dev/null 2>&1 || true
}

postgres_pid() { alive "$(postgres_data)/postmaster.pid" "$(postgres_data)"; }

postgres_stop() {
    [ -e "$dir/postgres" ] || return 0
    local pid
    # SIGINT: ends sessions and stops cleanly; it does not wait for clients to leave.
    if pid="$(postgres_pid)"; then stop_process "$pid" INT; fi
}
