# shellcheck shell=bash
# Redis: appends to a file, synced every second, as the production stack does.

redis_install() { need redis-server redis-server; }

# Any Redis answers PING with PONG; another server on the port does not.
redis_ready() {
    local answer=""
    {
        exec 8<>"/dev/tcp/127.0.0.1/$redis_port" && printf 'PING\r\n' >&8 && read -r -t 2 answer <&8
    } 2>/dev/null || { { exec 8>&-; } 2>/dev/null; return 1; }
    exec 8>&-
    [ "${answer%$'\r'}" = "+PONG" ]
}

redis_start() {
    mkdir -p "$dir/redis/data"
    daemon redis "$dir/redis/data" redis-server --bind 127.0.0.1 --port "$redis_port" --dir "$dir/redis/data" \
        --save "" --appendonly yes --appendfsync everysec --daemonize no
}

redis_pid() { alive "$dir/redis/pid" "127.0.0.1:$redis_port"; }

redis_stop() {
    local pid
    if pid="$(redis_pid)"; then stop_process "$pid" TERM; fi
}
