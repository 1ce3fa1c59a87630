#!/usr/bin/env bash
# A real Apache Kafka broker (KRaft, no ZooKeeper) on 127.0.0.1 for tests; needs java >= 17, and mvn once.
#
#   kafka.sh start  FOLDER PORT [NODE]   start what does not run yet, return when it is ready
#   kafka.sh stop   FOLDER PORT [NODE]   orderly stop (SIGTERM); the data stay
#   kafka.sh kill   FOLDER PORT [NODE]   SIGKILL, as a crash
#   kafka.sh status FOLDER PORT          one line a node; exit 0 when all run, 3 otherwise
#
# FOLDER holds everything of one cluster (config, data, log, pid, certificates): remove it for a clean start.
# Node n (1, 2, ...) listens at PORT + 10*(n-1):  +0 plaintext, +1 SASL_PLAINTEXT, +2 TLS, +3 SASL over TLS, +9 controller.
#
# Environment, read by the first start of FOLDER:
#   BROKERS=1        nodes, each broker and controller (3: topics are replicated 3 times, one node may die)
#   PARTITIONS=4     of a topic created on first use
#   AUTO_CREATE=true create topics on first use
#   SASL=1           adds the SASL listener: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, as SASL_USER / SASL_PASSWORD
#   TLS=1            adds the TLS listener; FOLDER/tls/{ca,client}.pem and client.key are for clients
#   TLS_CLIENT=none  or requested, required: whether clients must show a certificate
#   PROPERTIES=      more lines for server.properties; they win over ours
# and by every start:
#   HEAP=512m        of each node
#   JVM=-server      full compilation, for long benchmarks
#   READY_SECONDS=90 how long a start may take
#   KAFKA_VERSION=   another version than the pom's
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
pom=$here/kafka-pom.xml
version=${KAFKA_VERSION:-$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$pom")}
jars=${XDG_CACHE_HOME:-$HOME/.cache}/pollers-servers/kafka/$version
cluster=cG9sbGVycy10ZXN0LTAwMQ
user=${SASL_USER:-poller} password=${SASL_PASSWORD:-poller-secret}

fail() { echo "kafka.sh: $*" >&2; exit 1; }
lacks() { echo "kafka.sh: $*" >&2; exit 3; }   # a program that the machine does not have

fetch_jars() {
    [ -d "$jars" ] && return
    command -v mvn >/dev/null || lacks "mvn is needed once, to fetch Kafka $version into $jars"
    mkdir -p "$(dirname "$jars")"
    local fresh; fresh=$(mktemp -d "$jars.XXXXXX")
    mvn -B -q -Dstyle.color=never -f "$pom" -Dkafka.version="$version" -DincludeScope=runtime -DoutputDirectory="$fresh" \
        org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies >&2 || { rm -rf "$fresh"; fail "mvn failed"; }
    # Another start may have been quicker; then its folder stays.
    mv -T "$fresh" "$jars" 2>/dev/null || rm -rf "$fresh"
    [ -d "$jars" ] || fail "$jars could not be made"
}

classpath() { printf '%s:' "$jars"/*.jar; }

address() { echo $((port + 10 * ($1 - 1) + ${2:-0})); }

each_node() { seq 1 "$brokers"; }

make_certificates() {
    local tls=$folder/tls who
    [ -s "$tls/client.pem" ] && return
    mkdir -p "$tls"
    openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=pollers test CA" -keyout "$tls/ca.key" -out "$tls/ca.pem" 2>/dev/null
    for who in broker client; do
        openssl req -newkey rsa:2048 -nodes -subj "/CN=$who" -keyout "$tls/$who.key" -out "$tls/$who.csr" 2>/dev/null
        openssl x509 -req -in "$tls/$who.csr" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" -CAcreateserial -days 3650 -out "$tls/$who.pem" \
            -extfile <(echo "subjectAltName=DNS:localhost,IP:127.0.0.1") 2>/dev/null
    done
    cat "$tls/broker.key" "$tls/broker.pem" > "$tls/broker.both"   # the form in which Kafka reads a PEM key store
}

write_properties() {   # once: a node that comes back keeps what its first start was told
    [ ! -s "$folder/node-$1/server.properties" ] || return 0
    local n=$1 home=$folder/node-$1 i listeners voters='' replicas=$((brokers < 3 ? brokers : 3))
    for i in $(each_node); do voters+=,$i@127.0.0.1:$(address "$i" 9); done
    listeners=PLAINTEXT://127.0.0.1:$(address "$n")
    [ -z "${SASL:-}" ] || listeners+=,SASL_PLAINTEXT://127.0.0.1:$(address "$n" 1)
    [ -z "${TLS:-}" ] || listeners+=,SSL://127.0.0.1:$(address "$n" 2)
    [ -z "${TLS:-}" ] || [ -z "${SASL:-}" ] || listeners+=,SASL_SSL://127.0.0.1:$(address "$n" 3)
    mkdir -p "$home"
    {
        cat <<END
process.roles=broker,controller
node.id=$n
controller.quorum.voters=${voters#,}
controller.listener.names=CONTROLLER
listeners=$listeners,CONTROLLER://127.0.0.1:$(address "$n" 9)
advertised.listeners=$listeners
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=$home/data
num.partitions=${PARTITIONS:-4}
auto.create.topics.enable=${AUTO_CREATE:-true}
default.replication.factor=$replicas
offsets.topic.replication.factor=$replicas
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=$replicas
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
# Records of tests carry made-up old timestamps: only a topic with a retention.ms of its own loses records.
log.retention.ms=-1
# Tests should not wait for what a production broker does at leisure.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.initial.task.delay.ms=500
log.retention.check.interval.ms=1000
log.segment.delete.delay.ms=500
log.cleaner.backoff.ms=500
log.cleaner.dedupe.buffer.size=4194304
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
leader.imbalance.check.interval.seconds=5
num.network.threads=2
num.io.threads=4
END
        if [ -n "${SASL:-}" ]; then
            local listener mechanism
            echo "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"
            for listener in sasl_plaintext sasl_ssl; do
                echo "listener.name.$listener.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_$user=\"$password\";"
                for mechanism in scram-sha-256 scram-sha-512; do
                    echo "listener.name.$listener.$mechanism.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;"
                done
            done
        fi
        if [ -n "${TLS:-}" ]; then
            echo "ssl.keystore.type=PEM"
            echo "ssl.keystore.location=$folder/tls/broker.both"
            echo "ssl.truststore.type=PEM"
            echo "ssl.truststore.location=$folder/tls/ca.pem"
            echo "ssl.client.auth=${TLS_CLIENT:-none}"
        fi
        echo "${PROPERTIES:-}"
    } > "$home/server.properties"
    cat > "$folder/log4j2.properties" <<'END'
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %m (%c{1})%n
END
}

java_node() {   # NODE, then what goes to java
    local n=$1; shift
    # C1 only: a quicker start, and no compiler threads that take the tests' cores.
    # shellcheck disable=SC2086  # JVM may hold several options
    exec java -Xms"${HEAP:-512m}" -Xmx"${HEAP:-512m}" -XX:+UseSerialGC ${JVM:--XX:TieredStopAtLevel=1} \
        -XX:-UsePerfData -Djava.awt.headless=true -Dlog4j2.configurationFile="$folder/log4j2.properties" -cp "$(classpath)" "$@"
}

format() {
    local home=$folder/node-$1
    [ -s "$home/data/meta.properties" ] && return
    (java_node "$1" kafka.tools.StorageTool format --ignore-formatted -t $cluster -c "$home/server.properties" \
        --add-scram "SCRAM-SHA-256=[name=$user,password=$password]" --add-scram "SCRAM-SHA-512=[name=$user,password=$password]") \
        > "$home/format.log" 2>&1 || { cat "$home/format.log" >&2; fail "could not format node $1"; }
}

pid_of() {   # prints the pid and succeeds only if that process is this node, not a later one with its number
    local home=$folder/node-$1 pid
    pid=$(cat "$home/pid" 2>/dev/null) || return 1
    ps -ww -o command= -p "$pid" 2>/dev/null | grep -qF "$home/server.properties" && echo "$pid"
}

launch() {
    local home=$folder/node-$1
    [ ! -f "$home/server.log" ] || mv "$home/server.log" "$home/server.log.before"
    (cd "$home" && java_node "$1" kafka.Kafka "$home/server.properties") > "$home/server.log" 2>&1 < /dev/null &
    echo $! > "$home/pid"
    disown
}

wait_ready() {
    local home=$folder/node-$1 end=$((SECONDS + ${READY_SECONDS:-90}))
    until grep -q 'Kafka Server started' "$home/server.log"; do
        pid_of "$1" >/dev/null || { tail -n 20 "$home/server.log" >&2; fail "node $1 ended while starting, see $home/server.log"; }
        [ $SECONDS -lt $end ] || fail "node $1 is not ready, see $home/server.log"
        sleep 0.1
    done
}

start() {
    local n starting='' formatting='' pid
    command -v java >/dev/null || lacks "java is needed"
    fetch_jars
    ! grep -qs '^listeners' "$folder/node-1/server.properties" || grep -q "^listeners=PLAINTEXT://127.0.0.1:$port," "$folder/node-1/server.properties" \
        || fail "$folder is of another port: remove it first"
    [ -z "${TLS:-}" ] || make_certificates
    for n in ${node:-$(each_node)}; do
        pid_of "$n" >/dev/null || starting+=" $n"
    done
    for n in $starting; do write_properties "$n"; format "$n" & formatting+=" $!"; done
    for pid in $formatting; do wait "$pid" || exit 1; done
    for n in $starting; do launch "$n"; done
    for n in $starting; do wait_ready "$n"; done
    status
}

stop() {   # SIGNAL
    local n pid end=$((SECONDS + 30))
    for n in ${node:-$(each_node)}; do
        pid=$(pid_of "$n") || continue
        kill "-$1" "$pid" 2>/dev/null || true
    done
    for n in ${node:-$(each_node)}; do
        while pid=$(pid_of "$n"); do
            # The last voters of three cannot leave in order without a majority.
            [ $SECONDS -lt $end ] || kill -9 "$pid" 2>/dev/null || true
            sleep 0.1
        done
        rm -f "$folder/node-$n/pid"
    done
}

status() {
    local n pid code=0
    for n in ${node:-$(each_node)}; do
        if pid=$(pid_of "$n"); then
            echo "node $n pid $pid $(grep '^advertised' "$folder/node-$n/server.properties")"
        else
            echo "node $n stopped"; code=3
        fi
    done
    return $code
}

[ $# -ge 3 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
action=$1 port=$3 node=${4:-}
mkdir -p "$2"; folder=$(cd "$2" && pwd)
held=$(find "$folder" -maxdepth 1 -name 'node-*' | wc -l)
brokers=${BROKERS:-$((held > 0 ? held : 1))}
[ "$held" -eq 0 ] || [ "$held" -eq "$brokers" ] || [ -n "$node" ] || fail "$folder holds $held nodes, not $brokers: remove it first"
case $action in
    start) start ;;
    stop) stop TERM ;;
    kill) stop KILL ;;
    status) status ;;
    *) fail "start, stop, kill or status, not $action" ;;
esac
