# shellcheck shell=bash disable=SC2034
# Prometheus, as a receiver of OTLP and remote write; it scrapes nothing. Samples may be half an hour late.
configure() {
    cat >"$run/prometheus.yaml" <<EOF
global: {scrape_interval: 1h}
storage: {tsdb: {out_of_order_time_window: 30m}}
EOF
}

start=("$run/bin/prometheus" "--config.file=$run/prometheus.yaml" "--storage.tsdb.path=$run/prometheus"
    "--web.listen-address=$node_ip:9090" --web.enable-otlp-receiver --web.enable-remote-write-receiver
    --enable-feature=native-histograms)

ready() { curl -sf "http://$node_ip:9090/-/ready"; }
