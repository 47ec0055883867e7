# shellcheck shell=bash disable=SC2034,SC2054
# The API server, on the node's address. Aggregated APIs go to endpoint addresses, so that a plain process
# (metrics-server) can serve one behind a Service without selector.
pki=$run/pki
start=("$run/bin/kube" apiserver --etcd-servers=http://127.0.0.1:2379 --bind-address=0.0.0.0 --secure-port=6443
    "--advertise-address=$node_ip" --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key"
    --client-ca-file="$pki/ca.crt" --service-account-issuer=https://kubernetes.default.svc.cluster.local
    --service-account-key-file="$pki/service-account.pub" --service-account-signing-key-file="$pki/service-account.key"
    "--service-cluster-ip-range=$service_cidr" --authorization-mode=Node,RBAC
    --enable-admission-plugins=NodeRestriction --allow-privileged=true
    --kubelet-client-certificate="$pki/apiserver-kubelet.crt" --kubelet-client-key="$pki/apiserver-kubelet.key"
    --kubelet-certificate-authority="$pki/ca.crt" --kubelet-preferred-address-types=InternalIP
    --requestheader-client-ca-file="$pki/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client
    --requestheader-extra-headers-prefix=X-Remote-Extra- --requestheader-group-headers=X-Remote-Group
    --requestheader-username-headers=X-Remote-User --proxy-client-cert-file="$pki/front-proxy.crt"
    --proxy-client-key-file="$pki/front-proxy.key" --enable-aggregator-routing=true)

ready() { "$run/bin/kubectl" --kubeconfig "$run/pki/admin.kubeconfig" get --raw /readyz; }
