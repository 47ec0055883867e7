#!/usr/bin/env python3
"""Lets a backlog grow in an edge while Kafka is away, and measures how it drains: make bench-backlog

    hack/bed/in python3 tests/bench/backlog.py [--gib 10] [--directory DIR]

h2load fills the spool with Kafka stopped; then Kafka starts, and the clock runs from the first message until the
spool is empty, with fresh requests coming in all the while. Beside it stands the broker's own speed: a bare
producer of librdkafka with the same values, acknowledgements and compression.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import yaml
from confluent_kafka import Producer

import edge as bench

sys.path.insert(0, str(bench.ROOT / "tests" / "e2e"))
from dataplane import part, until  # noqa: E402

VALUE = 20  # requests in a value of the bare producer: about what a frame holds


def bare_producer(bootstrap, topic, value, megabytes):
    """MB/s of values that Kafka has acknowledged."""
    settings = {"bootstrap.servers": bootstrap, "enable.idempotence": True, "compression.type": "zstd"}
    settings |= {"compression.level": 1, "linger.ms": 5, "message.max.bytes": 4000000, "queue.buffering.max.kbytes": 65536}
    producer = Producer(settings)
    begin, count = time.monotonic(), int(megabytes * 1e6 / len(value))
    for _ in range(count):
        while True:
            try:
                producer.produce(topic, value)
                break
            except BufferError:
                producer.poll(0.01)
        producer.poll(0)
    producer.flush()
    return count * len(value) / 1e6 / (time.monotonic() - begin)


def fill(subject, process, body, requests):
    begin, peak = time.monotonic(), 0
    command = ["h2load", f"-c{bench.CLIENTS}", "-m8", "-t1", f"-d{body}", f"-n{requests}"]
    command += ["-Hcontent-type: application/grpc", "-Hte: trailers"]
    command += [f"http://127.0.0.1:{subject.port}/opentelemetry.proto.collector.{bench.SERVICES['traces']}/Export"]
    load = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while load.poll() is None:
        peak = max(peak, process.resident_mb())
        time.sleep(0.2)
    return time.monotonic() - begin, peak


def drain(subject, process, body):
    """Seconds from the first message on, CPU seconds, resident peak, items that came in meanwhile."""
    waiting = subject.waiting()
    until("the first of the backlog is in Kafka", 120, lambda: subject.waiting() < waiting)
    begin, cpu, peak, last, fresh = time.monotonic(), process.cpu_seconds(), 0, 0, 0
    while subject.waiting() > 0:
        peak = max(peak, process.resident_mb())
        if time.monotonic() > last + 1:
            last = time.monotonic()
            fresh += bench.h2load(subject.port, "traces", body, "-m1", f"-n{bench.CLIENTS}") * bench.ITEMS
        time.sleep(0.1)
    return time.monotonic() - begin, process.cpu_seconds() - cpu, peak, fresh


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=float, default=10)
    parser.add_argument("--directory", help="where the spool is; default: the temporary one")
    options = parser.parse_args()
    bootstrap = os.environ.get("BED_KAFKA") or sys.exit("run me by hack/bed/in")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="surgetank-backlog-", dir=options.directory))
    topics = bench.Topics(bootstrap)
    names = {signal: f"backlog-{time.time_ns()}-{signal}" for signal in ("traces", "metrics")}
    topics.make(names.values())
    body = directory / "request.bin"
    framed = bench.framed(bench.traces())
    body.write_bytes(framed)
    message = framed[5:]
    requests = int(options.gib * (1 << 30) / len(message))
    subject = bench.Edge()
    command = subject.prepare(directory, bootstrap, {"traces": names["traces"]})
    document = yaml.safe_load((directory / "pipeline.yaml").read_text())
    document["spec"]["edges"][0]["spool"]["size"] = f"{int(options.gib * 1.5 + 1)}Gi"
    (directory / "pipeline.yaml").write_text(yaml.safe_dump(document))
    child = None
    try:
        bare = bare_producer(bootstrap, names["metrics"], message * VALUE, min(options.gib * 1074, 3000))
        part("stop", "kafka-0")
        with open(directory / "edge.log", "ab") as log:
            child = subprocess.Popen(command, stdout=log, stderr=log)
        process = bench.Process(child.pid)
        bench.wait_for(subject.port)
        seconds, fill_peak = fill(subject, process, body, requests)
        held = subject.waiting()
        print(f"{held / 1e6:.1f} million spans wait, {options.gib:.0f} GiB, taken in {seconds:.0f} s; {fill_peak:.0f} MB resident at most")
        part("start", "kafka-0")
        took, cpu, peak, fresh = drain(subject, process, body)
        megabytes = requests * len(message) / 1e6
        print(f"drained in {took:.0f} s: {megabytes / took:.0f} MB/s, {held / took / 1e3:.0f}k spans/s, with {fresh} fresh spans coming in")
        print(f"{cpu / held * 1e6:.2f} CPU-s per million spans, {peak:.0f} MB resident at most")
        print(f"a bare producer of librdkafka: {bare:.0f} MB/s")
    finally:
        if child is not None:
            child.terminate()
            child.wait(60)
        if not topics.admin.list_topics(timeout=5).brokers:
            part("start", "kafka-0")
        topics.delete(names.values())
        shutil.rmtree(directory, ignore_errors=True)


main()
