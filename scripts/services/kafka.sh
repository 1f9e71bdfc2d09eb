# shellcheck shell=bash
# Kafka: one node in KRaft mode from Maven artifacts. The committed sums pin what runs, wherever the jars come from.

kafka_libs="$cache/kafka-4.3.1/libs"

kafka_install() {
    need java default-jre-headless
    kafka_libs_complete || with_lock install kafka_fetch
}

kafka_libs_complete() {
    [ -d "$kafka_libs" ] && (cd "$kafka_libs" && sha256sum --check --status --strict "$here/kafka/SHA256SUMS")
}

kafka_fetch() {
    kafka_libs_complete && return 0
    install_packages mvn maven
    echo "services.sh: fetching Kafka's jars" >&2
    rm -rf "$kafka_libs"
    mkdir -p "$kafka_libs"
    mvn -B -q -ntp -C -f "$here/kafka/pom.xml" \
        org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$kafka_libs" </dev/null >&2 \
        || die "Maven could not fetch Kafka's jars"
    kafka_libs_complete || die "the jars in $kafka_libs are not those of $here/kafka/SHA256SUMS"
}

# An open port says little. A broker that is up answers a Metadata request (key 3, version 1, no topics) with a list of
# brokers that has somebody in it: after four bytes of length and four of correlation comes their number.
kafka_ready() {
    local head=""
    {
        exec 8<>"/dev/tcp/127.0.0.1/$kafka_port" \
            && printf '\x00\x00\x00\x13\x00\x03\x00\x01\x00\x00\x00\x07\x00\x05ready\x00\x00\x00\x00' >&8 \
            && head="$(timeout 2 head -c 12 <&8 | od -An -v -tu1 | tr -s ' \n' '  ')"
    } 2>/dev/null || { { exec 8>&-; } 2>/dev/null; return 1; }
    exec 8>&-
    [[ "$head" =~ ^\ [0-9]+\ [0-9]+\ [0-9]+\ [0-9]+\ 0\ 0\ 0\ 7\ 0\ 0\ 0\ ([0-9]+) ]] && [ "${BASH_REMATCH[1]}" -gt 0 ]
}

kafka_start() {
    local home="$dir/kafka"
    mkdir -p "$home/data"
    sed -e "s|@PORT@|$kafka_port|g" -e "s|@CONTROLLER_PORT@|$kafka_controller_port|g" \
        -e "s|@PROXIED_PORT@|$kafka_proxied_port|g" -e "s|@PROXY_PORT@|$kafka_proxy_port|g" \
        -e "s|@DATA@|$home/data|g" "$here/kafka/server.properties" >"$home/server.properties"
    if [ ! -e "$home/data/meta.properties" ]; then
        java -Xshare:auto -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile="$here/kafka/log4j2.properties" \
            -cp "$kafka_libs/*" kafka.tools.StorageTool format -t d2FsbGV4LXNlcnZpY2VzLQ -c "$home/server.properties" \
            </dev/null >>"$home/log" 2>&1 9>&-
    fi
    # It lives for minutes: the second compiler would cost more than it brings, and takes the processors of the tests.
    daemon kafka "$home" java -Xms256m -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:+ExitOnOutOfMemoryError \
        -Dlog4j2.configurationFile="$here/kafka/log4j2.properties" \
        -cp "$kafka_libs/*" kafka.Kafka "$home/server.properties"
}

kafka_pid() { alive "$dir/kafka/pid" "$dir/kafka/server.properties"; }

kafka_stop() {
    local pid
    if pid="$(kafka_pid)"; then stop_process "$pid" TERM; fi
}
