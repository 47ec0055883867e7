#!/usr/bin/env python3
"""Kills an edge again and again under load, and counts by identity: what was acknowledged is in Kafka.

    hack/bed/in python3 tests/soak/edge_kills.py [--kills 100] [--seed N] [--senders 8]

The kills (-9, at random instants) come in turns of ten: with the broker up, frozen, and closed. Every request
has a number and is acknowledged or not; none is sent twice. At the end, with the broker up and the spool empty,
the topic is read: an acknowledged request must be there with all its spans, and whatever is there more than once
must say that it may be a repeat (header st.retry). Exit status 0 if so, 1 if not, with the seed to have it again.
"""

import argparse
import collections
import pathlib
import random
import sys
import threading
import time

import grpc
from confluent_kafka import Consumer, TopicPartition
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from dataplane import Pipeline, part, until  # noqa: E402

SPANS = 5
TURN = 10  # kills
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
BROKER = "kafka-0"


def request(number):
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "soak"
    spans = resource.scope_spans.add().spans
    for i in range(SPANS):
        span = spans.add(trace_id=number.to_bytes(16, "big"), span_id=(i + 1).to_bytes(8, "big"), name="soak")
        span.start_time_unix_nano = span.end_time_unix_nano = time.time_ns()
        span.attributes.add(key="padding").value.string_value = "x" * 200
    return message.SerializeToString()


class Senders:
    """Threads that send as fast as they are answered, each with one request under way."""

    def __init__(self, target, count):
        self.target, self.next, self.lock = target, 1, threading.Lock()
        self.acknowledged, self.refused, self.stopping = set(), 0, False
        self.threads = [threading.Thread(target=self.send) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def take(self):
        with self.lock:
            self.next += 1
            return self.next - 1

    def send(self):
        options = [("grpc.min_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 200)]
        with grpc.insecure_channel(self.target, options) as channel:
            export = channel.unary_unary(EXPORT, request_serializer=None, response_deserializer=None)
            while not self.stopping:
                number = self.take()
                try:
                    export(request(number), timeout=5)
                    self.acknowledged.add(number)
                except grpc.RpcError:
                    self.refused += 1
                    time.sleep(0.05)

    def stop(self):
        self.stopping = True
        for thread in self.threads:
            thread.join()


def kills(pipeline, edge, count, chance):
    """`count` kills at random instants; returns the last edge."""
    for _ in range(count):
        time.sleep(chance.choice([chance.uniform(0, 0.1), chance.uniform(0, 1), chance.uniform(0, 2)]))
        edge.kill()
        edge = pipeline.edge()
    return edge


def disturb(pipeline, edge, options, chance, senders):
    done, turn = 0, 0
    while done < options.kills:
        count, state = min(TURN, options.kills - done), ("up", "frozen", "closed")[turn % 3]
        if state == "frozen":
            part("freeze", BROKER)
        elif state == "closed":
            part("kill", BROKER)
        edge = kills(pipeline, edge, count, chance)
        if state == "frozen":
            part("thaw", BROKER)
        elif state == "closed":
            part("start", BROKER)
        done, turn = done + count, turn + 1
        print(f"{done} kills, the last {count} with the broker {state}: {len(senders.acknowledged)} acknowledged,"
              f" {senders.refused} not", flush=True)
    return edge


def read(pipeline, topic):
    """How often each request's spans are there, and how many of those times said so."""
    consumer = Consumer({"bootstrap.servers": pipeline.bootstrap, "group.id": topic, "enable.auto.commit": False})
    spots = [TopicPartition(topic, n, 0) for n in range(6)]
    left = sum(consumer.get_watermark_offsets(spot, 30, cached=False)[1] for spot in spots)
    consumer.assign(spots)
    found, marked, messages = collections.Counter(), collections.Counter(), 0
    while left > 0:
        for message in consumer.consume(500, 5):
            if message.error():
                raise SystemExit(message.error())
            left, messages = left - 1, messages + 1
            retry = any(key == "st.retry" for key, _ in message.headers())
            for resource in ExportTraceServiceRequest.FromString(message.value()).resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        number = int.from_bytes(span.trace_id, "big")
                        found[number] += 1
                        marked[number] += retry
    consumer.close()
    return found, marked, messages


def judge(acknowledged, found, marked):
    lost = [n for n in acknowledged if found[n] < SPANS]
    silent = [n for n in found if found[n] > SPANS and found[n] - SPANS > marked[n]]
    repeats = sum(max(0, count - SPANS) for count in found.values())
    print(f"{len(acknowledged) * SPANS} spans acknowledged, {sum(found.values())} in Kafka, {repeats} of them repeats")
    print(f"lost: {len(lost)} requests {sorted(lost)[:20]}; repeats that don't say so: {len(silent)} {sorted(silent)[:20]}")
    return not lost and not silent


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--senders", type=int, default=8)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    pipeline = Pipeline(f"soak-{options.seed}", signals=("traces",))
    fine = False
    try:
        edge = pipeline.edge()
        senders = Senders(pipeline.endpoint("grpc"), options.senders)
        try:
            edge = disturb(pipeline, edge, options, random.Random(options.seed), senders)
            time.sleep(2)
        finally:
            senders.stop()
        until("the spool is empty", 300, lambda: edge.state()["spool"]["lanes"]["traces"]["waitingItems"] == 0)
        found, marked, messages = read(pipeline, pipeline.topics[0])
        print(f"{messages} messages")
        fine = judge(senders.acknowledged, found, marked)
    finally:
        pipeline.close(failed=not fine)
    sys.exit(0 if fine else 1)


main()
