#!/usr/bin/env python3
"""Measures a gateway, and the OpenTelemetry Collector beside it, on the bed's Kafka: make bench-gateway

    hack/bed/in python3 tests/bench/gateway.py [--spans 1000000] [--peers] [--json FILE]

A topic of six partitions is filled with OTLP messages of 400 spans (about 190 KB, what an edge writes under load), and
each subject then reads all of it in a group of its own into a sink that answers at once (bench_net), which is no
part of what is measured, and at last a tenth of it into Jaeger. CPU and memory come from the process's own accounting
in /proc. "Done" is the group's committed offset at the end of every partition.
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time

import yaml
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from common import ITEMS, PARTITIONS, ROOT, Process, program, traces

BOOTSTRAP = os.environ["BED_KAFKA"]
REQUESTS = 4  # in a message
TOPIC = f"bench.gateway.{int(time.time())}"


def fill(topic, spans):
    """At least so many; returns how many."""
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "compression.type": "zstd", "message.max.bytes": 10485760})
    values = [b"".join(traces().SerializeToString() for _ in range(REQUESTS)) for _ in range(16)]
    messages = -(-spans // (ITEMS * REQUESTS))
    for i in range(messages):
        producer.produce(topic, values[i % len(values)], partition=i % PARTITIONS)
        if i % 64 == 0:
            producer.flush(60)
    producer.flush(60)
    return messages * ITEMS * REQUESTS, len(values[0])


class Gateway:
    def __init__(self, protocol, compression):
        self.name = f"surgetank, otlp {protocol}, {compression}"
        self.protocol, self.compression = protocol, compression

    def start(self, directory, topic, group, endpoint):
        target = endpoint if self.protocol == "grpc" else f"http://{endpoint}"
        otlp = {"protocol": self.protocol, "endpoint": target, "compression": self.compression}
        if self.protocol == "grpc":
            otlp["tls"] = {"insecure": True}
        document = {
            "apiVersion": "surgetank.dev/v1alpha1",
            "kind": "TelemetryPipeline",
            "metadata": {"name": "bench", "namespace": "bench"},
            "spec": {
                "kafka": {"bootstrapServers": BOOTSTRAP.split(",")},
                "topics": [{"name": "traces", "topic": topic}],
                "gateways": [
                    {"name": "sink", "from": ["traces"], "consumer": {"groupID": group}, "export": {"otlp": otlp}}
                ],
            },
        }
        file = directory / f"{group}.yaml"
        file.write_text(yaml.safe_dump(document))
        command = [str(ROOT / "build" / "surgetank-sidecar"), "gateway", "--gateway", "sink", "--pipeline", str(file)]
        return command + ["--health-listen", "127.0.0.1:27400", "--metrics-listen", "127.0.0.1:27401"]


class Collector:
    def __init__(self, compression):
        self.name, self.compression = f"Collector, batch, otlp grpc, {compression}", compression

    def start(self, directory, topic, group, endpoint):
        config = {
            "receivers": {
                "kafka": {
                    "brokers": BOOTSTRAP.split(","),
                    "group_id": group,
                    "initial_offset": "earliest",
                    "traces": {"topics": [topic], "encoding": "otlp_proto"},
                }
            },
            "processors": {"batch": {}},
            "exporters": {"otlp": {"endpoint": endpoint, "tls": {"insecure": True}, "compression": self.compression}},
            "service": {
                "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "error"}},
                "pipelines": {"traces": {"receivers": ["kafka"], "processors": ["batch"], "exporters": ["otlp"]}},
            },
        }
        file = directory / f"{group}.yaml"
        file.write_text(yaml.safe_dump(config))
        return [program("otelcol"), "--config", str(file)]


def wait_until_committed(topic, group, process, seconds=600):
    consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": group, "enable.auto.commit": False})
    spots = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    ends = [consumer.get_watermark_offsets(spot, 10, cached=False)[1] for spot in spots]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit("the subject has ended")
        time.sleep(0.2)
        try:
            if [spot.offset for spot in consumer.committed(spots, 10)] == ends:
                consumer.close()
                return
        except KafkaException:  # the coordinator is only beginning
            continue
    raise SystemExit("not all was committed in time")


def measure(subject, topic, spans, endpoint, directory):
    group = f"{TOPIC}.{time.monotonic_ns()}"
    command = subject.start(directory, topic, group, endpoint)
    with open(directory / f"{group}.log", "wb") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log)
    process = Process(running)
    begun = time.monotonic()
    try:
        try:
            wait_until_committed(topic, group, running)
        except SystemExit:
            print((directory / f"{group}.log").read_text()[-2000:])
            raise
        taken, cpu, peak = time.monotonic() - begun, process.cpu_seconds(), process.peak_mb()
        time.sleep(6)
        idle_cpu = process.cpu_seconds()
        time.sleep(10)
        idle = (process.cpu_seconds() - idle_cpu) / 10
        resident = process.resident_mb()
    finally:
        running.terminate()
        running.wait(60)
    return {
        "subject": subject.name,
        "sink": endpoint,
        "spansPerSecond": round(spans / taken),
        "cpuSecondsPerMillion": round(cpu * 1e6 / spans, 2),
        "peakMB": round(peak),
        "idleMB": round(resident),
        "idleCores": round(idle, 4),
    }


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--spans", type=int, default=1000000)
    options.add_argument("--peers", action="store_true")
    options.add_argument("--json")
    options = options.parse_args()
    small = f"{TOPIC}.small"
    admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
    wanted = [NewTopic(t, PARTITIONS, 1, config={"max.message.bytes": "10485760"}) for t in (TOPIC, small)]
    for future in admin.create_topics(wanted).values():
        future.result(30)
    sink = subprocess.Popen([str(ROOT / "build/tests/bench/bench_net"), "0", "2"], stdout=subprocess.PIPE, text=True)
    endpoint = "127.0.0.1:" + sink.stdout.readline().split()[1]
    results = []
    try:
        spans, size = fill(TOPIC, options.spans)
        few, _ = fill(small, options.spans // 10)
        print(f"{spans} spans in messages of {size} bytes")
        subjects = [Gateway("grpc", "none"), Gateway("grpc", "zstd"), Gateway("grpc", "gzip"), Gateway("http", "none")]
        if options.peers:
            subjects += [Collector("none"), Collector("gzip")]
        with tempfile.TemporaryDirectory(prefix="surgetank-bench-") as directory:
            for subject in subjects:
                results.append(measure(subject, TOPIC, spans, endpoint, pathlib.Path(directory)))
                print(json.dumps(results[-1]), flush=True)
            jaeger = Gateway("grpc", "none")
            jaeger.name += ", into Jaeger"
            results.append(measure(jaeger, small, few, "jaeger.monitoring.svc:4317", pathlib.Path(directory)))
            print(json.dumps(results[-1]), flush=True)
    finally:
        sink.kill()
        for future in admin.delete_topics([TOPIC, small]).values():
            future.result(30)
    print(f"\n{'gateway':44} {'spans/s':>9} {'CPU-s/M':>8} {'peak MB':>8} {'idle MB':>8} {'idle cores':>10}")
    for one in results:
        print(
            f"{one['subject']:44} {one['spansPerSecond']:9} {one['cpuSecondsPerMillion']:8} {one['peakMB']:8} "
            f"{one['idleMB']:8} {one['idleCores']:10}"
        )
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
