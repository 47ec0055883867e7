#!/usr/bin/env python3
"""Measures what following container logs costs, on the bed's Kafka: make bench-edge

    hack/bed/in python3 tests/bench/lines.py [--runs 3] [--lines 2000000] [--pods 1] [--peers] [--json FILE]

Log files as containerd writes them are there when a subject starts, under /var/log/pods in a mount namespace of the
subject's own; the edge reads them with its defaults (attributes from the path, stack traces put together), syncs lines
and positions, and sends them with acks=all and zstd. CPU is the process's own from its start until Kafka has the last
line, memory its peak. Every line has a number, and each that comes out of Kafka is counted by it.

With --peers the Collector's file-log receiver follows the same files, with its container parser and metadata from the
path (hack/bed/build otelcol-logs); and Fluent Bit, if FLUENT_BIT names its program: tail with the cri parser and storage
on disk, JSON with zstd, without metadata; an edge that writes the same JSON stands beside it. Figures are medians of the
runs, which take turns; the others' also as ratios.
"""

import argparse
import json
import os
import pathlib
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import yaml
from confluent_kafka import Consumer, KafkaException, TopicPartition

import edge as bench

LINE_BYTES = 239
NUMBER = re.compile(rb"line=(\d{10}) ")
LOGS = "/var/log/pods"
IDLE = 2  # seconds without a message before they are counted
PATIENCE = 60  # seconds without a message before what is missing counts as lost


def write_logs(root, lines, pods):
    """One file for each pod; their lines have consecutive numbers."""
    chance = random.Random(1)
    for pod in range(pods):
        folder = root / f"shop_web-{pod}_11111111-2222-3333-4444-{pod:012d}" / "app"
        folder.mkdir(parents=True)
        with open(folder / "0.log", "w") as file:
            for number in range(lines * pod // pods, lines * (pod + 1) // pods):
                at = f"2026-02-05T10:{number // 1000000 % 60:02d}:{number // 10000 % 60:02d}.{number * 997 % 10**9:09d}Z"
                text = f"{at} stdout F level=info line={number:010d} trace_id={chance.getrandbits(128):032x}"
                text += f" customer={number * 7919 % 100000} took_ms={number % 83} GET /api/v1/orders/{number % 1000} "
                file.write(text.ljust(LINE_BYTES - 1, "x") + "\n")


class Edge(bench.Edge):
    def __init__(self, encoding="otlp_proto"):
        self.encoding = encoding
        if encoding != "otlp_proto":
            self.name = f"{self.name}, {encoding}"

    def prepare(self, directory, bootstrap, topic):
        command = super().prepare(directory, bootstrap, {"logs": topic})
        file = directory / "pipeline.yaml"
        document = yaml.safe_load(file.read_text())
        document["spec"]["edges"][0] |= {
            "mode": "DaemonSet",
            "receivers": {"containerLogs": {"enabled": True, "startAt": "beginning"}},
        }
        document["spec"]["topics"][0]["encoding"] = self.encoding
        if self.encoding == "fluentbit_json":  # which no gateway reads
            document["spec"]["topics"].append({"name": "unread", "signal": "traces", "topic": f"{topic}-unread"})
            document["spec"]["gateways"][0]["from"] = ["unread"]
        file.write_text(yaml.safe_dump(document))
        return command


class Collector:
    def __init__(self, name, fsync):
        self.name, self.fsync = f"Collector, {name}", fsync

    def prepare(self, directory, bootstrap, topic):
        storage = directory / "storage"
        storage.mkdir()
        exporter = {
            "brokers": bootstrap.split(","),
            "producer": {"required_acks": -1, "compression": "zstd", "max_message_bytes": 10000000},
            "sending_queue": {"enabled": True, "queue_size": 1000, "num_consumers": 4},
            "retry_on_failure": {"enabled": True, "max_elapsed_time": "0s"},
            "logs": {"topic": topic, "encoding": "otlp_proto"},
        }
        if self.fsync:
            exporter["sending_queue"]["storage"] = "file_storage"
        config = {
            "extensions": {"file_storage": {"directory": str(storage), "fsync": self.fsync}},
            "receivers": {
                "file_log": {
                    "include": [f"{LOGS}/*/*/*.log"],
                    "include_file_path": True,
                    "start_at": "beginning",
                    "storage": "file_storage",
                    "retry_on_failure": {"enabled": True},
                    "operators": [{"type": "container"}],
                }
            },
            "processors": {"batch": {}},
            "exporters": {"kafka": exporter},
            "service": {
                "extensions": ["file_storage"],
                "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "error"}},
                "pipelines": {
                    "logs": {"receivers": ["file_log"], "processors": ["batch"], "exporters": ["kafka"]},
                },
            },
        }
        file = directory / "collector.yaml"
        file.write_text(yaml.safe_dump(config))
        return [str(collector()), "--config", str(file)]

    def waiting(self):
        return 0


class FluentBit:
    name = "Fluent Bit, tail with cri, filesystem"

    def prepare(self, directory, bootstrap, topic):
        (directory / "storage").mkdir()
        tail = {
            "name": "tail",
            "path": f"{LOGS}/*/*/*.log",
            "tag": "kube.*",
            "read_from_head": "on",
            "multiline.parser": "cri",
            "storage.type": "filesystem",
            "db": str(directory / "positions.db"),
        }
        kafka = {
            "name": "kafka",
            "match": "*",
            "brokers": bootstrap,
            "topics": topic,
            "format": "json",
            "queue_full_retries": 0,
            "retry_limit": "no_limits",
            "rdkafka.request.required.acks": -1,
            "rdkafka.compression.codec": "zstd",
        }
        config = {
            "service": {"flush": 1, "log_level": "error", "storage.path": str(directory / "storage")},
            "pipeline": {"inputs": [tail], "outputs": [kafka]},
        }
        file = directory / "fluent-bit.yaml"
        file.write_text(yaml.safe_dump(config, sort_keys=False))
        return [os.environ["FLUENT_BIT"], "-c", str(file)]

    def waiting(self):
        return 0


def collector():
    """The bed's with a file-log receiver, or None."""
    found = [str(bench.ROOT / "hack" / "bed" / "build"), "--path", "otelcol-logs"]
    path = subprocess.run(found, capture_output=True, text=True, check=True).stdout.strip()
    return next((p for p in pathlib.Path(path).rglob("*") if p.is_file() and os.access(p, os.X_OK)), None)


def peers():
    if collector() is not None:
        yield Collector("batch + memory queue", False)
        yield Collector("batch + file_storage + fsync", True)
    else:
        print("no Collector with a file-log receiver: hack/bed/build otelcol-logs", flush=True)
    if "FLUENT_BIT" in os.environ:
        yield Edge("fluentbit_json")
        yield FluentBit()


class Process(bench.Process):
    def __init__(self, child):
        super().__init__(child.pid)
        self.child = child

    def runs(self):
        return self.child.poll() is None


class Arrivals:
    """What of the lines is in the topic."""

    def __init__(self, bootstrap, topic, lines):
        self.consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench", "enable.auto.commit": False})
        self.consumer.assign([TopicPartition(topic, number, 0) for number in range(bench.PARTITIONS)])
        self.seen, self.distinct, self.all, self.last = bytearray(lines), 0, 0, 0.0

    def read(self):
        """Reads on until nothing comes for a moment."""
        while messages := self.consumer.consume(5000, 1):
            for message in messages:
                if message.error():
                    raise SystemExit(message.error())
                self.last = max(self.last, message.timestamp()[1] / 1000)
                for number in map(int, NUMBER.findall(message.value())):
                    self.distinct += not self.seen[number]
                    self.seen[number] = 1
                    self.all += 1


def in_its_own_mounts(logs, command):
    """Where `logs` is what a node's kubelet keeps; the process id stays that of the command."""
    script = f'mount -t tmpfs tmpfs /var/log && mkdir {LOGS} && mount --bind "$0" {LOGS} && exec "$@"'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(logs), *command]


