# shellcheck shell=bash disable=SC2034
# CPU and memory of pods as an aggregated API, for `kubectl top` and HPAs on CPU.
admin=$run/pki/admin.kubeconfig
start=("$run/bin/metrics-server" --kubeconfig "$admin" --authentication-kubeconfig "$admin"
    --authorization-kubeconfig "$admin" --secure-port 4443 --bind-address "$node_ip"
    --tls-cert-file "$run/pki/metrics-server.crt" --tls-private-key-file "$run/pki/metrics-server.key"
    --kubelet-certificate-authority "$run/pki/ca.crt" --kubelet-preferred-address-types InternalIP
    --metric-resolution 10s --kubelet-request-timeout 5s)

ready() { curl -sfk "https://$node_ip:4443/livez"; }
