# shellcheck shell=bash
# Processes: started detached from the terminal, found again by a pid file, stopped only after a look at what they are.

# Writes nothing to and inherits nothing from the caller: a daemon that keeps the caller's output open makes
# `services.sh up | tee log` wait for ever, and one that keeps the lock open holds it for ever.
# daemon NAME DIRECTORY COMMAND…
daemon() {
    local name="$1" where="$2"; shift 2
    # shellcheck disable=SC2016
    setsid bash -c 'echo $$ >"$1.new" && mv "$1.new" "$1" && cd "$2" && shift 2 && exec "$@"' \
        daemon "$dir/$name/pid" "$where" "$@" </dev/null >>"$dir/$name/log" 2>&1 9>&- &
}

# alive PIDFILE PATTERN: prints the pid when that process runs and its command line has the pattern. A pid file alone
# proves nothing: after a reboot its number belongs to somebody else.
alive() {
    local pid=""
    [ -r "$1" ] && read -r pid <"$1" || true
    [[ "$pid" =~ ^[0-9]+$ ]] && [ -r "/proc/$pid/cmdline" ] || return 1
    tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "$2" || return 1
    echo "$pid"
}

# stop_process PID SIGNAL: asks, waits, and insists after 20 seconds.
stop_process() {
    kill -s "$2" "$1" 2>/dev/null || return 0
    wait_gone "$1" 20 && return 0
    kill -9 "$1" 2>/dev/null || true
    wait_gone "$1"
}

# A zombie is gone: in a container whose first process does not reap, it stays in the table.
gone() {
    local state=""
    [ -r "/proc/$1/stat" ] || return 0
    state="$(sed 's/.*) \(.\).*/\1/' "/proc/$1/stat" 2>/dev/null)" || return 0
    [ "$state" = Z ]
}

wait_gone() {
    local until=$((SECONDS + ${2:-20}))
    until gone "$1"; do
        [ "$SECONDS" -lt "$until" ] || return 1
        sleep 0.05
    done
}

# Ready means that it answers, not that its port is open.
wait_ready() {
    local until=$((SECONDS + ready_seconds)) started=$SECONDS
    until "${1}_ready"; do
        if [ "$SECONDS" -ge "$until" ] || { [ $((SECONDS - started)) -ge 5 ] && ! "${1}_pid" >/dev/null; }; then
            echo "services.sh: $1 does not answer; the end of $dir/$1/log:" >&2
            tail -n 20 "$dir/$1/log" >&2 || true
            return 1
        fi
        sleep 0.05
    done
}

# with_lock NAME COMMAND…: one caller at a time for a service of this machine, whatever checkout it comes from.
with_lock() {
    local name="$1"; shift
    (
        flock -w 600 9 || die "another caller has been starting or stopping $name for ten minutes"
        "$@"
    ) 9>"${TMPDIR:-/tmp}/wallex-services-$(id -u)-$name-$(port_of "$name" 2>/dev/null || echo 0).lock"
}
