"""An edge beside a broker of the test's own (broker.py), and what has come of it in Kafka."""

import json
import pathlib
import shutil
import tempfile
import time
import urllib.request

import yaml
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from broker import free_ports
from dataplane import Process, until

PARTITIONS = 3
REQUESTS = {"traces": ExportTraceServiceRequest, "metrics": ExportMetricsServiceRequest,
            "logs": ExportLogsServiceRequest}


class Edge:
    """Its topics are called NAME.TOPIC; those that the test asks for are made."""

    def __init__(self, broker, name, topics, **kafka):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="surgetank-edge-"))
        self.broker, self.name, self.sent = broker, name, 0
        self.secrets = self.dir / "secrets"
        self.secrets.mkdir()
        grpc, self.http, health, metrics = free_ports(4)
        self.arguments = ["edge", "--edge", "edge", "--pipeline", str(self.dir / "pipeline.yaml"), "--secrets",
                          str(self.secrets), "--health-listen", f"127.0.0.1:{health}", "--metrics-listen",
                          f"127.0.0.1:{metrics}"]
        self.health = f"127.0.0.1:{health}"
        self.topics = [{**one, "topic": f"{name}.{one['name']}"} for one in topics]
        read = "unread" if all(one.get("encoding") for one in topics) else topics[0]["name"]
        if read == "unread":
            self.topics.append({"name": read, "signal": "traces", "topic": f"{name}.{read}"})
        self.document = {
            "apiVersion": "surgetank.dev/v1alpha1",
            "kind": "TelemetryPipeline",
            "metadata": {"name": name, "namespace": "alone"},
            "spec": {
                "kafka": {"bootstrapServers": [broker.address()], **kafka},
                "topics": self.topics,
                "edges": [
                    {
                        "name": "edge",
                        "receivers": {"otlp": {"grpc": {"port": grpc}, "http": {"port": self.http}}},
                        "spool": {"size": "512Mi", "minFree": "1%", "storage": {"hostPath": str(self.dir / "spool")}},
                    }
                ],
                "gateways": [
                    {
                        "name": "none",
                        "from": [read],
                        "export": {"otlp": {"endpoint": "127.0.0.1:1", "tls": {"insecure": True}}},
                    }
                ],
            },
        }
        self.admin = AdminClient({"bootstrap.servers": broker.address()})
        for one in topics:
            self.make_topic(f"{name}.{one['name']}")
        self.process = None

    def make_topic(self, topic, partitions=PARTITIONS, **config):
        wanted = NewTopic(topic, partitions, 1, config={key.replace("_", "."): str(one) for key, one in config.items()})
        for future in self.admin.create_topics([wanted]).values():
            future.result(30)

    def start(self):
        (self.dir / "pipeline.yaml").write_text(yaml.safe_dump(self.document))
        self.process = Process("edge", self.arguments, self.dir / "log", self.health)
        self.process.wait_ready()

    def start_gateway(self):
        """In place of the edge: the document's gateway."""
        (self.dir / "pipeline.yaml").write_text(yaml.safe_dump(self.document))
        arguments = ["gateway", "--gateway", "none", *self.arguments[3:]]
        self.process = Process("gateway", arguments, self.dir / "log", self.health)
        self.process.wait_ready()

    def post(self, signal, body, kind="application/x-protobuf"):
        """Sends one request, which must be acknowledged."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}/v1/{signal}", body, {"Content-Type": kind})
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.status == 200

    def send(self, count, pause=0.0, size=0):
        """`count` log records, numbered by their times, each with `size` bytes of body."""
        for _ in range(count):
            self.sent += 1
            record = {"timeUnixNano": str(self.sent), "body": {"stringValue": "x" * size}}
            body = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
            self.post("logs", json.dumps(body).encode(), "application/json")
            time.sleep(pause)

    def waiting(self, signal="logs"):
        state = self.process.state()
        return state["spool"]["lanes"][signal]["waitingItems"] if state else None

    def trouble(self):
        kafka = (self.process.state() or {}).get("kafka", {})
        return kafka.get("trouble", "") + " " + kafka.get("lanes", {}).get("logs", {}).get("trouble", "")

    def wait_empty(self, seconds=60):
        def empty():
            return all(self.waiting(signal) == 0 for signal in REQUESTS)

        try:
            until("the spool is empty", seconds, empty)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.trouble()}") from error

    @staticmethod
    def end_of(consumer, spot):
        """The offset behind a partition's last message, as soon as it has a leader again."""

        def asked():
            try:
                return (consumer.get_watermark_offsets(spot, 30, cached=False)[1],)
            except KafkaException:
                return None

        return until(f"{spot.topic} {spot.partition} has a leader", 60, asked)[0]

    def messages(self, topic):
        """All that is in the topic called so in the document, or beside them."""
        name = topic if "." in topic else f"{self.name}.{topic}"
        consumer = Consumer({"bootstrap.servers": self.broker.address(), "group.id": "test",
                             "enable.auto.commit": False})
        partitions = consumer.list_topics(name, 10).topics[name].partitions
        spots = [TopicPartition(name, n, 0) for n in partitions]
        left = sum(self.end_of(consumer, spot) for spot in spots)
        consumer.assign(spots)
        found = []
        while left > 0:
            for message in consumer.consume(min(left, 100), 5):  # more would be waited for
                assert not message.error(), message.error()
                found.append(message)
                left -= 1
        consumer.close()
        return found

    def numbers(self, topic="logs"):
        """How often each record of send() is there, and how many of those times it said so."""
        found, marked = {}, {}
        for message in self.messages(topic):
            retry = "st.retry" in dict(message.headers())
            for number in numbers_in(message.value()):
                found[number] = found.get(number, 0) + 1
                marked[number] = marked.get(number, 0) + retry
        return found, marked

    def check(self, first=1):
        """Each record once, but for those that say that they may be repeats."""
        found, marked = self.numbers()
        lost = [number for number in range(first, self.sent + 1) if number not in found]
        assert not lost, f"{len(lost)} are lost, as {lost[:10]}"
        twice = [number for number, times in found.items() if times > 1 + marked[number]]
        assert not twice, f"{len(twice)} are there twice and don't say so, as {twice[:10]}"

    def close(self):
        if self.process is not None and self.process.process.poll() is None:
            self.process.kill()
        if (self.dir / "log").exists():
            print((self.dir / "log").read_text()[-4000:])
        shutil.rmtree(self.dir, ignore_errors=True)


def numbers_in(value):
    """The times of the log records in a message of either encoding."""
    if value.startswith(b"{"):
        return [
            int(record["timeUnixNano"])
            for resource in json.loads(value)["resourceLogs"]
            for scope in resource["scopeLogs"]
            for record in scope["logRecords"]
        ]
    request = ExportLogsServiceRequest.FromString(value)
    return [r.time_unix_nano for resource in request.resource_logs for s in resource.scope_logs for r in s.log_records]
