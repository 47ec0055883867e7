# shellcheck shell=bash disable=SC2034
# kube-proxy with iptables; its rules trail a change by up to a second, as on any cluster.
configure() {
    cat >"$run/kube-proxy.yaml" <<EOF
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $run/pki/kube-proxy.kubeconfig}
mode: iptables
clusterCIDR: $pod_cidr
hostnameOverride: node1
# these settings belong to the machine, not to a network namespace: left alone
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
EOF
}

start=("$run/bin/kube" proxy --config="$run/kube-proxy.yaml")

ready() { curl -sf http://127.0.0.1:10256/healthz; }
