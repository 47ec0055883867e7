"""What brokers and their administrators do to an edge: each time, what it had acknowledged is in Kafka, counted by
identity. On a broker of the test's own; needs no bed."""

import itertools
import threading
import time

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions

from dataplane import until
from edge_alone import REQUESTS, Edge


NUMBERS = itertools.count()


@pytest.fixture
def edge(broker):
    """A function that makes an edge with these topics and starts it."""
    made = []

    def make(*topics, start=True):
        name = f"trouble-{next(NUMBERS)}"
        made.append(Edge(broker, name, topics))
        if start:
            made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.close()


LOGS = {"name": "logs"}


def under_load(edge, count=600, pause=0.005):
    load = threading.Thread(target=edge.send, args=(count, pause))
    load.start()
    time.sleep(1)
    return load


def test_a_topic_deleted_and_made_again(edge):
    one = edge(LOGS)
    one.send(50)
    one.wait_empty()
    load = under_load(one, 1500)
    one.admin.delete_topics([f"{one.name}.logs"])[f"{one.name}.logs"].result(30)
    time.sleep(1)
    sent = one.sent
    time.sleep(2)
    assert sent < one.sent
    one.make_topic(f"{one.name}.logs")
    load.join()
    one.wait_empty(120)
    one.check(first=sent + 1)  # what Kafka had acknowledged before went with the old topic


def test_a_broker_frozen_and_thawed_under_load(edge, broker):
    one = edge(LOGS)
    load = under_load(one, 1500)
    for seconds in (3, 8):
        broker.freeze()
        time.sleep(seconds)
        broker.thaw()
        time.sleep(1)
    load.join()
    one.wait_empty()
    one.check()


def test_a_broker_killed_and_started_under_load(edge, broker):
    one = edge(LOGS)
    load = under_load(one, 600)
    broker.kill()
    load.join()
    one.process.kill()  # with the broker away
    one.start()
    broker.start()
    one.wait_empty(90)
    one.check()


def test_more_partitions_under_load(edge):
    one = edge({**LOGS, "partitionBy": "resource"})
    load = under_load(one, 400)
    one.admin.create_partitions([NewPartitions(f"{one.name}.logs", 6)])[f"{one.name}.logs"].result(30)
    load.join()
    one.wait_empty()
    one.check()


def set_limit(edge, topic, size):
    entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    edge.admin.incremental_alter_configs([resource])[resource].result(30)


def test_a_limit_that_is_lowered_under_load(edge):
    one = edge(LOGS)
    one.send(1)
    one.wait_empty()
    load = threading.Thread(target=one.send, args=(200, 0.005, 60000))
    load.start()
    time.sleep(0.3)
    set_limit(one, f"{one.name}.logs", 100000)
    load.join()
    one.wait_empty(90)
    one.check()


def many(signal, items, size):
    """A request with that many items of about that size, in three resources of two scopes."""
    request = REQUESTS[signal]()
    for number in range(items):
        if number % (items // 6) == 0:
            new_resource = number % (items // 3) == 0
            resources = getattr(request, {"traces": "resource_spans", "metrics": "resource_metrics",
                                          "logs": "resource_logs"}[signal])
            resource = resources.add() if new_resource else resources[-1]
            resource.resource.attributes.add(key=f"r{number}").value.string_value = "x" * 100
            scope = getattr(resource, {"traces": "scope_spans", "metrics": "scope_metrics",
                                       "logs": "scope_logs"}[signal]).add()
            scope.scope.name = f"scope {number}"
        if signal == "traces":
            span = scope.spans.add(trace_id=bytes(16), span_id=bytes(8), start_time_unix_nano=number + 1)
            span.attributes.add(key="a").value.bytes_value = number.to_bytes(4, "big") * (size // 4)
        elif signal == "logs":
            record = scope.log_records.add(time_unix_nano=number + 1)
            record.body.bytes_value = number.to_bytes(4, "big") * (size // 4)
        else:
            if number % 10 == 0:
                metric = scope.metrics.add(name=f"metric {number}", unit="1")
            point = metric.gauge.data_points.add(time_unix_nano=number + 1, as_int=number)
            point.attributes.add(key="a").value.bytes_value = number.to_bytes(4, "big") * (size // 4)
    return request


def times(signal, value):
    """The items' times, which are their numbers."""
    request = REQUESTS[signal].FromString(value)
    if signal == "traces":
        return [s.start_time_unix_nano for r in request.resource_spans for c in r.scope_spans for s in c.spans]
    if signal == "logs":
        return [s.time_unix_nano for r in request.resource_logs for c in r.scope_logs for s in c.log_records]
    return [p.time_unix_nano for r in request.resource_metrics for c in r.scope_metrics for m in c.metrics
            for p in m.gauge.data_points]


@pytest.mark.parametrize("signal", ["traces", "metrics", "logs"])
@pytest.mark.parametrize("limit", [65536, 1048588])
def test_values_fit_the_topics_own_limit(edge, signal, limit):
    items = 6000
    one = edge({"name": signal}, start=False)
    one.document["spec"]["edges"][0]["producer"] = {"compression": "none"}
    set_limit(one, f"{one.name}.{signal}", limit)
    one.start()
    one.post(signal, many(signal, items, 1000).SerializeToString())
    one.wait_empty()
    messages = one.messages(signal)
    assert all(len(message.value()) <= limit for message in messages)
    assert len(messages) <= 2 * items * 1100 / limit + 8, "parts are as large as may be"
    found = sorted(number for message in messages for number in times(signal, message.value()))
    assert found == list(range(1, items + 1))


def test_an_item_too_large_goes_to_the_dead_letters_and_its_neighbours_to_the_topic(edge):
    one = edge(LOGS, start=False)
    one.document["spec"]["edges"][0]["producer"] = {"compression": "none"}
    set_limit(one, f"{one.name}.logs", 100000)
    one.start()
    request = many("logs", 60, 1000)
    request.resource_logs[0].scope_logs[0].log_records[3].body.string_value = "y" * 300000
    one.post("logs", request.SerializeToString())
    until("the dead letter waits for its topic", 30, lambda: one.waiting() == 60)
    time.sleep(2)
    dead = f"{one.name}.logs.dlq"
    one.make_topic(dead, 1, max_message_bytes=10 << 20)
    one.wait_empty(90)
    letters = one.messages(dead)
    assert [times("logs", letter.value()) for letter in letters] == [[4]]
    headers = dict(letters[0].headers())
    assert b"large" in headers["st.dlq.reason"] and headers["st.dlq.topic"] == f"{one.name}.logs".encode()
    found = sorted(number for message in one.messages("logs") for number in times("logs", message.value()))
    assert found == [number for number in range(1, 61) if number != 4]
