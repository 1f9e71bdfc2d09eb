# shellcheck shell=bash
# The event store: `wallex eventstore`, which stands for KurrentDB. It is a program of this repository, so it runs
# natively beside containers too.

# What runs: SERVICES_WALLEX when it is set, else the development build.
eventstore_program() { echo "${SERVICES_WALLEX:-${CARGO_TARGET_DIR:-$root/target}/debug/wallex}"; }

eventstore_install() { [ -x "$(eventstore_program)" ] || with_lock build eventstore_build; }

eventstore_build() {
    [ ! -x "$(eventstore_program)" ] || return 0
    [ -z "${SERVICES_WALLEX:-}" ] || die "SERVICES_WALLEX names $SERVICES_WALLEX, and there is no such program"
    echo "services.sh: building wallex" >&2
    (cd "$root" && cargo build --quiet -p wallex </dev/null >&2 9>&-)
}

eventstore_ready() {
    local answer=""
    {
        exec 8<>"/dev/tcp/127.0.0.1/$eventstore_port" \
            && printf 'GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' >&8 \
            && read -r -t 2 answer <&8
    } 2>/dev/null || { { exec 8>&-; } 2>/dev/null; return 1; }
    exec 8>&-
    [[ "$answer" == "HTTP/1.1 20"[04]* ]]
}

eventstore_start() {
    mkdir -p "$dir/eventstore"
    daemon eventstore "$dir/eventstore" "$(realpath "$(eventstore_program)")" eventstore \
        --listen "127.0.0.1:$eventstore_port" --data-dir "$dir/eventstore/data"
}

eventstore_pid() { alive "$dir/eventstore/pid" "$dir/eventstore/data"; }

eventstore_stop() {
    local pid
    if pid="$(eventstore_pid)"; then stop_process "$pid" TERM; fi
}
