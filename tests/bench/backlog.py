#!/usr/bin/env python3
"""Lets a backlog grow in an edge while Kafka is away, and measures how it drains: make bench-backlog

    hack/bed/in python3 tests/bench/backlog.py [--gib 10] [--memory 128Mi] [--directory DIR] [--json FILE]

h2load fills the spool with Kafka frozen, with several different requests. Then the edge is killed (-9), what the
kernel keeps of its files is dropped, and it starts again: seconds until it is ready. Then Kafka goes on, as warm as it
was, and the clock runs from the first message until nothing of the backlog is left, while a client goes on sending 20
requests a second.
How long those took from the edge's door into Kafka is read out of the topic, as is that every byte is there.
Beside it stands the broker's own speed, before and after: a bare producer of librdkafka with values of the same bytes
and about the same size, the same acknowledgements and compression.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from confluent_kafka import Producer, TopicPartition

import common
from common import ITEMS, ROOT

sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from dataplane import part, until  # noqa: E402

KINDS = 16  # of requests: together larger than the window of zstd's first level, so that no one repeats another cheaply
VALUE = 20  # requests in a value of the bare producer: about what a frame holds
BARE_GB = 3
FRESH_PACE = 20  # requests a second while the backlog drains


class Edge(common.Edge):
    def __init__(self, gib, memory):
        self.gib, self.memory = gib, memory

    def document(self, directory, bootstrap, topics):
        document = super().document(directory, bootstrap, topics)
        edge = document["spec"]["edges"][0]
        edge["spool"]["size"] = f"{int(self.gib * 2 + 1)}Gi"
        edge["memoryLimit"] = self.memory
        return document


def bare_producer(topics, requests):
    """MB/s of values that Kafka has acknowledged."""
    settings = {"bootstrap.servers": topics.bootstrap, "enable.idempotence": True, "compression.type": "zstd"}
    settings |= {"compression.level": 1, "linger.ms": 5, "message.max.bytes": 4000000, "queue.buffering.max.kbytes": 65536}
    chance = random.Random(1)
    values = [b"".join(chance.choices(requests, k=VALUE)) for _ in range(KINDS)]
    topic = f"bench-{time.time_ns()}-bare"
    topics.make([topic])
    try:
        producer = Producer(settings)
        begin, count = time.monotonic(), int(BARE_GB * 1e9 / len(values[0]))
        for number in range(count):
            while True:
                try:
                    producer.produce(topic, values[number % KINDS])
                    break
                except BufferError:
                    producer.poll(0.01)
            producer.poll(0)
        producer.flush()
        return count * len(values[0]) / 1e6 / (time.monotonic() - begin)
    finally:
        topics.delete([topic])


class Peak:
    def __init__(self, process):
        self.process, self.mb = process, 0

    def look(self):
        self.mb = max(self.mb, self.process.resident_mb())


def fill(edge, process, bodies, count):
    """Each of the bodies so often; seconds, and resident peak."""
    begin, peak = time.monotonic(), Peak(process)
    commands = [common.h2load_command(edge.port, "traces", body, "-c1", "-m4", f"-n{count}") for body in bodies]
    loads = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    while any(load.poll() is None for load in loads):
        peak.look()
        time.sleep(0.2)
    accepted = sum(common.h2load_succeeded(load.stdout.read()) for load in loads)
    if accepted != count * len(bodies):
        raise SystemExit(f"only {accepted} of {count * len(bodies)} requests were taken: is there room on the disk?")
    return time.monotonic() - begin, peak.mb


def is_ready(edge):
    try:
        with urllib.request.urlopen(f"http://{edge.health}/ready", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def wait_until_ready(edge, process, seconds=300):
    begin = time.monotonic()
    while not is_ready(edge):
        if not process.runs() or time.monotonic() > begin + seconds:
            raise common.Ended("the edge is not ready")
        time.sleep(0.005)
    return time.monotonic() - begin


def drop_caches():
    """What is read after this comes from the disk."""
    os.sync()
    try:
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError as error:
        print(f"what is cached stays so: {error}", flush=True)


def drain(edge, process, body):
    """Until nothing of the backlog is left, with fresh requests from the first message on; figures, and when it began."""

    def lane():
        return edge.state()["spool"]["lanes"]["traces"]

    held, began_ms = lane()["waitingItems"], time.time() * 1000
    until("the first of the backlog is in Kafka", 120, lambda: lane()["waitingItems"] < held)
    cpu, peak = process.cpu_seconds(), Peak(process)
    command = common.h2load_command(edge.port, "traces", body, "-c1", "-m1", f"--rps={FRESH_PACE}", "-n1000000")
    fresh = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while (now := lane())["waitingItems"] > 0 and now["oldestUnixMs"] < began_ms:
            peak.look()
            time.sleep(0.1)
    finally:
        fresh.terminate()
        fresh.wait()
    figures = {
        "draining: CPU-s per M spans": (process.cpu_seconds() - cpu) / held * 1e6,
        "draining: resident MB at most": peak.mb,
    }
    until("all that is fresh is in Kafka too", 60, lambda: lane()["waitingItems"] == 0)
    return figures, began_ms, lane()["acceptedItems"]


class Found:
    """What is in the topic, by the broker's own times."""

    def __init__(self, topics, topic, began_ms):
        self.bytes, self.fresh_ms, self.first_ms, self.last_ms = 0, [], float("inf"), 0
        consumer = topics.reader()
        left = topics.messages([topic])
        consumer.assign([TopicPartition(topic, number, 0) for number in range(common.PARTITIONS)])
        while left > 0:
            messages = consumer.consume(min(50, left), common.PATIENCE)
            if not messages:
                raise SystemExit(f"{left} messages could not be read")
            for message in messages:
                if message.error():
                    raise SystemExit(message.error())
                self.add(message, began_ms)
            left -= len(messages)
        consumer.close()

    def add(self, message, began_ms):
        stored_ms, accepted_ms = message.timestamp()[1], int(dict(message.headers())["st.accepted"])
        self.bytes += len(message.value())
        if accepted_ms >= began_ms:
            self.fresh_ms.append(stored_ms - accepted_ms)
        else:
            self.first_ms, self.last_ms = min(self.first_ms, stored_ms), max(self.last_ms, stored_ms)

    def fresh(self):
        times = sorted(self.fresh_ms) or [0]
        return {
            "fresh meanwhile: messages": len(self.fresh_ms),
            "fresh meanwhile: ms into Kafka, p50": times[len(times) // 2],
            "fresh meanwhile: ms into Kafka, p99": times[-1 - len(times) // 100],
        }


def measure(options, topics, directory, topic):
    requests = [common.framed(common.traces()) for _ in range(KINDS)]
    bodies = [directory / f"{number}.bin" for number in range(KINDS)]
    for body, request in zip(bodies, requests):
        body.write_bytes(request)
    requests = [request[5:] for request in requests]
    count = int(options.gib * (1 << 30) / sum(map(len, requests)))
    megabytes = count * sum(map(len, requests)) / 1e6
    edge = Edge(options.gib, options.memory)
    command = edge.prepare(directory, topics.bootstrap, {"traces": topic})
    figures = {"backlog: MB": megabytes, "a bare producer before: MB/s": bare_producer(topics, requests)}
    brokers = [f"kafka-{number}" for number in range(len(topics.bootstrap.split(",")))]
    part("freeze", *brokers)
    try:
        with common.running(command, directory / "edge.log") as process:
            common.wait_for(edge.port, process)
            seconds, figures["filling: resident MB at most"] = fill(edge, process, bodies, count)
            figures["filling: MB/s"] = megabytes / seconds
            process.child.kill()
            process.child.wait()
        drop_caches()
        with common.running(command, directory / "edge.log") as process:
            figures["starting on it: seconds until ready"] = wait_until_ready(edge, process)
            figures["starting on it: resident MB"] = process.resident_mb()
            drop_caches()
            part("thaw", *brokers)
            print("draining", flush=True)
            drained, began_ms, accepted = drain(edge, process, bodies[0])
            print("drained", flush=True)
    finally:
        part("thaw", *brokers)
    found = Found(topics, topic, began_ms)
    seconds = (found.last_ms - found.first_ms) / 1000
    return figures | {
        "draining: seconds": seconds,
        "draining: MB/s": megabytes / seconds,
        **drained,
        **found.fresh(),
        "bytes missing": accepted // ITEMS * len(requests[0]) - found.bytes,
        "a bare producer after: MB/s": bare_producer(topics, requests),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=float, default=10)
    parser.add_argument("--memory", default="128Mi", help="the edge's memoryLimit")
    parser.add_argument("--directory", help="where the spool is; default: the temporary one")
    parser.add_argument("--json", help="the figures, into this file")
    options = parser.parse_args()
    topics = common.Topics(common.bootstrap_servers())
    with common.stand(options, topics, ["traces"]) as (directory, names):
        figures = measure(options, topics, directory, names["traces"])
    common.show({Edge.name: figures})
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
