# Start-up and memory with much data. Sourced by scripts/bench.sh.
#
# The log is written through the journal itself; files are in the page cache when the service starts, as they are after
# a restart of the service (and not after one of the machine).

start_seconds() { # what to call; leaves the seconds until the service answered in $took
    local begun
    begun="$(date +%s%N)"
    "$@"
    took="$(awk -v ns=$(($(date +%s%N) - begun)) 'BEGIN { print ns / 1e9 }')"
}

measure_scale() {
    local data="$BENCH_DIR/scale" without with_snapshot resident behind left drain
    say "writing $SCALE_EVENTS events of $SCALE_WALLETS wallets"
    "$TARGET/scale_data" fill "$data" "$SCALE_WALLETS" "$SCALE_EVENTS" >&2
    export READY_SECONDS=120
    # No snapshots of its own while it is measured, and nothing that the read side does.
    export WALLEX_JOURNAL_SNAPSHOT_EVERY_EVENTS=1000000000 WALLEX_PROJECTORS_AUTO_START=false
    start_seconds wallex_up "$data"
    without="$took"
    say "  started in $without s without a snapshot"
    stop "$wallex_pid"
    "$TARGET/scale_data" snapshot "$data" >&2
    start_seconds wallex_up "$data"
    with_snapshot="$took"
    resident="$(awk '/^VmRSS/ { print $2 / 1024 }' "/proc/$wallex_pid/status")"
    say "  started in $with_snapshot s from a snapshot, $resident MiB resident"
    # It must have more than a socket: the wallets are there and take transfers.
    curl -sf --max-time 5 -o "$BENCH_DIR/proof" -H 'Content-Type: application/json' \
        -d '{"toWalletId":"wallet-00000002","amount":"0.01"}' \
        "http://127.0.0.1:$PORT_WALLEX/wallets/wallet-00000001/transfer"
    stop "$wallex_pid"
    wallex_pid=""
    # The read side from nothing: the files of the runs before are thrown away.
    rm -f "$data"/wallex.db*
    export WALLEX_PROJECTORS_AUTO_START=true
    wallex_up "$data"
    say "  building the read side"
    read -r behind left drain <<<"$(CATCH_UP_NANOS=300000000000 catch_up)"
    # The whole service, read side and all.
    stop "$wallex_pid"
    start_seconds wallex_up "$data"
    local whole="$took" resident_whole
    resident_whole="$(awk '/^VmRSS/ { print $2 / 1024 }' "/proc/$wallex_pid/status")"
    say "  started with its read side in $whole s, $resident_whole MiB resident"
    awk -v wallets="$SCALE_WALLETS" -v events="$SCALE_EVENTS" -v bytes="$(du -sb "$data/journal" | cut -f1)" \
        -v start="$with_snapshot" -v without="$without" -v resident="$resident" \
        -v drained="$((behind - left))" -v took="$drain" -v whole="$whole" -v resident_whole="$resident_whole" 'BEGIN {
        printf "{\"subject\":\"scale\",\"wallets\":%d,\"events\":%d,\"journal_bytes\":%.0f,\"start_s\":%.3f," \
            "\"start_without_snapshot_s\":%.3f,\"resident_mib\":%.0f,\"drained_per_second\":%.0f," \
            "\"start_whole_s\":%.3f,\"resident_whole_mib\":%.0f}\n",
            wallets, events, bytes, start, without, resident, drained / took, whole, resident_whole
    }' >>"$BENCH_DIR/results.jsonl"
}
