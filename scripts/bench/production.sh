#!/usr/bin/env bash
# Measures the production profile: Postgres, Kafka, Redis, the event store and one instance, all on this machine, under
# `wallex load`. Run by ./scripts/bench.sh --production, or by itself:
#
#   ./scripts/bench/production.sh                 1,000 wallets, 20,000 operations, 20 workers
#   ./scripts/bench/production.sh --no-build      with the program that was built before
#   ./scripts/bench/production.sh --profile       also says where the instance spends its time (perf) and which
#                                                 statements Postgres ran (pg_stat_statements)
#   WALLETS=… OPERATIONS=… WORKERS=…              another load
#
# Everything has ports and a directory of its own (BENCH_PORTS_FROM, BENCH_ROOT), and is gone at the end.
set -Eeuo pipefail
cd "$(dirname "$0")/../.."

WALLETS="${WALLETS:-1000}" OPERATIONS="${OPERATIONS:-20000}" WORKERS="${WORKERS:-20}"
first="${BENCH_PORTS_FROM:-18200}"
build=true profile=false
for argument in "$@"; do
    case "$argument" in
        --no-build) build=false ;;
        --profile) profile=true ;;
        *) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
    esac
done

. ./scripts/services/system.sh

# CPU time of a process and its children so far, in ticks.
cpu_ticks() {
    { cat /proc/[0-9]*/stat 2>/dev/null || true; } | awk -v pid="$1" '{
        own = $1
        sub(/^.*\) /, "")
        if (own == pid || $2 == pid) ticks += $12 + $13 + $14 + $15
    } END { print ticks + 0 }'
}

# CPU time of the children that this script has waited for, in ticks: every command that it ran.
children_ticks() { sed 's/.*) //' "/proc/$$/stat" | awk '{ print $14 + $15 }'; }

pid_of() { # service
    case "$1" in
        instance) echo "$instance_pid" ;;
        "event store") echo "$store_pid" ;;
        postgres) head -n 1 "$(cat "$SERVICES_DIR/postgres/place" 2>/dev/null || echo "$SERVICES_DIR/postgres/data")/postmaster.pid" ;;
        *) cat "$SERVICES_DIR/$1/pid" ;;
    esac
}

# Notes the largest lag while the file is there.
watch_lag() {
    local most=0 now
    while [ -e "$dir/watching" ]; do
        now="$(lag)"
        [ "$now" -le "$most" ] || most="$now"
        echo "$most" >"$dir/lag_max"
        sleep 0.5
    done
}

if [ "$build" = true ]; then
    say "building"
    cargo build --release --quiet -p wallex
    # A machine that is busy with other things measures those too: let the build fade.
    sleep 10
fi
load_before="$(cut -d ' ' -f 1 /proc/loadavg)"
SYSTEM_ROOT="${BENCH_ROOT:-}" system_begin "$first" bench-production

say "starting the servers"
./scripts/services.sh up postgres redis kafka >/dev/null
event_store_up
if [ "$profile" = true ]; then
    data="$(cat "$SERVICES_DIR/postgres/place" 2>/dev/null || echo "$SERVICES_DIR/postgres/data")"
    echo "shared_preload_libraries = 'pg_stat_statements'" >>"$data/postgresql.conf"
    ./scripts/services.sh down postgres >/dev/null && ./scripts/services.sh up postgres >/dev/null
    psql_ wallex -c 'create extension if not exists pg_stat_statements'
fi
instance_up

say "warming up"
"$wallex" load --url "$url" --wallets 200 --operations 4000 --workers "$WORKERS" >/dev/null
[ "$profile" = false ] || psql_ wallex -c 'select pg_stat_statements_reset()' >/dev/null