def wait_for_leaders(topics, topic):
    """A topic is made a moment before its partitions can be asked."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return topics.messages([topic])
        except KafkaException:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def watch(subject, process, topics, topic, arrivals, lines):
    """Until all lines are there, or nothing comes any more; CPU seconds until then, or None if it ended."""
    end = time.monotonic() + PATIENCE
    while arrivals.distinct < lines and time.monotonic() < end:
        before = arrivals.all
        topics.wait_until_still([topic], subject)
        if not process.runs():
            return None
        cpu = process.cpu_seconds()
        arrivals.read()
        if arrivals.all > before:
            end = time.monotonic() + PATIENCE
    return cpu


def measure(subject, options, bootstrap, topics, logs):
    directory = pathlib.Path(tempfile.mkdtemp(prefix="surgetank-bench-", dir=options.directory))
    topic = f"bench-{time.time_ns()}-lines"
    topics.make([topic])
    wait_for_leaders(topics, topic)
    command = in_its_own_mounts(logs, subject.prepare(directory, bootstrap, topic))
    arrivals = Arrivals(bootstrap, topic, options.lines)
    begin = time.time()
    with open(directory / "subject.log", "ab") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log)
    process = Process(child)
    try:
        if isinstance(subject, Edge):
            bench.wait_for(25400)
        cpu = watch(subject, process, topics, topic, arrivals, options.lines)
        if arrivals.distinct < options.lines:
            print((directory / "subject.log").read_text()[-2000:], flush=True)
        if cpu is None:
            raise SystemExit(f"{subject.name} ended")
        return {
            "CPU-s per M lines": cpu / options.lines * 1e6,
            "peak MB": process.peak_mb(),
            "lines/s into Kafka": options.lines / (arrivals.last - begin) if arrivals.all else 0,
            "missing": options.lines - arrivals.distinct,
            "repeated": arrivals.all - arrivals.distinct,
        }
    finally:
        arrivals.consumer.close()
        child.terminate()
        try:
            child.wait(40)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        topics.delete([topic])
        shutil.rmtree(directory, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="of each subject, in turns; odd, for the median")
    parser.add_argument("--lines", type=int, default=2000000, help=f"of {LINE_BYTES} bytes, in all")
    parser.add_argument("--pods", type=int, default=1, help="that have written them, one file each")
    parser.add_argument("--directory", help="where logs, spools and queues are; default: the temporary one")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--json", help="every run's figures, into this file")
    options = parser.parse_args()
    bootstrap = os.environ.get("BED_KAFKA") or sys.exit("run me by hack/bed/in")
    subjects = [Edge(), *(peers() if options.peers else [])]
    topics = bench.Topics(bootstrap)
    runs = {subject.name: [] for subject in subjects}
    logs = pathlib.Path(tempfile.mkdtemp(prefix="surgetank-bench-logs-", dir=options.directory))
    try:
        write_logs(logs, options.lines, options.pods)
        for number in range(options.runs):
            for subject in subjects:
                print(f"run {number + 1} of {options.runs}: {subject.name}, load {os.getloadavg()[0]:.1f}", flush=True)
                runs[subject.name].append(measure(subject, options, bootstrap, topics, logs))
    finally:
        shutil.rmtree(logs, ignore_errors=True)
    bench.show({name: {key: statistics.median(r[key] for r in run) for key in run[0]} for name, run in runs.items()})
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(runs, indent=2))


if __name__ == "__main__":
    main()
