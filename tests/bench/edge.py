#!/usr/bin/env python3
"""Measures an edge, and the OpenTelemetry Collector beside it, on the bed's Kafka: make bench

    hack/bed/in python3 tests/bench/edge.py [--requests 20000] [--peers] [--json FILE]

h2load sends OTLP/gRPC requests of 100 spans of about 469 bytes over 4 connections with 8 in flight. CPU and
memory come from the process's own accounting in /proc, so that a busy machine makes a run longer but not
dearer. Times of acknowledgement are h2load's, and mean little on a busy machine. With --peers the Collector
runs the same load with a memory queue and with its durable queue (hack/bed/build otelcol).
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

import yaml
from confluent_kafka.admin import AdminClient, NewTopic
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SPANS = 100
PATH = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def request():
    """One export of SPANS spans, framed as gRPC wants it."""
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    for key in ("service.name", "service.namespace", "host.name", "k8s.pod.name", "telemetry.sdk.language"):
        resource.resource.attributes.add(key=key).value.string_value = f"{key}-value"
    scope = resource.scope_spans.add()
    scope.scope.name = "bench"
    for i in range(SPANS):
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
    body = message.SerializeToString()
    print(f"a request: {len(body)} bytes, {len(body) / SPANS:.0f} a span")
    return b"\0" + len(body).to_bytes(4, "big") + body


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident_mb(pid):
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 1e6


def peak_mb(pid):
    found = re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1000


def wait_for(port, seconds=30):
    import socket

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

    def __init__(self, directory, bootstrap, topic_prefix):
        self.topic = f"{topic_prefix}.traces"
        document = {
            "apiVersion": "surgetank.dev/v1alpha1",
            "kind": "TelemetryPipeline",
            "metadata": {"name": "bench", "namespace": "bench"},
            "spec": {
                "kafka": {"bootstrapServers": bootstrap.split(",")},
                "topics": [{"name": "traces", "signal": "traces", "topic": self.topic}],
                "edges": [
                    {
                        "name": "edge",
                        "receivers": {"otlp": {"grpc": {"port": 25317}, "http": {"port": 25318}}},
                        "spool": {"size": "4Gi", "storage": {"hostPath": str(directory / "spool")}},
                    }
                ],
                "gateways": [
                    {
                        "name": "none",
                        "from": ["traces"],
                        "export": {"otlp": {"endpoint": "127.0.0.1:1", "tls": {"insecure": True}}},
                    }
                ],
            },
        }
        file = directory / "pipeline.yaml"
        file.write_text(yaml.safe_dump(document))
        self.command = [str(ROOT / "build" / "surgetank-sidecar"), "edge", "--pipeline", str(file)]
        self.command += ["--health-listen", "127.0.0.1:25400", "--metrics-listen", "127.0.0.1:25401"]
        self.port = 25317

    def waiting(self):
        with urllib.request.urlopen("http://127.0.0.1:25400/debug/state", timeout=5) as answer:
            return json.load(answer)["spool"]["lanes"]["traces"]["waitingItems"]


class Collector:
    def __init__(self, directory, bootstrap, topic_prefix, durable):
        self.name = "Collector, file_storage + fsync" if durable else "Collector, batch + memory queue"
        self.topic = f"{topic_prefix}.{'durable' if durable else 'memory'}"
        queue = {"enabled": True, "queue_size": 10000, "num_consumers": 4}
        config = {
            "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": "127.0.0.1:26317"}}}},
            "exporters": {
                "kafka": {
                    "brokers": bootstrap.split(","),
                    "traces": {"topic": self.topic, "encoding": "otlp_proto"},
                    "producer": {"required_acks": -1, "compression": "zstd", "max_message_bytes": 10000000},
                    "sending_queue": queue,
                }
            },
            "service": {
                "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "error"}},
                "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["kafka"]}},
            },
        }
        if durable:
            storage = directory / f"storage-{durable}"
            storage.mkdir()
            config["extensions"] = {"file_storage": {"directory": str(storage), "fsync": True}}
            config["service"]["extensions"] = ["file_storage"]
            queue["storage"] = "file_storage"
        else:
            config["processors"] = {"batch": {}}
            config["service"]["pipelines"]["traces"]["processors"] = ["batch"]
        file = directory / f"collector-{durable}.yaml"
        file.write_text(yaml.safe_dump(config))
        path = subprocess.run(
            [str(ROOT / "hack" / "bed" / "build"), "--path", "otelcol"], capture_output=True, text=True, check=True
        ).stdout.strip()
        binary = next(p for p in pathlib.Path(path).rglob("*") if p.is_file() and os.access(p, os.X_OK))
        self.command = [str(binary), "--config", str(file)]
        self.port = 26317

    def waiting(self):
        return 0


def measure(subject, body, requests, admin):
    """One run: idle, load, until Kafka has all of it."""
    for future in admin.create_topics([NewTopic(subject.topic, 6, 1, config={"max.message.bytes": "10485760"})]).values():
        future.result(30)
    log = open(body.parent / "subject.log", "ab")
    process = subprocess.Popen(subject.command, stdout=log, stderr=log)
    try:
        wait_for(subject.port)
        time.sleep(3)
        idle = resident_mb(process.pid)
        cpu_idle = cpu_seconds(process.pid)
        time.sleep(5)
        cpu_idle = (cpu_seconds(process.pid) - cpu_idle) / 5
        before = cpu_seconds(process.pid)
        begin = time.monotonic()
        load = subprocess.run(
            ["h2load", "-c4", "-m8", "-t1", f"-n{requests}", f"-d{body}", "-Hcontent-type: application/grpc", "-Hte: trailers"]
            + [f"http://127.0.0.1:{subject.port}{PATH}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        sent = time.monotonic() - begin
        while subject.waiting() > 0:
            time.sleep(0.2)
        drained = time.monotonic() - begin
        time.sleep(1)
        spans = requests * SPANS
        ok = int(re.search(r"(\d+) succeeded", load)[1])
        times = re.search(r"time for request:\s+(\S+)\s+(\S+)\s+(\S+)", load)
        return {
            "subject": subject.name,
            "spans_per_second": round(spans / sent),
            "cpu_seconds_per_million": round((cpu_seconds(process.pid) - before) / spans * 1e6, 2),
            "seconds_until_in_kafka": round(drained, 1),
            "acknowledge_mean": times[3],
            "acknowledge_max": times[2],
            "idle_mb": round(idle, 1),
            "idle_cpu_percent": round(cpu_idle * 100, 2),
            "peak_mb": round(peak_mb(process.pid), 1),
            "refused_or_failed": requests - ok,
        }
    finally:
        process.terminate()
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
        admin.delete_topics([subject.topic])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20000)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--json")
    options = parser.parse_args()
    bootstrap = os.environ.get("BED_KAFKA") or sys.exit("run me by hack/bed/in")
    admin = AdminClient({"bootstrap.servers": bootstrap})
    prefix = f"bench{int(time.time())}"
    directory = pathlib.Path(tempfile.mkdtemp(prefix="surgetank-bench-"))
    results = []
    try:
        body = directory / "request.bin"
        body.write_bytes(request())
        subjects = [Edge(directory, bootstrap, prefix)]
        if options.peers:
            subjects += [Collector(directory, bootstrap, prefix, False), Collector(directory, bootstrap, prefix, True)]
        for subject in subjects:
            results.append(measure(subject, body, options.requests, admin))
            print(json.dumps(results[-1], indent=2), flush=True)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(results, indent=2))


main()
