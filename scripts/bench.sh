#!/usr/bin/env bash
# Measures the service against an empty handler and a Postgres stored procedure, on this machine, in one go.
#
#   ./scripts/bench.sh              the comparison: every subject at 1, 16, 64 and 256 connections (about 7 minutes)
#   ./scripts/bench.sh --quick      the same with short runs, to see that it works; the figures are rough
#   ./scripts/bench.sh --scale      start-up and memory with a million wallets and ten million events
#   ./scripts/bench.sh --production the production profile with all its servers under `wallex load` (bench/production.sh)
#   ./scripts/bench.sh --publish    comparison and scale, and writes docs/performance.json, docs/performance.svg and the
#                                   tables in docs/PERFORMANCE.md
#   ./scripts/bench.sh --only=machine,in-process,empty,wallex,postgres     some of these only
#   ./scripts/bench.sh --no-build   with the programs that were built before
#
# Needs cargo, curl and Postgres (its server and pgbench); as root it installs Postgres with apt-get.
# Everything listens on 127.0.0.1, keeps its files below one directory, and is gone at the end. BENCH_ROOT chooses
# where that directory is made: its disk is what is measured.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

BENCH_SCRIPTS="$PWD/scripts/bench"
TARGET="${CARGO_TARGET_DIR:-$PWD/target}/release"
PORT_EMPTY="${BENCH_PORT_EMPTY:-38180}"
PORT_WALLEX="${BENCH_PORT_WALLEX:-38181}"
PORT_POSTGRES="${BENCH_PORT_POSTGRES:-38182}"
WALLETS=10000
THREADS=$(($(nproc) / 2 > 0 ? $(nproc) / 2 : 1))
CONNECTIONS=(1 16 64 256)
SECONDS_SINGLE=6
SECONDS_BATCH=3
SECONDS_IN_PROCESS=5
SCALE_WALLETS=1000000
SCALE_EVENTS=10000000
RUN="$(date +%s)"
build=true
publish=false
scale=false
only="machine,in-process,empty,wallex,postgres"

for argument in "$@"; do
    case "$argument" in
        --quick)
            SECONDS_SINGLE=2 SECONDS_BATCH=1 SECONDS_IN_PROCESS=2
            SCALE_WALLETS=100000 SCALE_EVENTS=1000000
            ;;
        --scale) scale=true ;;
        --production) shift; exec ./scripts/bench/production.sh "$@" ;;
        --publish) publish=true ;;
        --no-build) build=false ;;
        --only=*) only="${argument#--only=}" ;;
        *) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
    esac
done

. "$BENCH_SCRIPTS/postgres.sh"
. "$BENCH_SCRIPTS/http.sh"

with() { [[ ",$only," == *",$1,"* ]]; }
say() { printf '%s\n' "$*" >&2; }

need() { # command, packages
    command -v "$1" >/dev/null && return
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        say "bench.sh: $1 is missing; on Debian: apt-get install $2"
        exit 3
    fi
    say "installing $2"
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $2 >/dev/null
}

# Refuses to measure somebody else's server.
need_port() {
    if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then
        say "bench.sh: port $1 is taken (another run?); BENCH_PORT_EMPTY, _WALLEX and _POSTGRES choose others"
        exit 3
    fi
}

need_postgres() {
    [ -n "$(postgres_bin)" ] && return
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        # The package would start a cluster of its own: say that none is wanted before it is installed.
        install -d /etc/postgresql-common
        grep -qs '^create_main_cluster' /etc/postgresql-common/createcluster.conf \
            || echo 'create_main_cluster = false' >>/etc/postgresql-common/createcluster.conf
    fi
    need initdb postgresql
    [ -n "$(postgres_bin)" ] || { say "bench.sh: no Postgres server was found"; exit 3; }
}

# CPU time of a process so far, in ticks: its own, its children's, and that of children it has waited for.
cpu_ticks() { # pid
    { cat /proc/[0-9]*/stat 2>/dev/null || true; } | awk -v pid="$1" '{
        own = $1
        sub(/^.*\) /, "")
        if (own == pid || $2 == pid) ticks += $12 + $13 + $14 + $15
    } END { print ticks + 0 }'
}

# Appends one measurement: subject, scenario, connections, operations, per second, p50 us, p99 us, ticks, errors, more
record() {
    awk -v subject="$1" -v scenario="$2" -v connections="$3" -v n="$4" -v rate="$5" -v p50="$6" -v p99="$7" \
        -v ticks="$8" -v errors="$9" -v more="${10}" -v hz="$(getconf CLK_TCK)" 'BEGIN {
        printf "{\"subject\":\"%s\",\"scenario\":\"%s\",\"connections\":%d,\"operations\":%d,\"per_second\":%.1f," \
            "\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"cpu_us\":%.2f,\"errors\":%d%s}\n",
            subject, scenario, connections, n, rate, p50 / 1e3, p99 / 1e3, (n > 0 ? ticks * 1e6 / hz / n : 0), errors, more
    }' >>"$BENCH_DIR/results.jsonl"
    say "$(printf '  %-10s %-18s %4s connections  %10.0f/s' "$1" "$2" "$3" "$5")"
}

