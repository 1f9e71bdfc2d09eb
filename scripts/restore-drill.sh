#!/usr/bin/env bash
# Tries the procedures of "Back up and restore" in docs/OPERATIONS.md on a system of its own, as they stand there:
#
#   ./scripts/restore-drill.sh               Postgres restored to an older state than the event store, Kafka gone;
#                                            then Postgres gone as well; then an embedded directory from its copy
#   ./scripts/restore-drill.sh --no-build    with the program that was built before
#
# Each time the service must show every wallet as it was acknowledged, and `wallex verify` must find nothing.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

first="${DRILL_PORTS_FROM:-18300}"
build=true
for argument in "$@"; do
    case "$argument" in
        --no-build) build=false ;;
        *) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
    esac
done

. ./scripts/services/system.sh

if [ "$build" = true ]; then
    say "building"
    cargo build --release --quiet -p wallex
fi
system_begin "$first" restore-drill

load() { "$wallex" load --url "$url" --wallets 50 --operations "$1" --workers 8 >"$dir/load" || { cat "$dir/load" >&2; return 1; }; }

# All wallets as the read model shows them, page by page.
wallets() {
    local cursor="" page
    while :; do
        page="$(curl -sf "$url/wallets?limit=500${cursor:+&cursor=$cursor}")"
        grep -o '{"id":[^}]*}' <<<"$page"
        cursor="$(sed -n 's/.*"nextCursor":"\([^"]*\)".*/\1/p' <<<"$page")"
        [ -n "$cursor" ] || return 0
    done
}

# The outbox's last rows are published, and the ledger and read model have them.
agrees() { # what is compared
    until_caught_up
    wallets | sort >"$dir/wallets.now"
    diff "$dir/wallets.before" "$dir/wallets.now" >&2 || { say "$1: wallets differ"; return 1; }
    "$wallex" verify --config "$dir/wallex.toml" >"$dir/verified" || { cat "$dir/verified" >&2; return 1; }
    say "$1: $(wc -l <"$dir/wallets.now") wallets as they were, every invariant holds"
}

lose_kafka() {
    ./scripts/services.sh down kafka >/dev/null
    rm -rf "$SERVICES_DIR/kafka/data"
    ./scripts/services.sh up kafka >/dev/null
}

say "a system at work"
./scripts/services.sh up postgres redis kafka >/dev/null
event_store_up
instance_up
load 500
until_caught_up
say "backing up Postgres, and the event store after it"
pg_dump -h 127.0.0.1 -p "$SERVICES_POSTGRES_PORT" -U postgres --format=custom --file="$dir/wallex.dump" wallex
load 500
until_caught_up
wallets | sort >"$dir/wallets.before"
instance_down
event_store_down
cp -a "$dir/eventstore" "$dir/eventstore.backup"

say "everything is lost; restoring"
rm -rf "$dir/eventstore"
psql_ postgres -c 'DROP DATABASE wallex WITH (FORCE)'
lose_kafka
cp -a "$dir/eventstore.backup" "$dir/eventstore"
event_store_up
psql_ postgres -c 'CREATE DATABASE wallex'
pg_restore -h 127.0.0.1 -p "$SERVICES_POSTGRES_PORT" -U postgres --dbname=wallex "$dir/wallex.dump"
# The topic is a new one: it is filled from the outbox, and read from its beginning.
psql_ wallex -c "UPDATE projector_checkpoints SET position = 0 WHERE consumer_name <> 'outbox-feeder'"
instance_up
agrees "an older Postgres and a new topic"
load 200
until_caught_up
wallets | sort >"$dir/wallets.before"

say "Postgres is lost for good"
instance_down
psql_ postgres -c 'DROP DATABASE wallex WITH (FORCE)' -c 'CREATE DATABASE wallex'
instance_up
agrees "an empty Postgres and the old topic"
instance_down

say "an embedded directory"
"$wallex" serve --listen "$listen" --data-dir "$dir/embedded" >"$dir/instance.out" 2>>"$dir/instance.log" &
instance_pid=$!
wait_for "$url/health/ready" "$instance_pid"
load 500
until_caught_up
wallets | sort >"$dir/wallets.before"
instance_down
cp -a "$dir/embedded" "$dir/embedded.backup"
"$wallex" verify --data-dir "$dir/embedded.backup" >/dev/null
cp -a "$dir/embedded.backup" "$dir/restored"
"$wallex" serve --listen "$listen" --data-dir "$dir/restored" >"$dir/instance.out" 2>>"$dir/instance.log" &
instance_pid=$!
wait_for "$url/health/ready" "$instance_pid"
until_caught_up
wallets | sort >"$dir/wallets.now"
diff "$dir/wallets.before" "$dir/wallets.now" >&2
say "an embedded copy: $(wc -l <"$dir/wallets.now") wallets as they were"
