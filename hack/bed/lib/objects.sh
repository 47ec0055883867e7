# shellcheck shell=bash
# The Kubernetes objects a bed begins with, as YAML on standard output: names for what runs on the node
# (Services without selector and their EndpointSlices), volumes, and the aggregated metrics API.

service() { # NAMESPACE NAME [PORT:NODE_PORT:NAME...]
    local namespace=$1 name=$2 port ports="" nodes=""
    shift 2
    for port; do
        IFS=: read -r outer inner label <<<"$port"
        ports+="{name: $label, port: $outer, targetPort: $inner}, "
        nodes+="{name: $label, port: $inner}, "
    done
    cat <<EOF
---
apiVersion: v1
kind: Service
metadata: {name: $name, namespace: $namespace}
spec: {${service_extra:-}ports: [$ports]}
EOF
    slice "$namespace" "$name" "$name" "$nodes"
}

slice() { # NAMESPACE SERVICE NAME PORTS
    cat <<EOF
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: $3-node, namespace: $1, labels: {kubernetes.io/service-name: $2}}
addressType: IPv4
ports: [$4]
endpoints: [{addresses: ["$node_ip"], conditions: {ready: true}}]
EOF
}

dns_objects() {
    cat <<EOF
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system, labels: {kubernetes.io/name: CoreDNS}}
spec: {clusterIP: $dns_ip, ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]}
EOF
    slice kube-system kube-dns kube-dns "{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}"
}

namespace() { printf -- '---\napiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n' "$1"; }

kafka_objects() { # every broker by name, and all of them as kafka.kafka.svc
    local n
    namespace kafka
    service kafka kafka 9092:9092:kafka 9192:9192:sasl
    for ((n = 0; n < brokers; n++)); do
        service kafka "kafka-$n" "9092:$((9092 + 2 * n)):kafka" "9192:$((9192 + 2 * n)):sasl"
        [ "$n" = 0 ] || slice kafka kafka "kafka-all-$n" \
            "{name: kafka, port: $((9092 + 2 * n))}, {name: sasl, port: $((9192 + 2 * n))}"
    done
}

monitoring_objects() {
    namespace monitoring
    service monitoring jaeger 4317:14317:otlp-grpc 4318:14318:otlp-http 16686:16686:query
    service monitoring victoria-logs 9428:9428:http
    service monitoring prometheus 9090:9090:http
}

metrics_objects() {
    service kube-system metrics-server 443:4443:https
    cat <<EOF
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.metrics.k8s.io}
spec:
  group: metrics.k8s.io
  version: v1beta1
  groupPriorityMinimum: 100
  versionPriority: 100
  caBundle: $(base64 -w0 "$run/pki/ca.crt")
  service: {namespace: kube-system, name: metrics-server}
EOF
}

storage_objects() {
    local n
    cat <<EOF
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: local, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
EOF
    for n in $(seq -w 16); do
        mkdir -p "$run/volumes/volume-$n"
        cat <<EOF
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: volume-$n}
spec:
  capacity: {storage: 12Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: local
  local: {path: $run/volumes/volume-$n}
  nodeAffinity:
    required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [node1]}]}]}
EOF
    done
}

proxy_objects() {
    cat <<EOF
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: bed-kube-proxy}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:node-proxier"}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: "system:kube-proxy"}]
EOF
}