say "measuring"
subjects=(instance "event store" postgres kafka redis)
declare -A before
for subject in "${subjects[@]}"; do before[$subject]="$(cpu_ticks "$(pid_of "$subject")")"; done
appends_before="$(metric appends_total)" commands_before="$(metric append_commands_total)"
touch "$dir/watching"
watch_lag &
watcher=$!
if [ "$profile" = true ]; then
    perf record -q -F 499 -g -o "$dir/perf" -p "$instance_pid" -- sleep 6 >/dev/null 2>&1 &
    perf_pid=$!
fi
result=0
# The comparison comes after the CPU was read: it is not what is measured.
generator_before="$(children_ticks)"
"$wallex" load --url "$url" --wallets "$WALLETS" --operations "$OPERATIONS" --workers "$WORKERS" --no-check >"$dir/load" || result=$?
generator=$(($(children_ticks) - generator_before))
lag_end="$(lag)" began="$(date +%s%N)"
declare -A used
for subject in "${subjects[@]}"; do used[$subject]=$(($(cpu_ticks "$(pid_of "$subject")") - before[$subject])); done
until_caught_up
caught_up_ms=$((($(date +%s%N) - began) / 1000000))
rm -f "$dir/watching"
wait "$watcher"

cat "$dir/load"
awk -v lag_max="$(cat "$dir/lag_max")" -v lag_end="$lag_end" -v caught_up="$caught_up_ms" -v load="$load_before" '
    { gsub(/,/, "") }
    $1 == "Total" { failed = $4; total = $2 }
    $1 == "Throughput" { rate = $2 }
    $1 ~ /^(create|credit|debit|transfer|all)$/ { p50[$1] = $3; p95[$1] = $4; p99[$1] = $5 }
    END {
        printf "\n%d ✓ / %d ✗, load average before %s\n\n", total, failed, load
        print "|                  | this run | the original |"
        print "| ---------------- | -------: | -----------: |"
        printf "| operations/s     | %d | 220 |\n", rate
        split("create credit debit transfer", kinds, " ")
        split("85 70 70 140", original, " ")
        for (at = 1; at <= 4; at++) {
            kind = kinds[at]
            printf "| %s p50 / p95 / p99 ms | %.1f / %.1f / %.1f | p95 %d |\n", kind, p50[kind], p95[kind], p99[kind], original[at]
        }
        printf "| projections behind at most | %d events | |\n", lag_max
        printf "| projections behind at the end | %d events, gone after %d ms | |\n\n", lag_end, caught_up
    }' "$dir/load"
awk -v appends="$(metric appends_total)" -v before="$appends_before" -v commands="$(metric append_commands_total)" \
    -v commands_before="$commands_before" 'BEGIN { if (appends > before)
        printf "%.1f commands in one append\n\n", (commands - commands_before) / (appends - before) }'
echo "| CPU, µs for each operation and creation | |"
echo "| --- | ---: |"
used[generator]="$generator"
for subject in "${subjects[@]}" generator; do
    awk -v name="$subject" -v ticks="${used[$subject]}" -v n=$((OPERATIONS + WALLETS)) -v hz="$(getconf CLK_TCK)" \
        'BEGIN { printf "| %s | %.0f |\n", name, ticks * 1e6 / hz / n }'
done

if [ "$profile" = true ]; then
    wait "$perf_pid" || true
    echo
    psql_ wallex -c "select calls, round(rows::numeric / calls, 1) as rows, round(mean_exec_time::numeric, 3) as ms,
        round(total_exec_time) as total_ms, left(regexp_replace(query, '\s+', ' ', 'g'), 100) as statement
        from pg_stat_statements order by total_exec_time desc limit 24"
    psql_ wallex -c 'select wal_records, wal_bytes, wal_write, wal_sync from pg_stat_wal'
    perf report -i "$dir/perf" --no-children -g none --sort comm --stdio 2>/dev/null | grep -v '^#' | grep -v '^$' | cut -c1-110 | head -12
    perf report -i "$dir/perf" --no-children -g none --sort comm,symbol --stdio 2>/dev/null | grep -v '^#' | grep -v '^$' | cut -c1-130 | head -50
fi
exit "$result"
