#!/usr/bin/env bash
# Makes the bed's certificates and kubeconfigs: hack/bed/lib/pki.sh DIR NODE_IP
# Two authorities (the cluster's and the front proxy's), ECDSA P-256, openssl only.
set -euo pipefail
dir=$1 node_ip=$2
mkdir -p "$dir"
cd "$dir"

quietly() { "$@" 2>pki.log || { cat pki.log >&2; exit 1; }; }

authority() { # FILE NAME
    quietly openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.crt" \
        -days 3650 -subj "/CN=$2" -addext basicConstraints=critical,CA:TRUE \
        -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature
}

certificate() { # FILE AUTHORITY SUBJECT USAGE [NAMES]
    quietly openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.csr" -subj "$3"
    {
        echo "basicConstraints=critical,CA:FALSE"
        echo "keyUsage=critical,digitalSignature"
        echo "extendedKeyUsage=$4"
        [ -z "${5:-}" ] || echo "subjectAltName=$5"
    } >"$1.ext"
    quietly openssl x509 -req -in "$1.csr" -CA "$2.crt" -CAkey "$2.key" -CAcreateserial -days 365 \
        -extfile "$1.ext" -out "$1.crt"
    rm -f "$1.csr" "$1.ext"
}

kubeconfig() { # USER
    cat >"$1.kubeconfig" <<EOF
apiVersion: v1
kind: Config
clusters: [{name: bed, cluster: {server: "https://$node_ip:6443", certificate-authority: $PWD/ca.crt}}]
users: [{name: $1, user: {client-certificate: $PWD/$1.crt, client-key: $PWD/$1.key}}]
contexts: [{name: bed, context: {cluster: bed, user: $1}}]
current-context: bed
EOF
}

api=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local
authority ca bed-ca
authority front-proxy-ca bed-front-proxy-ca
certificate apiserver ca /CN=kube-apiserver serverAuth "$api,DNS:localhost,IP:127.0.0.1,IP:10.96.0.1,IP:$node_ip"
certificate apiserver-kubelet ca /O=system:masters/CN=kube-apiserver-kubelet-client clientAuth
certificate front-proxy front-proxy-ca /CN=front-proxy-client clientAuth
certificate kubelet-serving ca /O=system:nodes/CN=system:node:node1 serverAuth "DNS:node1,IP:127.0.0.1,IP:$node_ip"
certificate metrics-server ca /CN=metrics-server serverAuth "DNS:metrics-server.kube-system.svc,IP:$node_ip"
certificate admin ca /O=system:masters/CN=admin clientAuth
certificate controller-manager ca /CN=system:kube-controller-manager clientAuth
certificate scheduler ca /CN=system:kube-scheduler clientAuth
certificate kube-proxy ca /CN=system:kube-proxy clientAuth
certificate coredns ca /O=system:masters/CN=coredns clientAuth
certificate kubelet ca /O=system:nodes/CN=system:node:node1 clientAuth
for user in admin controller-manager scheduler kube-proxy coredns kubelet; do
    kubeconfig "$user"
done
quietly openssl genrsa -out service-account.key 2048
quietly openssl rsa -in service-account.key -pubout -out service-account.pub
rm -f pki.log
chmod 600 ./*.key
