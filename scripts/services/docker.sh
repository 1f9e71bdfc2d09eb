# shellcheck shell=bash
# The same servers as containers, at the same ports. Chosen when an engine answers, or by SERVICES_MODE=docker. Needs
# nothing of the servers on the host: readiness is asked over their own protocols.
#
# This way has never been run: there was no engine where it was written. SERVICES_MODE=native is the one that is tested.

mode() {
    case "${SERVICES_MODE:-}" in
        native | docker) echo "$SERVICES_MODE" ;;
        "") if docker_engine; then echo docker; else echo native; fi ;;
        *) die "SERVICES_MODE is 'native' or 'docker', not '$SERVICES_MODE'" ;;
    esac
}

docker_engine() {
    command -v docker >/dev/null && docker compose version >/dev/null 2>&1 && docker info >/dev/null 2>&1
}

# A project for each set of ports: a second server, on a port of its own, is another container.
compose() {
    local ports="$postgres_port-$redis_port-$kafka_port-$kafka_proxied_port-$kafka_proxy_port"
    SERVICES_POSTGRES_PORT="$postgres_port" SERVICES_REDIS_PORT="$redis_port" SERVICES_KAFKA_PORT="$kafka_port" \
        SERVICES_KAFKA_PROXIED_PORT="$kafka_proxied_port" SERVICES_KAFKA_PROXY_PORT="$kafka_proxy_port" \
        docker compose -p "wallex-services-$ports" -f "$here/compose.yml" "$@"
}

docker_up() {
    docker_engine || die "SERVICES_MODE=docker, and no engine with 'docker compose' answers"
    with_lock docker compose up -d --wait "$1" >&2
    mkdir -p "$dir/$1" && : >"$dir/$1/docker"
    wait_ready "$1"
}

# Whether this checkout has started the service as a container.
docker_has() { [ -e "$dir/$1/docker" ]; }

docker_down() {
    compose rm -sf "$1" >&2
    rm -f "$dir/$1/docker"
    # The last one takes the network with it.
    [ -n "$(compose ps -aq)" ] || compose down -v >&2
}

docker_kill() { compose kill -s KILL "$1" >&2; }
