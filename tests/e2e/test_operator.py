"""Telemetry through a pipeline that the operator made: the Services take it, and whatever is killed, replaced or
away meanwhile, every acknowledged item is stored."""

import contextlib
import copy
import json
import os
import time

import pytest

from cluster import Failed, Shop, apply, get, kubectl
from dataplane import Load, part, until
from path import Path, sample
from test_dataplane import check_stored

pytestmark = pytest.mark.usefixtures("operator")

GATEWAYS = ("jaeger", "victorialogs", "prometheus")
BOTH = ("grpc", "http")
DIED = "what dies by itself is not seen otherwise: it soon starts again"


def document(namespace):
    """The sample in a namespace of its own; VictoriaLogs isn't killed here, so commits need not wait for it."""
    made = sample()
    made["metadata"]["namespace"] = namespace
    for gateway in made["spec"]["gateways"]:
        gateway.pop("settle", None)
        gateway["retry"] = {"maxInterval": "2s"}
    return made


@contextlib.contextmanager
def applied(made):
    """A Path that is in the cluster until the end of the block."""
    shop = Shop(made["metadata"]["namespace"], made["spec"])  # makes the namespace, and takes it away
    made["metadata"]["namespace"] = shop.namespace
    path = Path(made)
    try:
        path.apply()
        yield path
        assert not path.died(), DIED
    except BaseException:
        path.report()  # while there is something to be seen
        raise
    finally:
        path.forget()
        shop.close()


@pytest.fixture(scope="module")
def standing(operator):
    """One pipeline for all tests that leave it as it was."""
    with applied(document("path")) as made:
        until("the pipeline is Ready", 120, lambda: made.condition("Ready").get("status") == "True")
        yield made


@pytest.fixture
def path(standing, request):
    yield standing
    if request.node.failed:
        standing.report()
    assert not standing.died(), DIED


def send(path, count, rate, protocols=BOTH, **settings):
    return [Load(path, f"{path.namespace}-{time.monotonic_ns()}-{p}", count, rate, p, **settings) for p in protocols]


def check_all_stored(loads, repeats=None, wait=90):
    for load in loads:
        load.finish()
    for load in loads:
        check_stored(load, load.stored(wait), repeats)


def test_the_sample_delivers_every_signal_by_both_protocols_once(path):
    check_all_stored(send(path, 3000, 1500), repeats=0)


def test_processes_killed_in_their_pods_lose_nothing(path, seed):
    loads = send(path, 9000, 450)
    killed = 0
    while any(load.running() for load in loads):
        time.sleep(seed.uniform(0.5, 3))
        tier, name = seed.choice([("edge", "edge"), *(("gateway", gateway) for gateway in GATEWAYS)])
        pods = path.ready(tier, name)
        if pods:
            print(f"kill -9 in {(pod := seed.choice(pods)).name}: {pod.kill()}")
            killed += 1
    assert killed > 3
    check_all_stored(loads, wait=150)  # Kafka first has to give up the session of a killed gateway


def test_pods_take_a_change_over_under_load(path):
    tiers = [("edge", "edge"), *(("gateway", gateway) for gateway in GATEWAYS)]

    def pods():
        return [pod for tier in tiers for pod in path.pods(*tier)]

    def same(pod):
        return pod.uid, pod.restarts

    before = {same(pod) for pod in pods()}
    loads = send(path, 60000, 100)
    changed = copy.deepcopy(path.document)
    changed["spec"]["edges"][0]["resourceAttributes"] = [{"key": "collector.tier", "value": "live"}]
    for gateway in changed["spec"]["gateways"]:
        gateway["batch"] = {"timeout": "700ms"}
    apply(changed)
    generation = get("tp", path.name, "-n", path.namespace)["metadata"]["generation"]
    steps = set()

    def taken():
        for name in ["edge", *GATEWAYS]:
            data = get("configmap", f"{path.name}-{name}", "-n", path.namespace)["data"]
            steps.add((name, data.get("percent")))
        path.touch()
        time.sleep(2)
        told = [pod.state().get("document", {}) for pod in pods()]
        return all(one.get("generation") == generation and not one["candidate"] for one in told)

    until("all pods have it, and none as a candidate", 240, taken)
    until("the pipeline is Ready", 60, lambda: path.condition("Ready").get("status") == "True")
    assert {same(pod) for pod in pods()} == before, "no pod was replaced or restarted"
    assert {name for name, percent in steps if percent} >= {"edge", "jaeger"}, steps
    for load in loads:
        assert load.running()
        load.stop()
    path.document = changed
    check_all_stored(loads, repeats=0, wait=120)


def takes(pod, percent):
    """As common/contract/pipeline_live.h: whether a pod is among the first to take a change."""
    crc = 0xFFFFFFFF
    for byte in pod.encode():
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return (crc ^ 0xFFFFFFFF) % 100 < percent


def some_but_not_all(path, gateway, percent):
    """Replaces pods until their names say that some take a change first."""

    def divided():
        pods = path.ready("gateway", gateway)
        first = [pod for pod in pods if takes(pod.name, percent)]
        if len(pods) == 4 and 0 < len(first) < 4:
            return [pod.name for pod in first]
        if len(pods) == 4:
            kubectl("delete", "pod", pods[0].name, "-n", path.namespace, "--wait=false")
            time.sleep(1)
        return None

    return until("some pods come first", 180, divided)


