"""Container logs of a real node: what pods print is stored, every line once, whatever becomes of the pod, of its log
and of the edge."""

import collections
import json
import os
import re
import time

import pytest
import requests

from cluster import OPERATOR, apply, condition, get, kubectl
from dataplane import BACKENDS, until
from path import Path

IMAGE = "bed.surgetank.dev/busybox:1"
SEQ = re.compile(r"seq=(\d+) ")
PRINT = 'i={first}; while [ $i -lt {end} ]; do echo "run={run} seq=$i {padding}"; i=$((i+1)); done'


@pytest.fixture(scope="module")
def logs(operator):
    """A DaemonSet edge that reads container logs; the operator's own namespace may have one."""
    name = f"logs-{int(time.time()) % 100000}"
    made = Path(
        {
            "apiVersion": "surgetank.dev/v1alpha1",
            "kind": "TelemetryPipeline",
            "metadata": {"name": name, "namespace": OPERATOR},
            "spec": {
                "kafka": {"bootstrapServers": ["kafka-0.kafka.svc:9092"]},
                "topics": [{"name": "logs", "partitions": 3, "replicationFactor": 1, "minInsyncReplicas": 1}],
                "edges": [
                    {
                        "name": "node",
                        "mode": "DaemonSet",
                        "receivers": {"containerLogs": {"enabled": True, "namespaces": [f"{name}-*"], "rescan": "5s"}},
                        "spool": {"size": "1Gi", "minFree": "1%"},
                    }
                ],
                "gateways": [{"name": "victorialogs", "from": ["logs"], "export": BACKENDS["logs"]}],
            },
        }
    )
    made.printers = f"{name}-printers"
    kubectl("create", "namespace", made.printers)
    try:
        made.apply()
        until("the pipeline is Ready", 120, lambda: condition(get("tp", name, "-n", OPERATOR), "Ready").get("status") == "True")
        yield made
    except BaseException:
        made.report()
        raise
    finally:
        kubectl("delete", "namespace", made.printers, "--wait=false")
        kubectl("delete", "tp", name, "-n", OPERATOR, "--timeout=60s")
        made.forget()


def printer(logs, run, script):
    """A pod that runs the script; its name."""
    apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": run, "namespace": logs.printers},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "restartPolicy": "Never",
                "containers": [{"name": "app", "image": IMAGE, "command": ["sh", "-c", script]}],
            },
        }
    )
    return run


def printing(run, first, end, padding=20):
    return PRINT.format(run=run, first=first, end=end, padding="x" * padding)


def stored(run):
    """How often each number is there, and one of the rows."""
    answer = requests.post(
        os.environ["BED_VICTORIA_LOGS"] + "/select/logsql/query",
        data={"query": f'"run={run}"', "limit": 0, "start": "now-1d"},
        timeout=120,
    )
    answer.raise_for_status()
    rows = [json.loads(line) for line in answer.text.splitlines() if line]
    return collections.Counter(int(SEQ.search(row["_msg"]).group(1)) for row in rows), rows[:1]


def check(run, count, seconds=90):
    until(f"{count} lines of {run} are stored", seconds, lambda: len(stored(run)[0]) >= count)
    time.sleep(2)  # for what should not come
    found, rows = stored(run)
    assert sorted(found) == list(range(count))
    assert max(found.values()) == 1, f"{sum(found.values()) - count} repeats"
    return rows[0]


def kill_edge(logs):
    """And waits until kubelet has started it again."""
    (pod,) = logs.pods("edge", "node")
    pod.kill()
    until("the edge is back", 120, lambda: [now for now in logs.ready("edge", "node") if now.restarts > pod.restarts])


def test_what_a_pod_prints_is_stored_once_and_says_where_it_comes_from(logs):
    run = printer(logs, "plain", printing("plain", 0, 5000) + "; sleep 3600")
    row = check(run, 5000)
    assert row["k8s.namespace.name"] == logs.printers
    assert row["k8s.pod.name"] == run
    assert row["k8s.container.name"] == "app"
    uid = get("pod", run, "-n", logs.printers)["metadata"]["uid"]
    assert row["k8s.pod.uid"] == uid


def test_an_edge_killed_while_pods_print_loses_and_repeats_nothing(logs, seed):
    script = "; ".join(f"{printing('killed', n, n + 2000)}; sleep 1" for n in range(0, 20000, 2000))
    run = printer(logs, "killed", f"{script}; sleep 3600")
    for _ in range(3):
        time.sleep(seed.uniform(0.5, 3))
        kill_edge(logs)
    check(run, 20000, 180)


def test_logs_that_kubelet_rotates_are_read_whole(logs):
    count = 150000  # 240 bytes each: three times what kubelet lets a file grow to
    script = "; ".join(f"{printing('rotated', n, n + 10000, 180)}; sleep 2" for n in range(0, count, 10000))
    run = printer(logs, "rotated", f"{script}; sleep 3600")
    check(run, count, 240)


def test_a_pod_that_ends_and_is_deleted_at_once_loses_nothing(logs):
    run = printer(logs, "gone", printing("gone", 0, 20000))
    until("it has ended", 60, lambda: get("pod", run, "-n", logs.printers)["status"]["phase"] == "Succeeded")
    kubectl("delete", "pod", run, "-n", logs.printers, "--now")
    check(run, 20000)


def test_the_edge_tells_what_it_reads(logs):
    (pod,) = logs.ready("edge", "node")
    (source,) = pod.state()["tail"]["sources"]
    assert source["name"] == "containerLogs" and source["records"] > 0
    assert source["lostBytes"] == 0
