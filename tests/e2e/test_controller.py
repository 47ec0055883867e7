"""The operator on a real API server and real Kafka: it makes what a document says, keeps it so, harms nothing."""

import re
import time
import urllib.request

import pytest
from confluent_kafka import Consumer

from cluster import OPERATOR, Failed, Shop, apply, condition, get, install, kubectl, leader, plugin, report, run
from dataplane import HERE, ROOT, part, until


@pytest.fixture(scope="module", autouse=True)
def operator():
    install()


@pytest.fixture
def shop(request):
    """A function that makes a Shop, which is taken down at the end."""
    made = []

    def make(name, spec=None):
        made.append(Shop(name, spec))
        return made[-1]

    yield make
    for one in made:
        if request.node.failed:
            report(one.namespace)
        one.close()


def patch(kind, name, namespace, body, style="merge"):
    kubectl("patch", kind, name, "-n", namespace, "--type", style, "-p", body)


# ---- making


def test_makes_the_whole_path_and_says_that_it_is_ready(shop):
    s = shop("make")
    begin = time.monotonic()
    s.apply()
    s.wait_ready()
    print(f"ready after {time.monotonic() - begin:.1f} s")

    assert sorted(s.children()) == [
        ("ConfigMap", "shop-edge"),
        ("ConfigMap", "shop-jaeger"),
        ("Deployment", "shop-jaeger"),
        ("HorizontalPodAutoscaler", "shop-jaeger"),
        ("PodDisruptionBudget", "shop-edge"),
        ("PodDisruptionBudget", "shop-jaeger"),
        ("Service", "shop-edge"),
        ("Service", "shop-edge-pods"),
        ("ServiceAccount", "shop-edge"),
        ("ServiceAccount", "shop-jaeger"),
        ("StatefulSet", "shop-edge"),
    ]
    assert s.topics() == {f"{s.namespace}.shop.traces": 3, f"{s.namespace}.shop.traces.dlq": 1}
    live = s.live()
    assert live["status"]["summary"]["edges"] == "1/1"
    assert live["status"]["topics"][0]["made"] == "Created"
    assert not condition(live, "Reconciling") and not condition(live, "Stalled")
    row = kubectl("get", "tp", "shop", "-n", s.namespace, "--no-headers").split()
    assert row[:5] == ["shop", "True", "2/2", "1/1", "1/1"]


def test_pods_meet_the_restricted_profile(shop):
    s = shop("profile")
    kubectl("label", "namespace", s.namespace, "pod-security.kubernetes.io/enforce=restricted")
    s.apply().wait_ready()


def test_is_calm_when_nothing_happens(shop):
    s = shop("calm")
    s.apply().wait_ready()
    time.sleep(15)
    before = {key: o["metadata"]["resourceVersion"] for key, o in s.children().items()}
    version = s.live()["metadata"]["resourceVersion"]
    time.sleep(20)
    after = {key: o["metadata"]["resourceVersion"] for key, o in s.children().items()}
    moved = [key for key in before if before[key] != after[key] and key[0] != "HorizontalPodAutoscaler"]
    assert moved == []
    assert s.live()["metadata"]["resourceVersion"] == version


# ---- keeping


def test_puts_back_what_was_edited_by_hand(shop):
    s = shop("edited")
    s.apply().wait_ready()
    image = s.child("deployment", "jaeger")["spec"]["template"]["spec"]["containers"][0]["image"]

    kubectl("set", "image", "deployment/shop-jaeger", "-n", s.namespace, "surgetank=example.com/other:1")
    patch("service", "shop-edge", s.namespace, '{"spec": {"selector": {"extra": "label"}}}')
    patch("configmap", "shop-edge", s.namespace, '{"data": {"pipeline.json": "{}"}}')
    patch("poddisruptionbudget", "shop-edge", s.namespace, '{"spec": {"maxUnavailable": 9}}')

    def restored():
        return (
            s.child("deployment", "jaeger")["spec"]["template"]["spec"]["containers"][0]["image"] == image
            and "extra" not in s.child("service", "edge")["spec"]["selector"]
            and len(s.child("configmap", "edge")["data"]["pipeline.json"]) > 100
            and s.child("poddisruptionbudget", "edge")["spec"]["maxUnavailable"] == 1
        )

    until("all four are as they were", 20, restored)


