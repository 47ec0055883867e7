# shellcheck shell=bash disable=SC2034
# The scheduler.
start=("$run/bin/kube" scheduler --kubeconfig="$run/pki/scheduler.kubeconfig" --leader-elect=false
    --bind-address=127.0.0.1 --authentication-kubeconfig="$run/pki/scheduler.kubeconfig"
    --authorization-kubeconfig="$run/pki/scheduler.kubeconfig")

ready() { curl -sfk https://127.0.0.1:10259/healthz; }
