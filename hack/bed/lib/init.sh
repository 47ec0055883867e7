#!/usr/bin/env bash
# The first process of the bed's namespaces: makes mounts, network and cgroups, then only reaps.
# Arguments: run directory, node address, service range, cgroup name, cache directory. When it dies, the kernel ends every
# process, mount, address and firewall rule of the bed; only its cgroups outlive it (hack/bed/down removes them).
set -euo pipefail
run=$1 node_ip=$2 service_cidr=$3 cgroup=$4 cache=$5

mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/netns /run/containerd

# Paths that Kubernetes or pods insist on are shown from the run directory. An overlay holds the places where
# they are mounted, so that nothing has to be made on the machine; the cache must stay as it is, wherever it is.
mkdir /run/cache
mount --bind "$cache" /run/cache
for parent in /var/lib /var/log; do
    mkdir -p "/run/overlay$parent"/{upper,work}
    mount -t overlay -o "lowerdir=$parent,upperdir=/run/overlay$parent/upper,workdir=/run/overlay$parent/work" \
        overlay "$parent"
done
case $cache/ in /var/lib/* | /var/log/*) mount --bind /run/cache "$cache" ;; esac
umount /run/cache
for dir in /var/lib/kubelet /var/lib/cni /var/lib/surgetank /var/log/pods /var/log/containers; do
    mkdir -p "$dir" "$run/state$dir"
    mount --bind "$run/state$dir" "$dir"
done

# The kubelet insists on some kernel settings: it is shown the values it wants, the machine keeps its own.
pretend() { # SYSCTL-PATH VALUE
    local file
    file=$run/state/sysctl-$(tr / - <<<"$1")
    echo "$2" >"$file"
    mount --bind "$file" "/proc/sys/$1"
}
pretend vm/overcommit_memory 1
pretend vm/panic_on_oom 0
pretend kernel/panic 10
pretend kernel/panic_on_oops 1
pretend kernel/keys/root_maxkeys 1000000
pretend kernel/keys/root_maxbytes 25000000
[ ! -e /etc/resolv.conf ] || mount --bind "$run/resolv.conf" /etc/resolv.conf
mount --make-rshared /

# No link to the machine's own network, so nothing sent in here can leave. Without a default route service
# addresses need one of their own to get as far as the nat table.
ip link set lo up
ip link add node0 type bridge
ip address add "$node_ip/24" dev node0
ip link set node0 up
ip route add "$service_cidr" dev node0 src "$node_ip"
echo 1 >/proc/sys/net/ipv4/ip_forward
# pods reach each other through Services only if the bridge shows its packets to iptables
modprobe --quiet br_netfilter 2>/dev/null || true
echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables ||
    { echo "the kernel has no br_netfilter; load that module, or use a kernel that has it"; exit 1; }

# A cgroup of its own in every hierarchy (v1), or with the controllers handed down (v2).
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    for controller in cpu cpuset io memory pids hugetlb; do
        echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || true
    done
    mkdir -p "/sys/fs/cgroup/$cgroup"
    for controller in cpu cpuset io memory pids hugetlb; do
        echo "+$controller" >"/sys/fs/cgroup/$cgroup/cgroup.subtree_control" 2>/dev/null || true
    done
else
    for hierarchy in /sys/fs/cgroup/*/; do
        mkdir -p "$hierarchy$cgroup"
    done
    for file in cpuset.cpus cpuset.mems; do
        cat "/sys/fs/cgroup/cpuset/$file" >"/sys/fs/cgroup/cpuset/$cgroup/$file"
    done
fi

touch /run/bed-ready
trap 'exit 0' TERM
while :; do
    sleep 3600 &
    wait $! || true
done
