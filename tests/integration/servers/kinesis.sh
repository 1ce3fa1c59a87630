#!/usr/bin/env bash
# Kinesis servers on 127.0.0.1 for tests; need node, and npm once.
#
#   kinesis.sh start kinesis-local|kinesalite FOLDER PORT   start if it does not run yet, return when it answers
#   kinesis.sh stop  FOLDER                                 SIGTERM, then SIGKILL after 5 s; streams are in memory
#
# Exits with 3 when node or npm is missing, 1 when something else fails.
# FOLDER holds the pid and the log. Any access key works. kinesis-local takes PORT and the one above it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/kinesis
lock=$(cksum < "$here/package-lock.json" | cut -d' ' -f1)
packages=${XDG_CACHE_HOME:-$HOME/.cache}/pollers-servers/kinesis/$lock

fail() { echo "kinesis.sh: $*" >&2; exit 1; }
lacks() { echo "kinesis.sh: $*" >&2; exit 3; }
usage() { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }

fetch_packages() {
    [ -d "$packages" ] && return
    command -v npm >/dev/null || lacks "npm is needed once, to fetch the servers into $packages"
    mkdir -p "$(dirname "$packages")"
    local fresh; fresh=$(mktemp -d "$packages.XXXXXX")
    cp "$here/package.json" "$here/package-lock.json" "$fresh"
    (cd "$fresh" && npm ci --ignore-scripts --no-audit --no-fund >&2) || { rm -rf "$fresh"; fail "npm failed"; }
    # Another start may have been quicker; then its folder stays.
    if [ -d "$packages" ]; then rm -rf "$fresh"; else mv -T "$fresh" "$packages" 2>/dev/null || rm -rf "$fresh"; fi
}

running() { [ -s "$folder/pid" ] && grep -qs node "/proc/$(cat "$folder/pid")/cmdline"; }

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }

launch() {
    case $server in
        kinesis-local)
            cd "$packages/node_modules/kinesis-local"
            KINESIS_MOCK_PLAIN_PORT=$port KINESIS_MOCK_TLS_PORT=$((port + 1)) LOG_LEVEL=WARN SHARD_LIMIT=200 \
            CREATE_STREAM_DURATION=20ms DELETE_STREAM_DURATION=20ms SPLIT_SHARD_DURATION=20ms \
            MERGE_SHARDS_DURATION=20ms UPDATE_SHARD_COUNT_DURATION=20ms \
                exec node -r "$here/loopback.js" main.js ;;
        kinesalite) cd "$packages"; NODE_PATH=$packages/node_modules exec node "$here/kinesalite.js" "$port" ;;
        *) usage ;;
    esac
}

start() {
    running && return
    listening && fail "port $port is taken"
    command -v node >/dev/null || lacks "node is needed"
    fetch_packages
    (launch) > "$folder/log" 2>&1 < /dev/null &
    echo $! > "$folder/pid"
    for _ in $(seq 300); do
        listening && return
        running || fail "it ended: $(tail -n 5 "$folder/log")"
        sleep 0.1
    done
    fail "no answer on port $port after 30 s: $(tail -n 5 "$folder/log")"
}

stop() {
    running || return 0
    local pid; pid=$(cat "$folder/pid")
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 50); do running || { rm -f "$folder/pid"; return 0; }; sleep 0.1; done
    kill -9 "$pid" 2>/dev/null || true
    rm -f "$folder/pid"
}

case ${1:-} in
    start) [ $# -eq 4 ] || usage; server=$2 port=$4; mkdir -p "$3"; folder=$(cd "$3" && pwd); start ;;
    stop) [ $# -eq 2 ] || usage; folder=$(cd "$2" && pwd); stop ;;
    *) usage ;;
esac