def test_a_change_with_which_a_gateway_cannot_deliver_is_held_where_it_is(path):
    changed = copy.deepcopy(path.document)
    jaeger = next(one for one in changed["spec"]["gateways"] if one["name"] == "jaeger")
    jaeger["scaling"]["minReplicas"] = 4
    apply(changed)
    first = some_but_not_all(path, "jaeger", 25)
    # nobody listens there
    node = os.environ["BED_KAFKA"].partition(":")[0]
    jaeger["export"]["otlp"]["endpoint"] = f"{node}:4999"
    loads = send(path, 3000, 150, protocols=["grpc"], signals=("traces",))
    apply(changed)

    def held():
        path.touch()
        found = path.condition("GatewaysReady")
        return found if found.get("reason") == "ConfigUnhealthy" else None

    try:
        found = until("the change is held", 180, held)
        assert found["status"] == "False" and any(name in found["message"] for name in first)
        assert path.condition("Stalled")["reason"] == "ConfigUnhealthy"
        data = get("configmap", f"{path.name}-jaeger", "-n", path.namespace)["data"]
        assert int(data["percent"]) <= 25 and f"{node}:4999" not in data["pipeline.json"]
    finally:
        path.apply()
    until("the pipeline is Ready", 180, lambda: path.touch() or path.condition("Ready").get("status") == "True")
    check_all_stored(loads, wait=120)


def test_pods_replaced_under_load_lose_and_repeat_nothing(path):
    before = {pod.uid for tier, name in [("edge", "edge"), ("gateway", "victorialogs")] for pod in path.pods(tier, name)}
    loads = send(path, 9000, 450)
    changed = copy.deepcopy(path.document)
    changed["spec"]["edges"][0]["memoryLimit"] = "160Mi"
    for gateway in changed["spec"]["gateways"]:
        gateway["memoryLimit"] = "160Mi"
    apply(changed)

    def replaced():
        pods = path.pods("edge", "edge") + path.pods("gateway", "victorialogs")
        return len(pods) == 3 and all(pod.ready for pod in pods) and not before & {pod.uid for pod in pods}

    until("every pod is a new one", 120, replaced)
    check_all_stored(loads, repeats=0)


def test_with_the_api_server_away_telemetry_flows(path):
    part("stop", "apiserver")
    try:
        check_all_stored(send(path, 2000, 1000), repeats=0)
    finally:
        part("start", "apiserver")
    until("the operator leads and is well", 60, lambda: path.gateway("jaeger").get("lagKnown"))


def test_edges_take_and_keep_what_comes_while_kafka_is_away(path):
    part("stop", "kafka-0")
    try:
        loads = send(path, 2000, 1000)
        for load in loads:
            acknowledged = load.finish()
            assert all(one["acknowledged"] == 2000 for one in acknowledged.values()), acknowledged
        spools = [pod.state()["spool"]["lanes"] for pod in path.ready("edge", "edge")]
        waiting = sum(lane["waitingItems"] for lanes in spools for lane in lanes.values())
        assert waiting == 2 * 3 * 2000
    finally:
        part("start", "kafka-0")
    check_all_stored(loads, repeats=0, wait=120)


def test_a_pipeline_made_while_kafka_is_away_takes_telemetry_at_once():
    made = document("early")
    spec = made["spec"]
    spec["edges"][0]["replicas"] = 1
    spec["topics"] = [one for one in spec["topics"] if one["name"] == "traces"]
    spec["gateways"] = [one for one in spec["gateways"] if one["name"] == "jaeger"]
    part("stop", "kafka-0")
    with applied(made) as path:
        try:
            until("the edge is ready", 60, lambda: path.ready("edge", "edge"))
            assert path.condition("TopicsReady").get("status") != "True"
            loads = send(path, 2000, 1000, protocols=["grpc"], signals=("traces",))
            loads[0].finish()
        finally:
            part("start", "kafka-0")
        check_all_stored(loads, repeats=0, wait=120)
        until("the pipeline is Ready", 60, lambda: path.condition("Ready").get("status") == "True")


# ---- documents


def gateway(**fields):
    return lambda spec: spec["gateways"][0].update(fields)


def topic(**fields):
    return lambda spec: spec["topics"][0].update(fields)


REFUSED = {
    "names no topic": gateway(**{"from": ["nothing"]}),
    "write at most replicationFactor": topic(minInsyncReplicas=5),
    "isn't built yet": gateway(rateLimit={"itemsPerSecond": 10}),
    "unknown field": gateway(form="traces"),
    "Write a duration from": topic(retention="3 days"),
    "Use lower-case letters": topic(name="Traces"),
    "write at least one address": lambda spec: spec["kafka"].update(bootstrapServers=[]),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_the_api_server_refuses_a_wrong_document_with_a_sentence(sentence):
    made = document("default")
    REFUSED[sentence](made["spec"])
    with pytest.raises(Failed, match=sentence):
        kubectl("apply", "--dry-run=server", "-f", "-", text=json.dumps(made))


def test_what_the_schema_cannot_see_stalls_with_a_sentence():
    made = document("wrong")
    made["spec"]["kafka"]["properties"] = {"acks": "1"}
    with applied(made) as path:
        stalled = until("it is Stalled", 30, lambda: (c := path.condition("Stalled")).get("status") == "True" and c)
        assert stalled["reason"] == "InvalidSpec"
        assert "edges always wait for all in-sync replicas" in stalled["message"]
