"""Container logs of a real node: what pods print is stored, every line once, whatever becomes of the pod, of its log
and of the edge."""

import collections
import copy
import json
import os
import re
import time

import pytest
import requests

from cluster import OPERATOR, apply, condition, get, install, kubectl, run as command
from dataplane import BACKENDS, ROOT, until
from path import Path

IMAGE = "bed.surgetank.dev/busybox:1"
SEQ = re.compile(r"seq=(\d+) ")
PRINT = 'i={first}; while [ $i -lt {end} ]; do echo "run={run} seq=$i {padding}"; i=$((i+1)); done'


@pytest.fixture(scope="module")
def logs(operator):
    """A DaemonSet edge that reads container logs; the operator's own namespace may have one. Nothing is come across
    by looking through directories: what a pod prints is there in time because its directory was heard of."""
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
                        "receivers": {"containerLogs": {"enabled": True, "namespaces": [f"{name}-*"], "rescan": "1h"}},
                        "kubernetesMetadata": {"labels": ["app"]},
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
        install()  # without the rights that a test gave


@pytest.fixture(autouse=True)
def reported(logs, request):
    yield
    if request.node.failed:
        logs.report()
    assert not logs.died()


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


def stored(logs, run):
    """How often each number is there, and one of the rows."""
    query = f'"run={run}" AND "k8s.namespace.name":="{logs.printers}"'
    answer = requests.post(
        os.environ["BED_VICTORIA_LOGS"] + "/select/logsql/query",
        data={"query": query, "limit": 0, "start": "now-1d"},
        timeout=120,
    )
    answer.raise_for_status()
    rows = [json.loads(line) for line in answer.text.splitlines() if line]
    return collections.Counter(int(SEQ.search(row["_msg"]).group(1)) for row in rows), rows[:1]


def check(logs, run, count, seconds=90):
    until(f"{count} lines of {run} are stored", seconds, lambda: len(stored(logs, run)[0]) >= count)
    time.sleep(2)  # for what should not come
    found, rows = stored(logs, run)
    assert sorted(found) == list(range(count))
    assert max(found.values()) == 1, f"{sum(found.values()) - count} repeats"
    return rows[0]


def kill_edge(logs):
    """And waits until kubelet has started it again."""
    (pod,) = logs.pods("edge", "node")
    pod.kill()
    until("the edge is back", 120, lambda: [now for now in logs.ready("edge", "node") if now.restarts > pod.restarts])


# ---- what the API server knows; first, while the edge asks again soon


def deployment(logs, name, script):
    apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": logs.printers},
            "spec": {
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {
                        "terminationGracePeriodSeconds": 0,
                        "containers": [{"name": "app", "image": IMAGE, "command": ["sh", "-c", script]}],
                    },
                },
            },
        }
    )
    return name


def test_without_rights_logs_flow_with_what_paths_tell_and_the_status_says_so(logs):
    run = printer(logs, "without", printing("without", 0, 100))
    row = check(logs, run, 100)
    assert row["k8s.pod.name"] == run and row["k8s.namespace.name"] == logs.printers
    assert "k8s.node.name" not in row and "k8s.pod.label.app" not in row
    said = until(
        "the status says it", 180, lambda: (c := logs.condition("EdgesReady")).get("reason") == "MetadataMissing" and c
    )
    assert said["status"] == "True" and "pods is forbidden" in said["message"]
    assert logs.condition("Ready")["status"] == "True"


