# The empty handler and the service under the load generator. Sourced by scripts/bench.sh.

wait_for() { # url, pid
    local seconds="${READY_SECONDS:-10}"
    for _ in $(seq $((seconds * 50))); do
        [ -d "/proc/$2" ] || { echo "bench.sh: the server of $1 ended" >&2; return 1; }
        # A socket that is bound and not served yet would hold the question until it is: give up early and ask again.
        curl -sf --max-time 0.2 -o "$BENCH_DIR/ready" "$1" && return 0
        sleep 0.02
    done
    echo "bench.sh: $1 is not ready after $seconds s" >&2
    return 1
}

empty_up() {
    "$TARGET/empty_handler" "127.0.0.1:$PORT_EMPTY" "$THREADS" >"$BENCH_DIR/empty.log" 2>&1 &
    empty_pid=$!
    wait_for "http://127.0.0.1:$PORT_EMPTY/health/ready" "$empty_pid"
}

wallex_up() { # data directory
    WALLEX_HTTP_THREADS="$THREADS" WALLEX_LOG_LEVEL=warn "$TARGET/wallex" serve --listen "127.0.0.1:$PORT_WALLEX" \
        --data-dir "$1" >"$BENCH_DIR/wallex.out" 2>"$BENCH_DIR/wallex.log" &
    wallex_pid=$!
    wait_for "http://127.0.0.1:$PORT_WALLEX/health/ready" "$wallex_pid"
}

stop() { # pid: ends a process that this script started, and waits for it
    [ -n "${1:-}" ] || return 0
    kill "$1" 2>/dev/null || return 0
    wait "$1" 2>/dev/null || true
}

create_wallets() {
    local first last body status
    for first in $(seq 1 1000 "$WALLETS"); do
        last=$((first + 999 < WALLETS ? first + 999 : WALLETS))
        body="$BENCH_DIR/wallets.json"
        awk -v first="$first" -v last="$last" 'BEGIN {
            printf "{\"atomic\":true,\"operations\":["
            for (id = first; id <= last; id++)
                printf "%s{\"type\":\"create\",\"walletId\":\"wallet-%06d\",\"ownerId\":\"owner-1\",\"currency\":\"USD\",\"initialBalance\":\"1000000000\"}",
                    (id > first ? "," : ""), id
            printf "]}"
        }' >"$body"
        status="$(curl -s -o "$BENCH_DIR/created.json" -w '%{http_code}' -H 'Content-Type: application/json' \
            --data-binary "@$body" "http://127.0.0.1:$PORT_WALLEX/batch")"
        [ "$status" = 200 ] || { echo "bench.sh: wallets were not created: $status" >&2; return 1; }
    done
}

# Events that some step of the pipeline has not done yet.
lag_events() {
    curl -s "http://127.0.0.1:$PORT_WALLEX/metrics" \
        | awk '/^(outbox|projector)_lag_events/ { if ($NF > most) most = $NF } END { printf "%d", most }'
}

# Notes the largest lag once a second while the file is there.
watch_lag() {
    local most=0 lag
    while [ -e "$BENCH_DIR/watching" ]; do
        lag="$(lag_events)"
        [ "$lag" -gt "$most" ] && most="$lag"
        echo "$most" >"$BENCH_DIR/lag_max"
        sleep 1
    done
}

# CPU time of the threads of a process so far, in ticks: one line for each kind of thread.
thread_ticks() { # pid
    { cat /proc/"$1"/task/[0-9]*/stat 2>/dev/null || true; } | awk '{
        name = $0
        sub(/^[^(]*\(/, "", name)
        sub(/\) [^)]*$/, "", name)
        sub(/^.*\) /, "")
        kind = "other"
        if (name ~ /^http-/) kind = "http"
        else if (name ~ /^wallex-(commands|pipeline|upkeep)/) kind = substr(name, 8)
        else if (name ~ /^wallex-sqlite/) kind = "sqlite"
        ticks[kind] += $12 + $13
    } END { for (kind in ticks) print kind, ticks[kind] }'
}

# Microseconds for each operation by kind of thread, as JSON: ticks before, ticks after, operations
threads_json() {
    awk -v n="$3" -v hz="$(getconf CLK_TCK)" 'FNR == NR { before[$1] = $2; next }
        { more = more sprintf("%s\"%s\":%.2f", (more ? "," : ""), $1, (n > 0 ? ($2 - before[$1]) * 1e6 / hz / n : 0)) }
        END { printf "{%s}", more }' <(echo "$1") <(echo "$2")
}