def test_makes_again_what_was_deleted_or_disowned(shop):
    s = shop("deleted")
    s.apply().wait_ready()
    before = {key: o["metadata"]["uid"] for key, o in s.children().items()}
    kubectl("delete", "service/shop-edge", "configmap/shop-jaeger", "deployment/shop-jaeger", "-n", s.namespace)
    kubectl("label", "hpa", "shop-jaeger", "-n", s.namespace, "app.kubernetes.io/managed-by-")
    until("all are there again", 20, lambda: set(s.children()) == set(before))
    until("the label too", 20, lambda: "app.kubernetes.io/managed-by" in s.child("hpa", "jaeger")["metadata"]["labels"])
    s.wait_ready()


def test_leaves_the_objects_of_others_alone(shop):
    s = shop("foreign")
    mine = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "shop-edge", "namespace": s.namespace},
        "data": {"mine": "kept"},
    }
    apply(mine)
    s.apply()
    found = s.wait_condition("Stalled", "True", "ApplyRefused")
    assert "ConfigMap shop-edge exists and belongs to somebody else" in found["message"]
    assert s.child("configmap", "edge")["data"] == {"mine": "kept"}
    kubectl("delete", "configmap", "shop-edge", "-n", s.namespace)
    s.wait_ready()


def test_replicas_set_by_hand_do_not_stay(shop):
    s = shop("replicas")
    s.apply().wait_ready()
    kubectl("scale", "deployment/shop-jaeger", "-n", s.namespace, "--replicas=3")
    until("one replica again", 30, lambda: s.child("deployment", "jaeger")["spec"]["replicas"] == 1)


def test_a_paused_pipeline_stays_as_it_is(shop):
    s = shop("paused")
    s.apply().wait_ready()
    s.spec["paused"] = True
    s.apply()
    s.wait_condition("ScalingActive", "False", "Paused")
    kubectl("delete", "service", "shop-edge", "-n", s.namespace)
    time.sleep(5)
    assert s.child("service", "edge") is None
    s.spec["paused"] = False
    s.apply()
    until("the Service is back", 20, lambda: s.child("service", "edge"))


# ---- changing


def test_a_change_restarts_only_what_it_concerns(shop):
    s = shop("change")
    s.apply().wait_ready()
    before = s.pods()
    s.spec["gateways"][0]["settle"] = "1s"
    s.spec["gateways"][0]["scaling"]["maxReplicas"] = 2
    s.apply().wait_ready()
    after = s.pods()
    edges = [name for name in before if "edge" in name]
    assert all(after[name]["metadata"]["uid"] == before[name]["metadata"]["uid"] for name in edges)
    until("new gateways", 60, lambda: not set(s.pods()) & {n for n in before if "jaeger" in n})
    s.wait_ready()

    pods = set(s.pods())
    s.spec["gateways"][0]["scaling"]["maxReplicas"] = 3
    s.apply().wait_ready()
    time.sleep(3)
    assert set(s.pods()) == pods, "scaling settings restart nothing"


def test_parts_come_and_go_with_the_document(shop):
    s = shop("parts")
    s.apply().wait_ready()
    second = {**s.spec["gateways"][0], "name": "second"}
    s.spec["gateways"].append(second)
    s.apply().wait_ready()
    assert s.child("deployment", "second")
    s.spec["gateways"].pop()
    s.apply()
    until("its objects go", 30, lambda: not [key for key in s.children() if key[1] == "shop-second"])


def test_edges_grow_at_once_and_shrink_when_drained(shop):
    s = shop("edges")
    s.apply().wait_ready()
    s.spec["edges"][0]["replicas"] = 2
    s.apply().wait_ready()
    assert len([name for name in s.pods() if "edge" in name]) == 2
    s.spec["edges"][0]["replicas"] = 1
    s.apply()
    until("one edge", 120, lambda: s.child("statefulset", "edge")["spec"]["replicas"] == 1)
    assert "stranded" not in s.live()["status"]["edges"][0], "its spool was empty"


