#!/usr/bin/env bash
# Shows all of Surgetank on a real Kubernetes cluster with real Kafka and backends: make demo [KEEP=1]
#
# Installs and builds what is missing (the first time that takes a while: the cluster is built from source), brings
# a bed of its own up, tells its story (hack/demo.py) and takes the bed down again, whatever happens. With KEEP=1
# the bed stays up to be looked at. Nothing else on the machine is changed but packages and the cache; logs are
# below build/demo-logs.
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in -h | --help) awk 'NR == 1 { next } /^#/ { sub(/^# ?/, ""); print; next } { exit }' "$0"; exit 0 ;; esac
# shellcheck source=hack/steps.sh
source hack/steps.sh
# shellcheck disable=SC2317  # functions are called by step and by traps

export SURGETANK_BED=demo
keep=${KEEP:-0}
bed=no
began=$(date +%s)
steps_begin "$PWD/build/demo-logs"
compiler=gcc
command -v ccache >/dev/null && compiler="ccache gcc"

programs() { make -j2 CC="$compiler" build && make CC="$compiler" images; }

at_the_end() {
    local code=$?
    trap '' INT TERM
    steps_interrupt
    [ $code -lt 128 ] || steps_line "Interrupted."
    if [ $bed = yes ] && [ "$keep" != 0 ]; then
        how_to_use
    elif [ $bed = yes ]; then
        hack/bed/down >"$steps_logs/bed-down.log" 2>&1 || cat "$steps_logs/bed-down.log"
        steps_line "The bed is down again, and nothing is left running."
        [ $code != 0 ] || what_next
    fi
    exit $code
}

what_next() {
    cat <<'EOF'

Try next:
  make demo KEEP=1        the same, and the cluster stays up for you to look at
  make try                a single-node pipeline in seconds, without Kafka and Kubernetes
  manifests/samples/      documents to start from; build/kubectl-surgetank render -f FILE shows what they lead to
  make test               every test, with those that break things on the bed
EOF
}

how_to_use() {
    cat <<EOF

The bed is still up:
  export SURGETANK_BED=demo PATH=$PWD/build:\$PATH
  hack/bed/kubectl get tp,pods,hpa -n observability
  hack/bed/kubectl surgetank status shop -n observability
  hack/bed/kubectl explain tp.spec.gateways
  hack/bed/in python3 tests/e2e/otel_client.py --endpoint shop-edge.observability.svc:4317 --run mine --count 10000
  hack/bed/in python3 tests/e2e/stored.py --run mine --count 10000 --wait 30
  hack/bed/part stop jaeger        takes a backend or Kafka away; start brings it back
  hack/bed/down                    removes all of it without a trace
EOF
}

trap at_the_end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

echo "Surgetank from end to end: OpenTelemetry SDK -> edges -> Kafka -> gateways -> Jaeger, VictoriaLogs, Prometheus"
step "Debian packages" hack/deps/apt.sh build bed
step "Programs and their images" programs
step "Parts of the bed, built once" hack/bed/build
bed=yes
hack/bed/down >"$steps_logs/bed-before.log" 2>&1
step "Kubernetes, Kafka and three backends, in namespaces of their own" hack/bed/up
hack/bed/in python3 hack/demo.py --started "$began" &
steps_pid=$!
wait $steps_pid
steps_pid=