def test_with_rights_records_carry_what_the_api_server_knows(logs):
    command("helm", "upgrade", "surgetank", str(ROOT / "charts" / "surgetank"), "-n", OPERATOR, "--reuse-values", "--wait",
            "--timeout", "90s", "--set", "rbac.podMetadata.create=true")  # fmt: skip

    def knows():
        (pod,) = logs.ready("edge", "node")
        told = pod.state().get("kubernetesMetadata", {})
        return told.get("pods") and not told["trouble"]

    until("the edge knows its node's pods", 180, knows)
    name = deployment(logs, "shown", "sleep 2; " + printing("shown", 0, 100) + "; sleep 3600")
    row = check(logs, name, 100)
    (pod,) = get("pods", "-n", logs.printers, "-l", f"app={name}")
    known = {
        "k8s.namespace.name": logs.printers,
        "k8s.pod.name": pod["metadata"]["name"],
        "k8s.pod.uid": pod["metadata"]["uid"],
        "k8s.node.name": pod["spec"]["nodeName"],
        "k8s.deployment.name": name,
        "k8s.replicaset.name": pod["metadata"]["ownerReferences"][0]["name"],
        "k8s.pod.label.app": name,
    }
    assert {key: row.get(key) for key in known} == known

    # and of whoever sends from there, by his address
    record = {"body": {"stringValue": "run=called seq=0 "}, "timeUnixNano": str(time.time_ns())}
    request = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]})
    (edge,) = logs.ready("edge", "node")
    kubectl("exec", pod["metadata"]["name"], "-n", logs.printers, "--", "wget", "-q", "-O-", "--header",
            "Content-Type: application/json", "--post-data", request, f"http://{edge.address}:4318/v1/logs")  # fmt: skip
    row = check(logs, "called", 1)
    assert {key: row.get(key) for key in known} == known


# ---- lines


def test_what_a_pod_prints_is_stored_once_and_says_where_it_comes_from(logs):
    run = printer(logs, "plain", printing("plain", 0, 5000) + "; sleep 3600")
    row = check(logs, run, 5000)
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
    check(logs, run, 20000, 180)


def test_logs_that_kubelet_rotates_are_read_whole(logs):
    count = 150000  # 240 bytes each: three times what kubelet lets a file grow to
    script = "; ".join(f"{printing('rotated', n, n + 10000, 180)}; sleep 2" for n in range(0, count, 10000))
    run = printer(logs, "rotated", f"{script}; sleep 3600")
    check(logs, run, count, 240)


@pytest.mark.parametrize("count", [1, 20000])
def test_a_pod_that_ends_and_is_deleted_at_once_loses_nothing(logs, count):
    """kubelet deletes its log some time between two seconds after it came and a minute. What is there for a quarter of
    a second of the edge's time (LIST_WAIT_MAX_MS in sidecar/tail/scan.c) is opened, and read to its end even if it is
    deleted; what is there for less is counted as missed."""
    run = printer(logs, f"gone-{count}", printing(f"gone-{count}", 0, count))
    until("it has ended", 60, lambda: get("pod", run, "-n", logs.printers)["status"]["phase"] == "Succeeded")
    kubectl("delete", "pod", run, "-n", logs.printers, "--now")
    check(logs, run, count)


def test_a_change_that_the_edge_cannot_take_over_is_held_and_named(logs):
    """The size is sound, but not with segments of 64 MiB, which the spool has since its start."""
    before = {(pod.uid, pod.restarts) for pod in logs.pods("edge", "node")}
    changed = copy.deepcopy(logs.document)
    changed["spec"]["edges"][0]["spool"]["size"] = "320Mi"
    apply(changed)

    def becomes(kind, status, reason):
        logs.touch()
        found = logs.condition(kind)
        return found if (found.get("status"), found.get("reason")) == (status, reason) else None

    try:
        held = until("the change is refused", 180, lambda: becomes("EdgesReady", "False", "ConfigRefused"))
        (pod,) = logs.ready("edge", "node")
        assert pod.name in held["message"] and "segments" in held["message"]
        assert logs.condition("Stalled")["reason"] == "ConfigRefused"
        assert pod.state()["document"]["refused"]
        check(logs, printer(logs, "held", printing("held", 0, 100)), 100)
    finally:
        logs.apply()
    until("it is Ready", 180, lambda: logs.touch() or logs.condition("Ready").get("status") == "True")
    assert "candidate.json" not in get("configmap", f"{logs.name}-node", "-n", OPERATOR)["data"]
    assert {(pod.uid, pod.restarts) for pod in logs.pods("edge", "node")} == before


def test_the_edge_tells_what_it_reads(logs):
    (pod,) = logs.ready("edge", "node")
    (source,) = pod.state()["tail"]["sources"]
    assert source["name"] == "containerLogs" and source["records"] > 0
    assert source["lostBytes"] == 0 and source["lostFiles"] == 0 and source["missed"] == 0
