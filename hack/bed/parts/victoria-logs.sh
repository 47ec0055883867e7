# shellcheck shell=bash disable=SC2034
# VictoriaLogs. Takes rows of any age, and has them on disk a second after it took them.
start=("$run/bin/victoria-logs" "-httpListenAddr=$node_ip:9428" "-storageDataPath=$run/victoria-logs"
    -retentionPeriod=100y -inmemoryDataFlushInterval=1s)

ready() { curl -sf "http://$node_ip:9428/health"; }