cleanup() {
    local status=$?
    rm -f "${BENCH_DIR:-/nonexistent}/watching"
    stop "${wallex_pid:-}"
    stop "${empty_pid:-}"
    postgres_down || true
    if [ -n "${BENCH_DIR:-}" ]; then
        if [ "$status" -ne 0 ]; then
            for log in wallex.log empty.log postgres/server.log; do
                [ -s "$BENCH_DIR/$log" ] && { say "--- $log"; tail -5 "$BENCH_DIR/$log" >&2; }
            done
        fi
        rm -rf "$BENCH_DIR"
    fi
    exit "$status"
}

# A directory on the disk that is measured. Postgres must be able to enter it, which it cannot below a home of root.
make_bench_dir() {
    local root="${BENCH_ROOT:-${CARGO_TARGET_DIR:-$PWD/target}}"
    mkdir -p "$root"
    BENCH_DIR="$(mktemp -d "$root/bench.XXXXXX")"
    chmod 755 "$BENCH_DIR"
    if with postgres && ! as_postgres test -x "$BENCH_DIR" 2>/dev/null; then
        rmdir "$BENCH_DIR"
        [ -z "${BENCH_ROOT:-}" ] || { say "bench.sh: the user postgres cannot enter $BENCH_ROOT"; exit 2; }
        BENCH_DIR="$(mktemp -d /var/tmp/wallex-bench.XXXXXX)"
        chmod 755 "$BENCH_DIR"
    fi
}

compare() {
    if with empty; then empty_up; fi
    if with postgres; then say "starting Postgres"; postgres_up "$BENCH_DIR"; fi
    if with wallex; then say "starting wallex"; wallex_up "$BENCH_DIR/wallex"; create_wallets; catch_up >/dev/null; fi
    # One connection count after another, and its subjects side by side, so that a machine that changes its speed
    # changes it for all of them.
    local connections
    for connections in "${CONNECTIONS[@]}"; do
        say "$connections connections"
        if with empty; then measure_http empty spread 1 "$connections" "$SECONDS_SINGLE"; fi
        if with wallex; then
            measure_http wallex spread 1 "$connections" "$SECONDS_SINGLE"
            measure_http wallex hot 1 "$connections" "$SECONDS_SINGLE"
            measure_http wallex spread 0 "$connections" "$SECONDS_SINGLE"
        fi
        if with postgres; then
            measure_postgres spread "$connections" "$SECONDS_SINGLE"
            measure_postgres hot "$connections" "$SECONDS_SINGLE"
        fi
    done
    if with wallex; then
        for connections in 1 4 16 64; do
            measure_http wallex batch 0 "$connections" "$SECONDS_BATCH"
            measure_http wallex batch 1 "$connections" "$SECONDS_BATCH"
        done
    fi
}

machine() {
    say "the command machine without IO"
    cargo bench --quiet -p wallex-benches --bench command -- --warm-up-time 0.5 --measurement-time 2 --noplot \
        >"$BENCH_DIR/criterion.log" 2>&1 || { tail -5 "$BENCH_DIR/criterion.log" >&2; return 1; }
    report+=(--criterion "${CARGO_TARGET_DIR:-$PWD/target}/criterion")
}

in_process() {
    say "in process, without HTTP"
    local in_flight
    for in_flight in 1 64 1024; do in_process_run --in-flight "$in_flight"; done
    in_process_run --in-flight 1024 --keyed
    in_process_run --in-flight 1024 --hot
}

in_process_run() { # arguments of the program
    "$TARGET/in_process" --dir "$BENCH_DIR/in-process" --wallets "$WALLETS" --seconds "$SECONDS_IN_PROCESS" "$@" \
        >"$BENCH_DIR/line"
    rm -rf "$BENCH_DIR/in-process"
    cat "$BENCH_DIR/line" >>"$BENCH_DIR/results.jsonl"
    say "  $* $(sed 's/.*"per_second":\([0-9]*\).*/\1/' "$BENCH_DIR/line")/s"
}

need curl curl
with postgres && need_postgres
trap 'say "bench.sh: line $LINENO of ${BASH_SOURCE[0]##*/} failed"' ERR
trap cleanup EXIT
trap 'exit 130' INT TERM

if [ "$build" = true ]; then
    say "building"
    cargo build --release --quiet -p wallex -p wallex-benches --bins
fi
for port in "$PORT_EMPTY" "$PORT_WALLEX" "$PORT_POSTGRES"; do need_port "$port"; done
# A machine that is busy with other things measures those too. The build counts for a moment: let it fade.
if [ "$build" = true ]; then sleep 10; fi
load="$(cut -d ' ' -f 1 /proc/loadavg)"
make_bench_dir
: >"$BENCH_DIR/results.jsonl"

report=("$TARGET/report" "$BENCH_DIR/results.jsonl" --out "${CARGO_TARGET_DIR:-$PWD/target}/bench")
report+=(--load-before "$load")
if [ "$publish" = true ]; then report+=(--publish docs); fi

if [ "$scale" = false ]; then
    "$TARGET/disk" "$BENCH_DIR" >>"$BENCH_DIR/results.jsonl"
    if with machine; then machine; fi
    if with in-process; then in_process; fi
    compare
    "$TARGET/disk" "$BENCH_DIR" >>"$BENCH_DIR/results.jsonl"
fi
if [ "$scale" = true ] || [ "$publish" = true ]; then
    stop "${wallex_pid:-}"
    stop "${empty_pid:-}"
    postgres_down
    wallex_pid="" empty_pid=""
    . "$BENCH_SCRIPTS/scale.sh"
    measure_scale
fi

"${report[@]}"
