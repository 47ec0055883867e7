#!/usr/bin/env python3
"""Measures an edge, and the OpenTelemetry Collector beside it, on the bed's Kafka: make bench-edge

    hack/bed/in python3 tests/bench/edge.py [--runs 3] [--requests 20000] [--peers] [--signals] [--json FILE]

h2load sends OTLP/gRPC requests of 100 items (spans of about 469 bytes) over 4 connections with 8 in flight, first
as fast as they are answered, then 500 a second; everything goes to Kafka with acks=all and zstd. CPU and memory come
from the process's own accounting in /proc, so that a busy machine makes a run longer but hardly dearer. Beside the
times of acknowledgement stands a bare loop of write and fdatasync with the same arrivals on the same disk
(bench_commit), once before the edge's turn, with nothing else running, and once at the same time. With --peers the Collector runs the same load with a memory queue, with its file storage, and with
that synced (hack/bed/build otelcol). --signals adds logs and metrics. Figures are medians of the runs, which take
turns; the last table gives the peers' as ratios to ours.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import yaml
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ITEMS = 100
CLIENTS = 4
PACE = 500  # requests a second
PARTITIONS = 6
SERVICES = {"traces": "trace.v1.TraceService", "logs": "logs.v1.LogsService", "metrics": "metrics.v1.MetricsService"}
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def describe(resource):
    for key in ("service.name", "service.namespace", "host.name", "k8s.pod.name", "telemetry.sdk.language"):
        resource.attributes.add(key=key).value.string_value = f"{key}-value"


def traces():
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    describe(resource.resource)
    scope = resource.scope_spans.add()
    scope.scope.name = "bench"
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


def logs():
    message = ExportLogsServiceRequest()
    resource = message.resource_logs.add()
    describe(resource.resource)
    scope = resource.scope_logs.add()
    scope.scope.name = "bench"
    for i in range(ITEMS):
        record = scope.log_records.add(time_unix_nano=time.time_ns(), severity_number=9, severity_text="INFO")
        record.body.string_value = f"order {i} accepted for customer {i * 7919} in 12 ms, 3 items, total 99.90 " + "y" * 60
        for n in range(3):
            record.attributes.add(key=f"log.attribute.{n}").value.string_value = f"value-{i}-{n}"
    return message


def metrics():
    message = ExportMetricsServiceRequest()
    resource = message.resource_metrics.add()
    describe(resource.resource)
    scope = resource.scope_metrics.add()
    scope.scope.name = "bench"
    for i in range(10):
        metric = scope.metrics.add(name=f"http.server.requests.{i}", unit="1")
        metric.sum.aggregation_temporality = 2
        metric.sum.is_monotonic = True
        for n in range(ITEMS // 10):
            point = metric.sum.data_points.add(start_time_unix_nano=1, time_unix_nano=time.time_ns(), as_int=i * n)
            for k in range(4):
                point.attributes.add(key=f"http.attribute.{k}").value.string_value = f"value-{n}-{k}"
    return message


def framed(message):
    """As gRPC wants it."""
    body = message.SerializeToString()
    return b"\0" + len(body).to_bytes(4, "big") + body


class Process:
    def __init__(self, pid):
        self.pid = pid

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def resident_mb(self):
        return int(pathlib.Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE / 1e6

    def peak_mb(self):
        return int(re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{self.pid}/status").read_text())[1]) / 1000


def wait_for(port, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit(f"nothing listens on {port}")


class Edge:
    name = "surgetank, synced"
    port = 25317

    def prepare(self, directory, bootstrap, topics):
        document = {
            "apiVersion": "surgetank.dev/v1alpha1",
            "kind": "TelemetryPipeline",
            "metadata": {"name": "bench", "namespace": "bench"},
            "spec": {
                "kafka": {"bootstrapServers": bootstrap.split(",")},
                "topics": [{"name": signal, "signal": signal, "topic": topic} for signal, topic in topics.items()],
                "edges": [
                    {
                        "name": "edge",
                        "receivers": {"otlp": {"grpc": {"port": self.port}, "http": {"port": 25318}}},
                        "spool": {"size": "4Gi", "storage": {"hostPath": str(directory / "spool")}},
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
        file = directory / "pipeline.yaml"
        file.write_text(yaml.safe_dump(document))
        return [str(ROOT / "build" / "surgetank-sidecar"), "edge", "--pipeline", str(file)] + [
            "--health-listen",
            "127.0.0.1:25400",
            "--metrics-listen",
            "127.0.0.1:25401",
        ]

    def waiting(self):
        with urllib.request.urlopen("http://127.0.0.1:25400/debug/state", timeout=5) as answer:
            lanes = json.load(answer)["spool"]["lanes"]
            return sum(lane["waitingItems"] for lane in lanes.values())


class Collector:
    port = 26317

    def __init__(self, name, batch, storage, fsync):
        self.name, self.batch, self.storage, self.fsync = f"Collector, {name}", batch, storage, fsync

    def prepare(self, directory, bootstrap, topics):
        queue = {"enabled": True, "queue_size": 10000, "num_consumers": 4}
        exporter = {
            "brokers": bootstrap.split(","),
            "producer": {"required_acks": -1, "compression": "zstd", "max_message_bytes": 10000000},
            "sending_queue": queue,
        }
        for signal, topic in topics.items():
            exporter[signal] = {"topic": topic, "encoding": "otlp_proto"}
        pipeline = {"receivers": ["otlp"], "exporters": ["kafka"]}
        config = {
            "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{self.port}"}}}},
            "exporters": {"kafka": exporter},
            "service": {"telemetry": {"metrics": {"level": "none"}, "logs": {"level": "error"}}},
        }
        if self.storage:
            storage = directory / "storage"
            storage.mkdir(exist_ok=True)
            config["extensions"] = {"file_storage": {"directory": str(storage), "fsync": self.fsync}}
            config["service"]["extensions"] = ["file_storage"]
            queue["storage"] = "file_storage"
        if self.batch:
            config["processors"] = {"batch": {}}
            pipeline["processors"] = ["batch"]
        config["service"]["pipelines"] = {signal: pipeline for signal in topics}
        file = directory / "collector.yaml"
        file.write_text(yaml.safe_dump(config))
        found = [str(ROOT / "hack" / "bed" / "build"), "--path", "otelcol"]
        path = subprocess.run(found, capture_output=True, text=True, check=True).stdout.strip()
        binary = next(p for p in pathlib.Path(path).rglob("*") if p.is_file() and os.access(p, os.X_OK))
        return [str(binary), "--config", str(file)]

    def waiting(self):
        return 0


SUBJECTS = [
    Edge(),
    Collector("batch + memory queue", True, False, False),
    Collector("batch + file_storage", True, True, False),
    Collector("batch + file_storage + fsync", True, True, True),
]


def h2load(port, signal, body, *more):
    path = f"/opentelemetry.proto.collector.{SERVICES[signal]}/Export"
    command = ["h2load", f"-c{CLIENTS}", "-t1", f"-d{body}", "-Hcontent-type: application/grpc", "-Hte: trailers"]
    done = subprocess.run(
        command + list(more) + [f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True
    ).stdout
    return int(re.search(r"(\d+) succeeded", done)[1])


class Topics:
    """What is in them, by their end offsets."""

    def __init__(self, bootstrap):
        self.admin = AdminClient({"bootstrap.servers": bootstrap})
        self.consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench", "enable.auto.commit": False})

    def make(self, names):
        wanted = [NewTopic(name, PARTITIONS, 1, config={"max.message.bytes": "10485760"}) for name in names]
        for future in self.admin.create_topics(wanted).values():
            future.result(30)

    def delete(self, names):
        for future in self.admin.delete_topics(list(names)).values():
            future.result(30)

    def messages(self, names):
        spots = [TopicPartition(name, number) for name in names for number in range(PARTITIONS)]
        return sum(self.consumer.get_watermark_offsets(spot, 10, cached=False)[1] for spot in spots)

    def wait_until_still(self, names, subject):
        """Until all has arrived; returns when the last message came."""
        known, since = -1, time.monotonic()
        while time.monotonic() < since + 2 or subject.waiting() > 0:
            count = self.messages(names)
            if count != known:
                known, since = count, time.monotonic()
            time.sleep(0.2)
        return since


def acknowledged(port, signal, body, directory, seconds):
    """p50 and p99 in ms at PACE requests a second."""
    log = directory / "times.tsv"
    log.unlink(missing_ok=True)
    h2load(port, signal, body, "-m32", f"--rps={PACE // CLIENTS}", f"-n{PACE * seconds}", f"--log-file={log}")
    times = sorted(int(line.split("\t")[2]) / 1000 for line in log.read_text().splitlines())
    return times[len(times) // 2], times[-1 - len(times) // 100]


def bare_loop(directory, request_bytes, seconds):
    """Started; its output is a line of JSON."""
    command = [str(ROOT / "build" / "tests" / "bench" / "bench_commit"), str(directory)]
    command += [str(PACE), str(request_bytes), str(seconds), str(CLIENTS)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def measure(subject, signals, options, bootstrap, topics):
    """One run: idle, full load until Kafka has all of it, a fixed pace; each signal in turn."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="surgetank-bench-", dir=options.directory))
    names = {signal: f"bench-{time.time_ns()}-{signal}" for signal in signals}
    topics.make(names.values())
    command = subject.prepare(directory, bootstrap, names)
    figures = {}
    with open(directory / "subject.log", "ab") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log)
    process = Process(child.pid)
    try:
        wait_for(subject.port)
        time.sleep(3)
        idle_cpu = process.cpu_seconds()
        time.sleep(5)
        figures["idle MB"] = process.resident_mb()
        figures["idle CPU %"] = (process.cpu_seconds() - idle_cpu) / 5 * 100
        for signal in signals:
            message = framed({"traces": traces, "logs": logs, "metrics": metrics}[signal]())
            body = directory / f"{signal}.bin"
            body.write_bytes(message)
            before, begin = process.cpu_seconds(), time.monotonic()
            accepted = h2load(subject.port, signal, body, "-m8", f"-n{options.requests}")
            sent = time.monotonic() - begin
            in_kafka = topics.wait_until_still(names.values(), subject) - begin
            cpu = (process.cpu_seconds() - before) / (options.requests * ITEMS) * 1e6
            figures[f"{signal}: items/s"] = options.requests * ITEMS / sent
            figures[f"{signal}: in Kafka after s/s"] = in_kafka / sent
            figures[f"{signal}: CPU-s per M"] = cpu
            figures[f"{signal}: refused"] = options.requests - accepted
            if signal != "traces":
                continue
            figures["peak MB"] = process.peak_mb()
            alone = json.loads(bare_loop(directory, len(message), options.seconds).communicate()[0])
            before = process.cpu_seconds()
            p50, p99 = acknowledged(subject.port, signal, body, directory, options.seconds)
            figures["50k/s: ack p50 ms"] = p50
            figures["50k/s: ack p99 ms"] = p99
            figures["50k/s: CPU-s per M"] = (process.cpu_seconds() - before) / (PACE * options.seconds * ITEMS) * 1e6
            loop = bare_loop(directory, len(message), options.seconds + 2)
            _, beside_p99 = acknowledged(subject.port, signal, body, directory, options.seconds)
            beside = json.loads(loop.communicate()[0])
            figures["bare loop alone: p50 ms"] = alone["p50_ms"]
            figures["bare loop alone: p99 ms"] = alone["p99_ms"]
            figures["beside a bare loop: ack p99 ms"] = beside_p99
            figures["beside a bare loop: loop's p99 ms"] = beside["p99_ms"]
            topics.wait_until_still(names.values(), subject)
        return figures
    finally:
        child.terminate()
        try:
            child.wait(40)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        topics.delete(names.values())
        shutil.rmtree(directory, ignore_errors=True)


