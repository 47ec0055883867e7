# shellcheck shell=bash disable=SC2034
# Jaeger on badger. No batching and no queue in front of the store: what it has acknowledged, it has, even
# when it is killed the next moment. OTLP on 14317 and 14318, so that 4317 and 4318 stay free on the node.
configure() {
    mkdir -p "$run/jaeger/keys" "$run/jaeger/values"
    cat >"$run/jaeger/config.yaml" <<EOF
service:
  extensions: [jaeger_storage, jaeger_query, healthcheckv2]
  pipelines:
    traces: {receivers: [otlp], exporters: [jaeger_storage_exporter]}
  telemetry:
    metrics: {level: none}
    logs: {level: warn}
extensions:
  healthcheckv2: {use_v2: true, http: {endpoint: "$node_ip:14133"}}
  jaeger_query:
    storage: {traces: badger}
    http: {endpoint: "$node_ip:16686"}
    grpc: {endpoint: "$node_ip:16685"}
  jaeger_storage:
    backends:
      badger:
        badger:
          directories: {keys: $run/jaeger/keys, values: $run/jaeger/values}
          ephemeral: false
          ttl: {spans: 240h}
receivers:
  otlp: {protocols: {grpc: {endpoint: "$node_ip:14317"}, http: {endpoint: "$node_ip:14318"}}}
exporters:
  jaeger_storage_exporter: {trace_storage: badger}
EOF
}

start=("$run/bin/jaeger" --config "$run/jaeger/config.yaml")

ready() { curl -sf "http://$node_ip:14133/status"; }
