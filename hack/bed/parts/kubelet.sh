# shellcheck shell=bash disable=SC2034
# The kubelet of the one node.
configure() {
    cat >"$run/kubelet.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 0.0.0.0
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $run/pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $run/pki/kubelet-serving.crt
tlsPrivateKeyFile: $run/pki/kubelet-serving.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$cgroup
failCgroupV1: false
failSwapOn: false
clusterDNS: [$dns_ip]
clusterDomain: cluster.local
resolvConf: $run/empty-resolv.conf
maxOpenFiles: 20000
oomScoreAdj: 0
evictionHard: {memory.available: 100Mi}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
shutdownGracePeriod: 0s
kubeAPIQPS: 200
kubeAPIBurst: 400
EOF
    [ "$quick" = no ] || cat >>"$run/kubelet.yaml" <<EOF
syncFrequency: 10s
featureGates: {KubeletCrashLoopBackOffMax: true}
crashLoopBackOff: {maxContainerRestartPeriod: 3s}
EOF
    : >"$run/empty-resolv.conf"
}

start=("$run/bin/kube" kubelet --config="$run/kubelet.yaml" --kubeconfig="$run/pki/kubelet.kubeconfig"
    "--node-ip=$node_ip" --hostname-override=node1 --node-labels=topology.kubernetes.io/zone=zone-a)

ready() { curl -sf http://127.0.0.1:10248/healthz; }
