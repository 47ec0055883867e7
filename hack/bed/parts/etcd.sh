# shellcheck shell=bash disable=SC2034
# The API server's store. Without fsync: the bed does not outlive its machine.
start=("$run/bin/kube" etcd --name bed --data-dir "$run/etcd" --unsafe-no-fsync --log-level warn
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379
    --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380
    --initial-cluster bed=http://127.0.0.1:2380)

ready() { curl -sf http://127.0.0.1:2379/readyz; }