def test_volumes_that_no_pod_uses_are_named(shop):
    s = shop("stranded")
    s.spec["edges"][0]["replicas"] = 2
    s.apply().wait_ready()
    kubectl("delete", "tp", "shop", "-n", s.namespace, "--timeout=60s")
    until("the pods are gone", 90, lambda: not s.pods())
    s.spec["edges"][0]["replicas"] = 1  # and who knows what the second has not sent
    s.apply()
    found = s.wait_condition("EdgesReady", "True", "Stranded", seconds=90)
    assert s.live()["status"]["edges"][0]["stranded"] == ["spool-shop-edge-1"]
    assert "Set replicas to 2 until" in found["message"]
    s.spec["edges"][0]["replicas"] = 2
    s.apply()
    s.wait_condition("EdgesReady", "True", "Ready", seconds=90)


def test_volumes_grow_where_their_class_lets_them_and_never_shrink(shop):
    s = shop("grow")
    s.apply().wait_ready()
    asked = lambda: get("pvc", "spool-shop-edge-0", "-n", s.namespace)["spec"]["resources"]["requests"]["storage"]
    s.spec["edges"][0]["spool"]["size"] = "2Gi"
    s.apply()
    found = s.wait_condition("EdgesReady", "True", "Held", seconds=90)
    assert "allowVolumeExpansion" in found["message"] and "spool-shop-edge-0" in found["message"]
    assert asked() == "1Gi"
    patch("storageclass", "local", "default", '{"allowVolumeExpansion": true}')
    try:
        s.spec["edges"][0]["spool"]["size"] = "3Gi"
        s.apply()
        until("the claim asks for more", 60, lambda: asked() == "3Gi")
    finally:
        patch("storageclass", "local", "default", '{"allowVolumeExpansion": false}')
    s.wait_ready()
    s.spec["edges"][0]["spool"]["size"] = "2Gi"
    with pytest.raises(Failed, match="can't shrink"):
        s.apply()


def test_topics_grow_are_put_back_and_never_shrink(shop):
    s = shop("topics")
    topic = f"{s.namespace}.shop.traces"
    s.apply().wait_ready()
    s.spec["topics"][0]["partitions"] = 5
    s.spec["topics"][0]["retention"] = "36h"
    s.apply()
    until("five partitions", 30, lambda: s.topics().get(topic) == 5)
    until("longer retention", 30, lambda: s.topic_config(topic, "retention.ms") == str(36 * 3600 * 1000))
    s.wait_ready()
    s.spec["topics"][0]["partitions"] = 2
    with pytest.raises(Failed, match="can't shrink"):
        s.apply()
    assert s.topics()[topic] == 5


def test_says_what_to_set_when_there_are_too_few_brokers(shop):
    s = shop("brokers")
    s.spec["topics"][0]["replicationFactor"] = 7
    s.apply()
    found = s.wait_condition("TopicsReady", "False", "ReplicationUnavailable")
    assert "replicationFactor is 7" in found["message"] and "set replicationFactor" in found["message"]
    until("edges run all the same", 60, lambda: (s.child("statefulset", "edge") or {}).get("status", {}).get("readyReplicas"))


# ---- refusing


def test_the_older_pipeline_keeps_its_topic(shop):
    first, second = shop("claim-a"), shop("claim-b")
    first.apply().wait_ready()
    time.sleep(1.1)
    second.spec["topics"][0]["topic"] = f"{first.namespace}.shop.traces"
    second.apply()
    found = second.wait_condition("Stalled", "True", "ClaimLost")
    assert f"belongs to pipeline {first.namespace}/shop" in found["message"]
    assert second.children() == {}
    assert condition(first.live(), "Ready")["status"] == "True"
    second.spec["topics"][0]["ownership"] = "Observe"
    second.apply().wait_ready()


def test_a_topic_of_others_is_used_and_never_changed(shop):
    first, second = shop("made"), shop("found")
    first.apply().wait_ready()
    topic = f"{first.namespace}.shop.traces"
    kubectl("delete", "tp", "shop", "-n", first.namespace)
    second.spec["topics"][0].update({"topic": topic, "retention": "1h", "partitions": 6})
    second.apply()
    second.wait_condition("TopicsReady", "True", "TopicExists")
    assert second.topic_config(topic, "retention.ms") == str(24 * 3600 * 1000)


def test_node_access_is_only_for_namespaces_that_may_have_it(shop):
    s = shop("node")
    s.spec["edges"] = [{"name": "edge", "mode": "DaemonSet"}]
    s.apply()
    found = s.wait_condition("Stalled", "True", "NodeAccessRefused")
    assert "--node-access-namespaces" in found["message"]
    assert s.children() == {}


