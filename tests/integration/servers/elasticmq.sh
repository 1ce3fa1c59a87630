#!/usr/bin/env bash
# ElasticMQ, an SQS (standard and FIFO) server, on 127.0.0.1 for tests; needs java >= 11, and mvn once.
#
#   elasticmq.sh start FOLDER PORT   start if it does not run yet, return when it answers
#   elasticmq.sh stop  FOLDER        SIGTERM, then SIGKILL after 5 s; queues are in memory and are lost
#
# Exits with 3 when java or mvn is missing, 1 when something else fails.
# FOLDER holds the pid and the log. Any access key works; the region is us-east-1, the account 000000000000.
# Environment, read at start:
#   HEAP=128m              of the JVM
#   ELASTICMQ_LIMITS=strict   relaxed: no limits on batch size, waiting time, message size ...
#   ELASTICMQ_VERSION=     another version than the pom's
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
pom=$here/elasticmq-pom.xml
version=${ELASTICMQ_VERSION:-$(sed -n 's:.*<elasticmq.version>\(.*\)</elasticmq.version>.*:\1:p' "$pom")}
jars=${XDG_CACHE_HOME:-$HOME/.cache}/pollers-servers/elasticmq/$version

fail() { echo "elasticmq.sh: $*" >&2; exit 1; }
lacks() { echo "elasticmq.sh: $*" >&2; exit 3; }
usage() { sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2; }

[ $# -ge 2 ] || usage
command=$1; mkdir -p "$2"; folder=$(cd "$2" && pwd)

running() { [ -s "$folder/pid" ] && grep -qs elasticmq "/proc/$(cat "$folder/pid")/cmdline"; }

fetch_jars() {
    [ -d "$jars" ] && return
    command -v mvn >/dev/null || lacks "mvn is needed once, to fetch ElasticMQ $version into $jars"
    mkdir -p "$(dirname "$jars")"
    local fresh; fresh=$(mktemp -d "$jars.XXXXXX")
    mvn -B -q -f "$pom" -Delasticmq.version="$version" -DincludeScope=runtime -DoutputDirectory="$fresh" \
        org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies >&2 || { rm -rf "$fresh"; fail "mvn failed"; }
    # Another start may have been quicker; then its folder stays.
    if [ -d "$jars" ]; then rm -rf "$fresh"; else mv -T "$fresh" "$jars" 2>/dev/null || rm -rf "$fresh"; fi
}

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }

answers() {
    listening && exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
    printf 'GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' >&3
    local line=; read -r -t 2 line <&3 || true
    exec 3>&- 3<&-
    [[ $line == HTTP/*' 200 '* ]]
}

start() {
    running && return
    listening && fail "port $port is taken"
    command -v java >/dev/null || lacks "java 11 or newer is needed"
    fetch_jars
    # Serial collector and C1 only: quick to start, small.
    java "-Xmx${HEAP:-128m}" -Xms32m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto \
        -Drest-sqs.bind-hostname=127.0.0.1 "-Drest-sqs.bind-port=$port" "-Drest-sqs.sqs-limits=${ELASTICMQ_LIMITS:-strict}" \
        -Daws.region=us-east-1 -Dpekko.loglevel=WARNING -Dnode-address.host=127.0.0.1 "-Dnode-address.port=$port" \
        -cp "$jars/*" org.elasticmq.server.Main > "$folder/log" 2>&1 < /dev/null &
    echo $! > "$folder/pid"
    for _ in $(seq 300); do
        answers && return
        running || { tail -5 "$folder/log" >&2; fail "ended at start; see $folder/log"; }
        sleep 0.1
    done
    stop
    fail "not ready after 30 s; see $folder/log"
}

stop() {
    running || { rm -f "$folder/pid"; return 0; }
    local pid; pid=$(cat "$folder/pid")
    kill "$pid"
    for _ in $(seq 50); do running || break; sleep 0.1; done
    running && kill -9 "$pid"
    rm -f "$folder/pid"
}

case $command in
    start) [ $# -eq 3 ] || usage; port=$3; start ;;
    stop) stop ;;
    *) usage ;;
esac
