# shellcheck shell=bash disable=SC2034
# One Kafka broker and controller in KRaft mode: kafka-0, kafka-1 or kafka-2. Its data stays in the run
# directory, so a killed broker comes back with it. Ports on the node's address: 9092 + 2n plain, 9192 + 2n
# with SASL (PLAIN or SCRAM-SHA-512; user surgetank, password surgetank-secret), 9093 + 2n the controllers'.
id=${name#kafka-}
dir=$run/$name
plain=$((9092 + 2 * id)) controller=$((9093 + 2 * id)) sasl=$((9192 + 2 * id))

voters() {
    local list="" n
    for ((n = 0; n < brokers; n++)); do
        list+="${list:+,}$n@$node_ip:$((9093 + 2 * n))"
    done
    echo "$list"
}

configure() {
    local copies=$brokers isr=$((brokers > 1 ? 2 : 1)) login=org.apache.kafka.common.security
    mkdir -p "$dir"
    cat >"$dir/server.properties" <<EOF
process.roles=broker,controller
node.id=$id
broker.rack=zone-a
controller.quorum.voters=$(voters)
listeners=PLAIN://$node_ip:$plain,SASL://$node_ip:$sasl,CONTROLLER://$node_ip:$controller
advertised.listeners=PLAIN://$node_ip:$plain,SASL://$node_ip:$sasl
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAIN:PLAINTEXT,SASL:SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.sasl.plain.sasl.jaas.config=$login.plain.PlainLoginModule required user_surgetank="surgetank-secret";
listener.name.sasl.scram-sha-512.sasl.jaas.config=$login.scram.ScramLoginModule required;
log.dirs=$dir/data
num.network.threads=2
num.io.threads=4
default.replication.factor=$copies
offsets.topic.replication.factor=$copies
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=$copies
transaction.state.log.min.isr=$isr
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=$copies
share.coordinator.state.topic.min.isr=$isr
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
EOF
    [ "$quick" = no ] || cat >>"$dir/server.properties" <<EOF
group.consumer.min.session.timeout.ms=15000
group.consumer.session.timeout.ms=15000
EOF
    cat >"$dir/log4j.properties" <<EOF
log4j.rootLogger=WARN, C
log4j.logger.kafka.server=INFO
log4j.appender.C=org.apache.log4j.ConsoleAppender
log4j.appender.C.layout=org.apache.log4j.PatternLayout
log4j.appender.C.layout.ConversionPattern=%d %p %c: %m%n
EOF
    cat >"$dir/log4j2.xml" <<EOF
<Configuration>
  <Appenders><Console name="C"><PatternLayout pattern="%d %p %c: %m%n"/></Console></Appenders>
  <Loggers><Logger name="kafka.server" level="INFO"/><Root level="WARN"><AppenderRef ref="C"/></Root></Loggers>
</Configuration>
EOF
    java -Xmx256m -XX:TieredStopAtLevel=1 "${logging[@]}" -cp "$run/kafka-lib/*" kafka.tools.StorageTool format \
        --cluster-id "$kafka_cluster_id" --config "$dir/server.properties" \
        --add-scram 'SCRAM-SHA-512=[name=surgetank,password=surgetank-secret]'
}

logging=("-Dlog4j.configuration=file:$dir/log4j.properties" "-Dlog4j2.configurationFile=$dir/log4j2.xml")
start=(java -Xms256m -Xmx512m -XX:+UseG1GC -Djava.awt.headless=true "${logging[@]}"
    -cp "$run/kafka-lib/*" kafka.Kafka "$dir/server.properties")

ready() { (: <"/dev/tcp/$node_ip/$plain"); }
