"""What the benches of the edge and of the gateway share: who is measured, how, on which topics, and how runs take turns."""

import argparse
import contextlib
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import yaml
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ITEMS = 100  # in a request
PARTITIONS = 6
PATIENCE = 60  # seconds for what should take one
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Ended(Exception):
    """Who is measured is gone."""


def scope_below(container, scopes):
    """The one scope of a resource with the usual attributes."""
    for key in ("service.name", "service.namespace", "host.name", "k8s.pod.name", "telemetry.sdk.language"):
        container.resource.attributes.add(key=key).value.string_value = f"{key}-value"
    return scopes.add(scope=InstrumentationScope(name="bench"))


def traces():
    """Spans of about 469 bytes."""
    message = ExportTraceServiceRequest()
    container = message.resource_spans.add()
    scope = scope_below(container, container.scope_spans)
    for i in range(ITEMS):
        span = scope.spans.add(
            trace_id=os.urandom(16),
            span_id=os.urandom(8),
            parent_span_id=os.urandom(8),
            name=f"GET /api/v1/orders/{i}",
            kind=2,
            start_time_unix_nano=time.time_ns(),
            end_time_unix_nano=time.time_ns() + 1000000,
        )
        for n in range(9):
            span.attributes.add(key=f"http.attribute.{n}").value.string_value = f"value-{i}-{n}-" + "x" * 8
    return message


def framed(message):
    """As gRPC wants it."""
    body = message.SerializeToString()
    return b"\0" + len(body).to_bytes(4, "big") + body


# ---- who is measured


