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

import functools
import os
import pathlib
import random
import re
import tempfile
import time

import yaml
from confluent_kafka import TopicPartition

import common

LINE_BYTES = 239
NUMBER = re.compile(rb"line=(\d{10}) ")
LOGS = "/var/log/pods"


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


class Edge(common.Edge):
    def __init__(self, encoding="otlp_proto"):
        self.encoding = encoding
        if encoding != "otlp_proto":
            self.name = f"{self.name}, {encoding}"

    def document(self, directory, bootstrap, topics):
        document = super().document(directory, bootstrap, topics)
        spec = document["spec"]
        spec["edges"][0] |= {
            "mode": "DaemonSet",
            "receivers": {"containerLogs": {"enabled": True, "startAt": "beginning"}},
        }
        spec["topics"][0]["encoding"] = self.encoding
        if self.encoding == "fluentbit_json":  # which no gateway reads
            spec["topics"].append({"name": "unread", "signal": "traces", "topic": f"{topics['logs']}-unread"})
            spec["gateways"][0]["from"] = ["unread"]
        return document


class Collector(common.Collector):
    part = "otelcol-logs"
    queue_size = 1000

    def receivers(self):
        receiver = {
            "include": [f"{LOGS}/*/*/*.log"],
            "include_file_path": True,
            "start_at": "beginning",
            "storage": "file_storage",
            "retry_on_failure": {"enabled": True},
            "operators": [{"type": "container"}],
        }
        return {"file_log": receiver}


class FluentBit:
    name = "Fluent Bit, tail with cri, filesystem"

    def prepare(self, directory, bootstrap, topics):
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
            "topics": topics["logs"],
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


def peers():
    if common.program(Collector.part) is None:
        raise SystemExit(f"no Collector to compare with: hack/bed/build {Collector.part}")
    yield Collector("batch + memory queue", False, False)
    yield Collector("batch + file_storage + fsync", True, True)
    if "FLUENT_BIT" in os.environ:
        yield Edge("fluentbit_json")
        yield FluentBit()
    else:
        print("without Fluent Bit: FLUENT_BIT does not name its program", flush=True)


class Arrivals:
    """What of the lines is in the topic."""

    def __init__(self, topics, topic, lines):
        self.consumer = topics.reader()
        self.consumer.assign([TopicPartition(topic, number, 0) for number in range(common.PARTITIONS)])
        self.seen, self.distinct, self.all, self.last = bytearray(lines), 0, 0, 0.0

    def read(self):
        """Reads on until nothing comes for a moment."""
        while messages := self.consumer.consume(200, 2):
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


def watch(subject, process, topics, topic, arrivals, lines):
    """Until all lines are there, or nothing comes any more; CPU seconds until then."""
    end = time.monotonic() + common.PATIENCE
    while True:
        before = arrivals.all
        topics.wait_until_still([topic], subject, process)
        cpu = process.cpu_seconds()
        arrivals.read()
        if arrivals.all > before:
            end = time.monotonic() + common.PATIENCE
        if arrivals.distinct == lines or time.monotonic() > end:
            return cpu


def measure(options, topics, logs, subject):
    with common.stand(options, topics, ["logs"]) as (directory, names):
        topic = names["logs"]
        command = in_its_own_mounts(logs, subject.prepare(directory, topics.bootstrap, names))
        arrivals = Arrivals(topics, topic, options.lines)
        begin, log = time.time(), directory / "subject.log"
        with common.running(command, log) as process:
            if isinstance(subject, Edge):
                common.wait_for(25400, process)
            cpu = watch(subject, process, topics, topic, arrivals, options.lines)
            peak = process.peak_mb()
        arrivals.consumer.close()
        if arrivals.distinct < options.lines:
            print(log.read_text(errors="replace")[-2000:], flush=True)
        return {
            "CPU-s per M lines": cpu / options.lines * 1e6,
            "peak MB": peak,
            "lines/s into Kafka": options.lines / (arrivals.last - begin) if arrivals.all else 0,
            "missing": options.lines - arrivals.distinct,
            "repeated": arrivals.all - arrivals.distinct,
        }


def main():
    parser = common.arguments(__doc__)
    parser.add_argument("--lines", type=int, default=2000000, help=f"of {LINE_BYTES} bytes, in all")
    parser.add_argument("--pods", type=int, default=1, help="that have written them, one file each")
    options = parser.parse_args()
    topics = common.Topics(common.bootstrap_servers())
    subjects = [Edge(), *(peers() if options.peers else [])]
    with tempfile.TemporaryDirectory(prefix="surgetank-bench-logs-", dir=options.directory) as logs:
        write_logs(pathlib.Path(logs), options.lines, options.pods)
        common.take_turns(options, subjects, functools.partial(measure, options, topics, logs))


if __name__ == "__main__":
    main()