def show(results):
    ours = results[SUBJECTS[0].name]
    width = max(len(name) for name in ours)
    for name in results:
        print(f"\n{name}")
        for figure, value in results[name].items():
            base = ours.get(figure)
            ratio = f"   {value / base:7.2f} x ours" if results[name] is not ours and base else ""
            print(f"  {figure:{width}}  {value:12.2f}{ratio}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="of each subject, in turns; odd, for the median")
    parser.add_argument("--requests", type=int, default=20000, help="at full load")
    parser.add_argument("--seconds", type=int, default=10, help="at the fixed pace")
    parser.add_argument("--directory", help="where spools and queues are, so on which disk; default: the temporary one")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--signals", action="store_true", help="logs and metrics too")
    parser.add_argument("--json", help="every run's figures, into this file")
    options = parser.parse_args()
    bootstrap = os.environ.get("BED_KAFKA") or sys.exit("run me by hack/bed/in")
    signals = list(SERVICES) if options.signals else ["traces"]
    subjects = SUBJECTS if options.peers else SUBJECTS[:1]
    topics = Topics(bootstrap)
    runs = {subject.name: [] for subject in subjects}
    for number in range(options.runs):
        for subject in subjects:
            print(f"run {number + 1} of {options.runs}: {subject.name}, load {os.getloadavg()[0]:.1f}", flush=True)
            runs[subject.name].append(measure(subject, signals, options, bootstrap, topics))
    show({name: {key: statistics.median(r[key] for r in run) for key in run[0]} for name, run in runs.items()})
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(runs, indent=2))


if __name__ == "__main__":
    main()