def test_a_member_that_is_not_ours_holds_scaling(shop):
    s = shop("shared")
    s.apply().wait_ready()
    stranger = Consumer({"bootstrap.servers": s.bootstrap, "group.id": f"{s.namespace}.shop.jaeger", "client.id": "stranger"})
    stranger.subscribe([f"{s.namespace}.shop.traces"])
    try:
        until("it is a member", 30, lambda: stranger.poll(0.5) or stranger.assignment())
        found = until(
            "scaling is held",
            60,
            lambda: stranger.poll(0.2) or ((c := condition(s.live(), "ScalingActive")).get("reason") == "GroupShared" and c),
        )
        assert found["status"] == "False" and "stranger" in found["message"] and "groupID" in found["message"]
    finally:
        stranger.close()
    s.wait_condition("ScalingActive", "True", seconds=90)


def test_a_missing_secret_is_named(shop):
    s = shop("secret")
    s.spec["kafka"]["sasl"] = {
        "mechanism": "SCRAM-SHA-512",
        "usernameSecret": {"name": "kafka-user", "key": "username"},
        "passwordSecret": {"name": "kafka-user", "key": "password"},
    }
    s.apply()
    found = s.wait_condition("TopicsReady", "False", "Unreachable")
    assert f"Secret kafka-user is missing in namespace {s.namespace}" in found["message"]


# ---- failures around it


def test_with_kafka_away_workloads_are_made_all_the_same(shop):
    s = shop("away")
    part("stop", "kafka-0")
    try:
        s.apply()
        found = s.wait_condition("TopicsReady", "False", "Unreachable", seconds=60)
        assert "could not be looked at" in found["message"]
        until("the edge is ready", 60, lambda: (s.child("statefulset", "edge") or {}).get("status", {}).get("readyReplicas"))
    finally:
        part("start", "kafka-0")
    s.wait_ready(seconds=120)


def test_another_instance_takes_over(shop):
    s = shop("leader")
    s.apply().wait_ready()
    old = leader()
    kubectl("delete", "pod", old, "-n", OPERATOR, "--grace-period=0", "--force")
    kubectl("delete", "service", "shop-edge", "-n", s.namespace)
    begin = time.monotonic()
    until("the Service is back", 60, lambda: s.child("service", "edge"))
    print(f"taken over after {time.monotonic() - begin:.1f} s")
    assert leader() != old


def expired_watches():
    """How often the instances of the operator had to list anew, for the server had forgotten where they stood."""
    counted = 0
    for pod in get("pods", "-n", OPERATOR, "-l", "app.kubernetes.io/name=surgetank"):
        with urllib.request.urlopen(f"http://{pod['status']['podIP']}:8080/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        counted += sum(int(line.split()[-1]) for line in lines if EXPIRED.match(line))
    return counted


EXPIRED = re.compile(r'kube_watch_restarts_total\{.*reason="gone"')


def test_goes_on_after_the_api_server_was_away_and_has_forgotten_where_its_watches_stood(shop):
    s = shop("apiserver")
    s.apply().wait_ready()
    before = expired_watches()
    part("stop", "apiserver")  # a server that starts anew remembers no event from before
    part("start", "apiserver")
    until("the API server answers", 60, lambda: run("kubectl", "get", "--raw", "/readyz") == "ok")
    kubectl("delete", "service", "shop-edge", "-n", s.namespace)
    until("the Service is back", 60, lambda: s.child("service", "edge"))
    s.wait_ready()
    until("watches were expired (410), and listed anew", 60, lambda: expired_watches() > before)


# ---- scaling


def test_replicas_follow_the_lag_up_and_down(shop):
    s = shop("scale")
    s.spec["gateways"][0]["scaling"] = {
        "maxReplicas": 3,
        "lag": {"drainWithin": "30s", "maxMessagesPerReplica": 150},
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 10}},
    }
    # so little CPU that the lag outlives a look at it
    s.spec["gateways"][0]["podTemplate"] = {"resources": {"limits": {"cpu": "10m"}, "requests": {"cpu": "10m"}}}
    s.apply().wait_ready()
    address = s.child("service", "edge")["spec"]["clusterIP"]
    part("stop", "jaeger")
    try:
        client = ["python3", str(HERE / "otel_client.py"), "--endpoint", f"{address}:4317", "--protocol", "grpc"]
        run(*client, "--run", s.namespace, "--count", "60000", "--rate", "3000", "traces")
        found = s.wait_condition("GatewaysReady", "False", "BackendDown", seconds=60)
        assert "jaeger.monitoring.svc" in found["message"]
        assert s.child("deployment", "jaeger")["spec"]["replicas"] == 1, "more replicas would not help"
    finally:
        part("start", "jaeger")
    begin = time.monotonic()
    until("more gateways", 60, lambda: s.child("deployment", "jaeger")["spec"]["replicas"] > 1)
    print(f"scaled after {time.monotonic() - begin:.1f} s")
    bounds = s.child("hpa", "jaeger")["spec"]
    assert bounds["minReplicas"] == bounds["maxReplicas"] > 1
    until("one again", 180, lambda: s.child("deployment", "jaeger")["spec"]["replicas"] == 1)
    s.wait_ready()


