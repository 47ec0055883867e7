# shellcheck shell=bash disable=SC2034
# The cluster's DNS, on the node's address behind the Service kube-dns. Names outside the cluster do not exist.
configure() {
    cat >"$run/Corefile" <<EOF
cluster.local:53 in-addr.arpa:53 {
  bind $node_ip
  errors
  ready 127.0.0.1:8181
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $run/pki/coredns.kubeconfig bed
    pods insecure
    ttl 5
  }
  cache 5
}
.:53 {
  bind $node_ip
  errors
  template ANY ANY {
    rcode NXDOMAIN
  }
}
EOF
}

start=("$run/bin/coredns" -conf "$run/Corefile")

ready() { curl -sf http://127.0.0.1:8181/ready; }