class Process:
    """By its own accounting in /proc."""

    def __init__(self, child):
        self.child, self.pid = child, child.pid

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def resident_mb(self):
        return int(pathlib.Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE / 1e6

    def peak_mb(self):
        return int(re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{self.pid}/status").read_text())[1]) / 1000

    def runs(self):
        return self.child.poll() is None

    def end(self):
        self.child.terminate()
        try:
            self.child.wait(60)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


@contextlib.contextmanager
def running(command, log):
    """It ends with the block; if that fails, the end of its log is shown."""
    with open(log, "ab") as file:
        process = Process(subprocess.Popen(command, stdout=file, stderr=file))
    try:
        yield process
    except Exception:
        print(log.read_text(errors="replace")[-2000:], file=sys.stderr, flush=True)
        raise
    finally:
        process.end()


def wait_for(port, process, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.runs():
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise Ended(f"nothing listens on {port}")


class Edge:
    name = "surgetank, synced"
    port = 25317
    health = "127.0.0.1:25400"

    def document(self, directory, bootstrap, topics):
        """`topics`: names by signal. No gateway runs; one has to be there."""
        return {
            "apiVersion": "surgetank.dev/v1alpha1",
            "kind": "TelemetryPipeline",
            "metadata": {"name": "bench", "namespace": "bench"},
            "spec": {
                "kafka": {"bootstrapServers": bootstrap.split(",")},
                "topics": [{"name": signal, "signal": signal, "topic": topic} for signal, topic in topics.items()],
                "edges": [
                    {
                        "name": "edge",
                        "receivers": {"otlp": {"grpc": {"port": self.port}, "http": {"port": self.port + 1}}},
                        "spool": {"size": "4Gi", "minFree": "2%", "storage": {"hostPath": str(directory / "spool")}},
                    }
                ],
                "gateways": [
                    {
                        "name": "none",
                        "from": list(topics),
                        "export": {"otlp": {"endpoint": "127.0.0.1:1", "tls": {"insecure": True}}},
                    }
                ],
            },
        }

    def prepare(self, directory, bootstrap, topics):
        """Writes the configuration; the command to start it with."""
        file = directory / "pipeline.yaml"
        file.write_text(yaml.safe_dump(self.document(directory, bootstrap, topics)))
        command = [str(ROOT / "build" / "surgetank-sidecar"), "edge", "--pipeline", str(file)]
        return command + ["--health-listen", self.health, "--metrics-listen", "127.0.0.1:25401"]

    def state(self):
        with urllib.request.urlopen(f"http://{self.health}/debug/state", timeout=5) as answer:
            return json.load(answer)

    def waiting(self):
        """Items that are taken and not in Kafka yet, as far as somebody tells."""
        return sum(lane["waitingItems"] for lane in self.state()["spool"]["lanes"].values())


def program(part):
    """Of a part of the bed, or None if it has not been built."""
    found = [str(ROOT / "hack" / "bed" / "build"), "--path", part]
    path = subprocess.run(found, capture_output=True, text=True, check=True).stdout.strip()
    return next((str(p) for p in pathlib.Path(path).rglob("*") if p.is_file() and os.access(p, os.X_OK)), None)


class Collector:
    """With a receiver of its kind, through the batch processor, into Kafka; its queue in memory or in a file."""

    part = "otelcol"
    queue_size = 10000

    def __init__(self, name, storage, fsync):
        self.name, self.storage, self.fsync = f"Collector, {name}", storage, fsync

    def receivers(self):
        raise NotImplementedError

    def document(self, directory, bootstrap, topics):
        queue = {"enabled": True, "queue_size": self.queue_size, "num_consumers": 4}
        if self.storage:
            queue["storage"] = "file_storage"
        exporter = {
            "brokers": bootstrap.split(","),
            "producer": {"required_acks": -1, "compression": "zstd", "max_message_bytes": 10000000},
            "sending_queue": queue,
            "retry_on_failure": {"enabled": True, "max_elapsed_time": "0s"},
        }
        exporter |= {signal: {"topic": topic, "encoding": "otlp_proto"} for signal, topic in topics.items()}
        receivers = self.receivers()
        pipeline = {"receivers": list(receivers), "processors": ["batch"], "exporters": ["kafka"]}
        return {
            "extensions": {"file_storage": {"directory": str(directory / "storage"), "fsync": self.fsync}},
            "receivers": receivers,
            "processors": {"batch": {}},
            "exporters": {"kafka": exporter},
            "service": {
                "extensions": ["file_storage"],
                "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "error"}},
                "pipelines": {signal: pipeline for signal in topics},
            },
        }

    def prepare(self, directory, bootstrap, topics):
        (directory / "storage").mkdir(exist_ok=True)
        file = directory / "collector.yaml"
        file.write_text(yaml.safe_dump(self.document(directory, bootstrap, topics)))
        return [program(self.part), "--config", str(file)]

    def waiting(self):
        return 0


def h2load_command(port, signal, body, *more):
    service = {"traces": "trace.v1.TraceService", "logs": "logs.v1.LogsService", "metrics": "metrics.v1.MetricsService"}
    path = f"/opentelemetry.proto.collector.{service[signal]}/Export"
    command = ["h2load", "-t1", f"-d{body}", "-Hcontent-type: application/grpc", "-Hte: trailers"]
    return command + list(more) + [f"http://127.0.0.1:{port}{path}"]


def h2load_succeeded(output):
    return int(re.search(r"(\d+) succeeded", output)[1])


# ---- where it goes


class Topics:
    """What is in them, by their end offsets. A message's time is when the broker took it."""

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.quiet = {"bootstrap.servers": bootstrap, "log_level": 0}  # benches stop brokers too
        self.admin = AdminClient(self.quiet)
        self.consumer = self.reader()

    def reader(self):
        settings = {"group.id": "bench", "enable.auto.commit": False, "auto.offset.reset": "earliest"}
        return Consumer({**self.quiet, **settings})

    def make(self, names):
        """And waits for their leaders."""
        config = {"max.message.bytes": "10485760", "message.timestamp.type": "LogAppendTime"}
        wanted = [NewTopic(name, PARTITIONS, 1, config=config) for name in names]
        for future in self.admin.create_topics(wanted).values():
            future.result(30)
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return self.messages(names)
            except KafkaException:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)
                # One that has asked too early goes on saying that there is no such topic.
                self.consumer.close()
                self.consumer = self.reader()

    def delete(self, names):
        for future in self.admin.delete_topics(list(names)).values():
            future.result(30)

    def messages(self, names):
        spots = [TopicPartition(name, number) for name in names for number in range(PARTITIONS)]
        return sum(self.consumer.get_watermark_offsets(spot, 10, cached=False)[1] for spot in spots)

    def wait_until_still(self, names, subject, process):
        """Until all has arrived; returns when the last message came."""
        known, since = -1, time.monotonic()
        while time.monotonic() < since + 2 or subject.waiting() > 0:
            if not process.runs():
                raise Ended(f"{subject.name} ended")
            count = self.messages(names)
            if count != known:
                known, since = count, time.monotonic()
            time.sleep(0.2)
        return since


@contextlib.contextmanager
def stand(options, topics, signals):
    """A directory and a topic for each signal, for one run."""
    names = {signal: f"bench-{time.time_ns()}-{signal}" for signal in signals}
    with tempfile.TemporaryDirectory(prefix="surgetank-bench-", dir=options.directory) as directory:
        topics.make(names.values())
        try:
            yield pathlib.Path(directory), names
        finally:
            topics.delete(names.values())


# ---- runs


def arguments(doc):
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="of each subject, in turns; odd, for the median")
    parser.add_argument("--directory", help="where spools and queues are, so on which disk; default: the temporary one")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--json", help="every run's figures, into this file")
    return parser


def bootstrap_servers():
    return os.environ.get("BED_KAFKA") or sys.exit("run me by hack/bed/in")


def show(results):
    """The first is ours, the others are shown as ratios to it too."""
    ours = next(iter(results.values()))
    width = max(len(name) for name in ours)
    for name in results:
        print(f"\n{name}")
        for figure, value in results[name].items():
            base = ours.get(figure)
            ratio = f"   {value / base:7.2f} x ours" if results[name] is not ours and base else ""
            print(f"  {figure:{width}}  {value:12.2f}{ratio}")


def take_turns(options, subjects, measure):
    """Measures each as often as was asked for, and shows the medians. A peer that ends is left out from then on."""
    runs = {subject.name: [] for subject in subjects}
    for number in range(options.runs):
        for subject in list(subjects):
            print(f"run {number + 1} of {options.runs}: {subject.name}, load {os.getloadavg()[0]:.1f}", flush=True)
            try:
                runs[subject.name].append(measure(subject))
            except Ended as why:
                if isinstance(subject, Edge):
                    raise SystemExit(why) from None
                print(f"left out: {why}", flush=True)
                subjects.remove(subject)
            if options.json:
                pathlib.Path(options.json).write_text(json.dumps(runs, indent=2))
    show({name: {key: statistics.median(r[key] for r in run) for key in run[0]} for name, run in runs.items() if run})