def test_a_gateway_sleeps_at_zero_and_wakes_by_lag(shop):
    s = shop("sleep")
    s.spec["gateways"][0]["scaling"] = {
        "minReplicas": 0,
        "maxReplicas": 3,
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
    }
    s.apply().wait_ready()
    replicas = lambda: s.child("deployment", "jaeger")["spec"]["replicas"]
    until("nothing to do: none", 120, lambda: replicas() == 0)
    s.wait_condition("ScalingActive", "True", "ScaledToZero")
    address = s.child("service", "edge")["spec"]["clusterIP"]
    client = ["python3", str(HERE / "otel_client.py"), "--endpoint", f"{address}:4317", "--protocol", "grpc"]
    run(*client, "--run", s.namespace, "--count", "500", "traces")
    until("woken", 60, lambda: replicas() > 0)
    until("all is committed, and none again", 180, lambda: replicas() == 0)
    lag = s.live()["status"]["gateways"][0]["lagMessages"]
    assert lag == 0, f"lag {lag}"
    events = [e["reason"] for e in get("events.events.k8s.io", "-n", s.namespace) if e["regarding"]["kind"] == "TelemetryPipeline"]
    assert "Scaled" in events and "Ready" in events, events


# ---- ending


def test_deleting_a_pipeline_leaves_its_topics_and_volumes(shop):
    s = shop("delete")
    s.apply().wait_ready()
    claims = len(get("pvc", "-n", s.namespace))
    kubectl("delete", "tp", "shop", "-n", s.namespace, "--timeout=30s")
    gone = lambda: not get("statefulset,deployment,service,hpa,pdb", "-n", s.namespace)
    until("its children are gone", 60, gone)
    assert len(s.topics()) == 2
    assert len(get("pvc", "-n", s.namespace)) == claims == 1


def test_topics_go_along_where_the_document_says_so(shop):
    s = shop("delete-topics")
    s.spec["topics"][0]["deletionPolicy"] = "Delete"
    s.apply().wait_ready()
    assert s.live()["metadata"]["finalizers"] == ["surgetank.dev/topics"]
    kubectl("delete", "tp", "shop", "-n", s.namespace, "--timeout=60s")
    until("the topic is gone", 20, lambda: f"{s.namespace}.shop.traces" not in s.topics())


# ---- what people type and install


def test_the_plugin_shows_the_path_and_plans(shop):
    s = shop("plugin")
    s.apply().wait_ready()
    picture = plugin("status", "shop", "-n", s.namespace)
    assert "1 of 1 pods ready" in picture and "jaeger.monitoring.svc:4317" in picture
    assert f"{s.namespace}.shop.jaeger" in plugin("lag", "-n", s.namespace)

    file = ROOT / "build" / "plan.yaml"
    sample = (ROOT / "manifests" / "samples" / "smallest.yaml").read_text()
    file.write_text(sample)
    assert "StatefulSet" in plugin("render", "-f", str(file))
    namespace = next(line.split(":")[1].strip() for line in sample.splitlines() if "namespace:" in line)
    if get("namespace", namespace) is None:
        kubectl("create", "namespace", namespace)
    assert "create   Deployment" in plugin("plan", "-f", str(file))


def test_the_manifest_is_accepted_by_the_server():
    manifest = str(ROOT / "manifests" / "install.yaml")
    run("kubectl", "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", manifest)