# A number of the generator's line of JSON in $output.
member() { # name
    sed "s/.*\"$1\":\([0-9.]*\).*/\1/" <<<"$output"
}

measure_http() { # subject (empty, wallex), scenario (spread, hot, batch), keyed (0, 1), connections, seconds
    local subject="$1" scenario="$2" keyed="$3" connections="$4" seconds="$5" port pid before cpu output watcher=""
    if [ "$subject" = empty ]; then port="$PORT_EMPTY" pid="$empty_pid"; else port="$PORT_WALLEX" pid="$wallex_pid"; fi
    local run=("$TARGET/http_load" --address "127.0.0.1:$port" --mode "$scenario" --connections "$connections"
        --wallets "$WALLETS")
    local prefix="$RUN-$subject-$scenario-$connections" keys=()
    [ "$keyed" = 1 ] && keys=(--keys "$prefix-warm")
    "${run[@]}" --warm-up 0 --seconds 1 "${keys[@]}" >/dev/null
    [ "$keyed" = 1 ] && keys=(--keys "$prefix")
    if [ "$subject" = wallex ]; then
        catch_up >/dev/null
        touch "$BENCH_DIR/watching"
        watch_lag &
        watcher=$!
        threads_before="$(thread_ticks "$pid")"
    fi
    before="$(cpu_ticks "$pid")"
    output="$("${run[@]}" --warm-up 0 --seconds "$seconds" "${keys[@]}")"
    cpu=$(($(cpu_ticks "$pid") - before))
    local requests p50 p99 refused broken unmeasured
    requests="$(member requests)" p50="$(member p50_us)" p99="$(member p99_us)"
    refused="$(member refused)" broken="$(member broken)" unmeasured="$(member requests_unmeasured)"
    if [ "$((refused + broken))" -gt 0 ]; then echo "bench.sh: $output" >&2; fi
    # Answers that came after the end are not counted; their share of the processor time is not either.
    cpu=$((cpu * requests / (requests + unmeasured > 0 ? requests + unmeasured : 1)))
    local each=1 extra="" name="$scenario"
    [ "$scenario" = batch ] && each=1000
    if [ "$subject" = wallex ]; then
        after_load "$watcher" "$before" "$pid" "$(((requests + unmeasured) * each))"
        extra="$after"
        [ "$keyed" = 1 ] || name="$scenario, no key"
    fi
    record "$subject" "$name" "$connections" "$((requests * each))" \
        "$(awk -v n="$requests" -v each="$each" -v s="$seconds" 'BEGIN { print n * each / s }')" \
        "$p50" "$p99" "$cpu" "$((refused + broken))" "$extra"
}

# Waits until every event is projected; gives the lag at the start and the seconds it took.
catch_up() {
    local begun lag first=""
    begun="$(date +%s%N)"
    while true; do
        lag="$(lag_events)"
        first="${first:-$lag}"
        if [ "$lag" -eq 0 ] || [ $(($(date +%s%N) - begun)) -gt "${CATCH_UP_NANOS:-120000000000}" ]; then break; fi
        sleep 0.05
    done
    echo "$first $lag $(awk -v ns=$(($(date +%s%N) - begun)) 'BEGIN { print ns / 1e9 }')"
}

after_load() { # watcher's pid, ticks before, server's pid, operations; leaves the members of the record in $after
    local at_end left took ticks
    rm -f "$BENCH_DIR/watching"
    read -r at_end left took <<<"$(catch_up)"
    ticks=$(($(cpu_ticks "$3") - $2))
    wait "$1" 2>/dev/null || true
    local threads
    threads="$(threads_json "$threads_before" "$(thread_ticks "$3")" "$4")"
    after="$(printf ',"threads_us":%s,"lag_events_max":%s,"lag_events_at_end":%s,"lag_events_left":%s,"caught_up_s":%s,"cpu_us_with_projection":%s' \
        "$threads" "$(cat "$BENCH_DIR/lag_max")" "$at_end" "$left" "$took" \
        "$(awk -v t="$ticks" -v hz="$(getconf CLK_TCK)" -v n="$4" 'BEGIN { print (n > 0 ? t * 1e6 / hz / n : 0) }')")"
}
