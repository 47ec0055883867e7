"""Three brokers, as in production: the defaults fit, and a broker that dies is no more than that. These run where the
bed has three (hack/bed/up --brokers 3), and no others do: conftest.py sees to it."""

import os

import pytest

from cluster import get
from dataplane import part, until
from path import sample
from test_operator import GATEWAYS, applied, check_all_stored, send

pytestmark = pytest.mark.usefixtures("operator")


@pytest.fixture(scope="module")
def path(operator):
    """The sample, its topics as the API has them by default: three replicas, two in sync."""
    made = sample()
    made["metadata"]["namespace"] = "brokers"
    for topic in made["spec"]["topics"]:
        for field in ("replicationFactor", "minInsyncReplicas"):
            topic.pop(field, None)
    for gateway in made["spec"]["gateways"]:
        gateway.pop("settle", None)
        gateway["retry"] = {"maxInterval": "2s"}
    with applied(made) as standing:
        until("the pipeline is Ready", 120, lambda: standing.condition("Ready").get("status") == "True")
        yield standing


def test_delivers_every_signal_once_from_topics_with_three_replicas(path):
    topics = get("tp", path.name, "-n", path.namespace)["status"]["topics"]
    assert {topic["replicationFactor"] for topic in topics} == {3}
    check_all_stored(send(path, 2000, 1000), repeats=0)


def test_a_broker_killed_under_load_loses_nothing(path):
    loads = send(path, 6000, 500)
    part("kill", "kafka-1")
    for load in loads:
        load.finish()
    part("start", "kafka-1")
    check_all_stored(loads, wait=120)


def test_gateways_speak_the_protocol_that_the_brokers_have(path):
    known = {"3.9.2": "classic", "4.4.0": "consumer"}[os.environ["BED_KAFKA_VERSION"]]
    for name in GATEWAYS:
        assert path.ready("gateway", name)[0].state()["intake"]["protocol"] == known
