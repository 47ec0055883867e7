"""The OpenTelemetry Collector beside us on the same topics: its Kafka receiver reads what an edge wrote, and its Kafka
exporter uses the keys and the partitions that an edge does. On a broker of the test's own; needs no bed."""

import json
import pathlib
import subprocess

import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from broker import free_ports
from dataplane import ROOT, until
from edge_alone import REQUESTS, Edge
from test_kafka_trouble import many, times

PATH = pathlib.Path(
    subprocess.run([ROOT / "hack/bed/build", "--path", "otelcol"], capture_output=True, text=True).stdout.strip()
)
pytestmark = pytest.mark.skipif(
    not (PATH / "otelcol").exists(), reason="the Collector is not built: hack/bed/build otelcol"
)
ITEMS = 300



@pytest.fixture
def collector(tmp_path):
    """A function that starts a Collector with these parts."""
    running = []

    def start(**parts):
        config = {"service": {"telemetry": {"metrics": {"level": "none"}}, "pipelines": parts.pop("pipelines")}}
        file = tmp_path / f"collector-{len(running)}.yaml"
        file.write_text(yaml.safe_dump({**parts, **config}))
        log = open(tmp_path / f"collector-{len(running)}.log", "ab")
        running.append(subprocess.Popen([PATH / "otelcol", "--config", file], stdout=log, stderr=log))

    yield start
    for process in running:
        process.kill()
        process.wait()
    for log in tmp_path.glob("*.log"):
        print(log.read_text()[-3000:])


def traces(count):
    """Spans of `count` traces, two each, in turn."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "shop"
    scope = resource.scope_spans.add()
    for number in range(2 * count):
        identity = (0x5B8EFFF798038103D269B633813FC60C + number % count).to_bytes(16, "big")
        scope.spans.add(trace_id=identity, span_id=number.to_bytes(8, "big"), name="s", start_time_unix_nano=number + 1)
    return request


def resources(signal, count):
    """Items of `count` resources of many kinds of attributes, two each, in turn."""
    request = REQUESTS[signal]()
    for number in range(2 * count):
        one = many(signal, 6, 8)
        held = getattr(one, "resource_metrics" if signal == "metrics" else "resource_logs")[0]
        held.resource.attributes[0].key = "service.name"
        held.resource.attributes[0].value.string_value = f"shop-{number % count}"
        held.resource.attributes.add(key="host.id").value.int_value = number % count
        held.resource.attributes.add(key="a.ratio").value.double_value = 0.5
        nested = held.resource.attributes.add(key="list").value.array_value.values
        nested.add().bool_value = True
        nested.add().bytes_value = b"\0\1"
        getattr(request, "resource_metrics" if signal == "metrics" else "resource_logs").append(held)
    return request


def partitions_by_key(edge, topic):
    found = {}
    for message in edge.messages(topic):
        assert found.setdefault(message.key(), message.partition()) == message.partition()
    return found


def test_the_collectors_receiver_reads_every_signal(broker, collector, tmp_path):
    edge = Edge(broker, "received", [{"name": name, "partitionBy": by}
                                     for name, by in (("traces", "traceID"), ("metrics", "resource"), ("logs", "none"))])
    try:
        edge.start()
        for signal in REQUESTS:
            edge.post(signal, many(signal, ITEMS, 200).SerializeToString())
        edge.wait_empty()
        receiver = {"brokers": [broker.address()], "group_id": "collector", "initial_offset": "earliest"}
        for signal in REQUESTS:
            receiver[signal] = {"topics": [f"received.{signal}"], "encoding": "otlp_proto"}
        collector(
            receivers={"kafka": receiver},
            exporters={f"file/{s}": {"path": str(tmp_path / s), "flush_interval": "200ms"} for s in REQUESTS},
            pipelines={s: {"receivers": ["kafka"], "exporters": [f"file/{s}"]} for s in REQUESTS},
        )

        def read(signal):
            file = tmp_path / signal
            text = file.read_text() if file.exists() else ""
            keys = {"traces": "startTimeUnixNano", "metrics": "timeUnixNano", "logs": "timeUnixNano"}
            found = []

            def walk(value):
                if isinstance(value, dict):
                    if keys[signal] in value:
                        found.append(int(value[keys[signal]]))
                    for one in value.values():
                        walk(one)
                elif isinstance(value, list):
                    for one in value:
                        walk(one)

            for line in text.splitlines():
                try:
                    walk(json.loads(line))
                except ValueError:  # not written to its end
                    pass
            return sorted(found)

        for signal in REQUESTS:
            until(f"the Collector has read all {signal}", 60, lambda s=signal: len(read(s)) >= ITEMS)
            assert read(signal) == list(range(1, ITEMS + 1))
    finally:
        edge.close()


def test_keys_and_partitions_are_those_of_the_collectors_exporter(broker, collector):
    edge = Edge(broker, "keys", [{"name": "traces", "partitionBy": "traceID"}, {"name": "metrics", "partitionBy": "resource"},
                                 {"name": "logs", "partitionBy": "resource"}])
    try:
        edge.start()
        requests = {"traces": traces(40), "metrics": resources("metrics", 40), "logs": resources("logs", 40)}
        for signal in REQUESTS:
            edge.make_topic(f"keys.theirs.{signal}")
        port = free_ports(1)[0]
        exporter = {
            "brokers": [broker.address()],
            "partition_traces_by_id": True,
            "partition_metrics_by_resource_attributes": True,
            "partition_logs_by_resource_attributes": True,
        }
        for signal in REQUESTS:
            exporter[signal] = {"topic": f"keys.theirs.{signal}", "encoding": "otlp_proto"}
        collector(
            receivers={"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
            exporters={"kafka": exporter},
            pipelines={s: {"receivers": ["otlp"], "exporters": ["kafka"]} for s in REQUESTS},
        )
        theirs = Edge.__new__(Edge)  # only to post to another port
        theirs.http = port

        def answers(signal, body):
            try:
                theirs.post(signal, body)
                return True
            except OSError:
                return False

        for signal, request in requests.items():
            body = request.SerializeToString()
            edge.post(signal, body)
            until(f"the Collector takes {signal}", 30, lambda s=signal, b=body: answers(s, b))
        edge.wait_empty()
        for signal in REQUESTS:
            ours = partitions_by_key(edge, signal)
            assert len(ours) == 40 and None not in ours
            until(f"the Collector's {signal} are there", 30,
                  lambda s=signal: len(edge.messages(f"keys.theirs.{s}")) >= 40)
            assert partitions_by_key(edge, f"keys.theirs.{signal}") == ours
            assert sorted(n for m in edge.messages(signal) for n in times(signal, m.value())) == sorted(
                times(signal, requests[signal].SerializeToString())
            )
    finally:
        edge.close()
