# shellcheck shell=bash disable=SC2034
# Kubernetes' own controllers. The client limits are raised because the default ones make the start slow;
# an HPA looks every 15 s as anywhere, unless the bed was started with --quick.
start=("$run/bin/kube" controller-manager --kubeconfig="$run/pki/controller-manager.kubeconfig" --leader-elect=false
    --use-service-account-credentials --service-account-private-key-file="$run/pki/service-account.key"
    --root-ca-file="$run/pki/ca.crt" --cluster-signing-cert-file="$run/pki/ca.crt"
    --cluster-signing-key-file="$run/pki/ca.key" --requestheader-client-ca-file="$run/pki/front-proxy-ca.crt"
    --client-ca-file="$run/pki/ca.crt" --bind-address=127.0.0.1 "--cluster-cidr=$pod_cidr"
    "--service-cluster-ip-range=$service_cidr" --kube-api-qps=500 --kube-api-burst=1000)
[ "$quick" = no ] || start+=(--horizontal-pod-autoscaler-sync-period=2s)

ready() { curl -sfk https://127.0.0.1:10257/healthz; }
