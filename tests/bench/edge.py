#!/usr/bin/env python3
"""Measures an edge, and the OpenTelemetry Collector beside it, on the bed's Kafka: make bench-edge

    hack/bed/in python3 tests/bench/edge.py [--runs 3] [--requests 20000] [--peers] [--signals] [--json FILE]

h2load sends OTLP/gRPC requests of 100 items (spans of about 469 bytes) over 4 connections with 8 in flight, first
as fast as they are answered, then 500 a second; everything goes to Kafka with acks=all and zstd. CPU and memory come
from the process's own accounting in /proc, so that a busy machine makes a run longer but hardly dearer. Beside the
times of acknowledgement stands a bare loop of write and fdatasync with the same arrivals on the same disk
(bench_commit), once with nothing else running, and once at the same time. With --peers the Collector runs the same load
with a memory queue, with its file storage, and with that synced (hack/bed/build otelcol). --signals adds logs and
metrics. Figures are medians of the runs, which take turns; the peers' are given as ratios to ours too.
"""

import functools
import json
import os
import subprocess
import time

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

import common
from common import ITEMS, ROOT, framed, scope_below, traces

CLIENTS = 4
PACE = 500  # requests a second


def logs():
    message = ExportLogsServiceRequest()
    container = message.resource_logs.add()
    scope = scope_below(container, container.scope_logs)
    for i in range(ITEMS):
        record = scope.log_records.add(time_unix_nano=time.time_ns(), severity_number=9, severity_text="INFO")
        record.body.string_value = f"order {i} accepted for customer {i * 7919} in 12 ms, 3 items, total 99.90 " + "y" * 60
        for n in range(3):
            record.attributes.add(key=f"log.attribute.{n}").value.string_value = f"value-{i}-{n}"
    return message


def metrics():
    message = ExportMetricsServiceRequest()
    container = message.resource_metrics.add()
    scope = scope_below(container, container.scope_metrics)
    for i in range(10):
        metric = scope.metrics.add(name=f"http.server.requests.{i}", unit="1")
        metric.sum.aggregation_temporality = 2
        metric.sum.is_monotonic = True
        for n in range(ITEMS // 10):
            point = metric.sum.data_points.add(start_time_unix_nano=1, time_unix_nano=time.time_ns(), as_int=i * n)
            for k in range(4):
                point.attributes.add(key=f"http.attribute.{k}").value.string_value = f"value-{n}-{k}"
    return message


REQUESTS = {"traces": traces, "logs": logs, "metrics": metrics}


class Collector(common.Collector):
    port = 26317

    def receivers(self):
        return {"otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{self.port}"}}}}


def peers():
    if common.program(Collector.part) is None:
        raise SystemExit(f"no Collector to compare with: hack/bed/build {Collector.part}")
    yield Collector("batch + memory queue", False, False)
    yield Collector("batch + file_storage", True, False)
    yield Collector("batch + file_storage + fsync", True, True)


def h2load(port, signal, body, *more):
    """How many requests succeeded."""
    command = common.h2load_command(port, signal, body, f"-c{CLIENTS}", *more)
    return common.h2load_succeeded(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


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


def full_load(subject, process, signal, body, names, options, topics):
    before, begin = process.cpu_seconds(), time.monotonic()
    accepted = h2load(subject.port, signal, body, "-m8", f"-n{options.requests}")
    sent = time.monotonic() - begin
    in_kafka = topics.wait_until_still(names, subject, process) - begin
    return {
        f"{signal}: items/s": options.requests * ITEMS / sent,
        f"{signal}: in Kafka after s/s": in_kafka / sent,
        f"{signal}: CPU-s per M": (process.cpu_seconds() - before) / (options.requests * ITEMS) * 1e6,
        f"{signal}: refused": options.requests - accepted,
    }


def fixed_pace(subject, process, body, directory, seconds):
    size = body.stat().st_size
    alone = json.loads(bare_loop(directory, size, seconds).communicate()[0])
    before = process.cpu_seconds()
    p50, p99 = acknowledged(subject.port, "traces", body, directory, seconds)
    cpu = process.cpu_seconds() - before
    loop = bare_loop(directory, size, seconds + 2)
    _, beside_p99 = acknowledged(subject.port, "traces", body, directory, seconds)
    beside = json.loads(loop.communicate()[0])
    return {
        "50k/s: ack p50 ms": p50,
        "50k/s: ack p99 ms": p99,
        "50k/s: CPU-s per M": cpu / (PACE * seconds * ITEMS) * 1e6,
        "bare loop alone: p50 ms": alone["p50_ms"],
        "bare loop alone: p99 ms": alone["p99_ms"],
        "beside a bare loop: ack p99 ms": beside_p99,
        "beside a bare loop: loop's p99 ms": beside["p99_ms"],
    }


def idle(process):
    time.sleep(3)
    before = process.cpu_seconds()
    time.sleep(5)
    return {"idle MB": process.resident_mb(), "idle CPU %": (process.cpu_seconds() - before) / 5 * 100}


def measure(options, topics, signals, subject):
    """One run: idle, full load until Kafka has all of it, a fixed pace; each signal in turn."""
    with common.stand(options, topics, signals) as (directory, names):
        command = subject.prepare(directory, topics.bootstrap, names)
        with common.running(command, directory / "subject.log") as process:
            common.wait_for(subject.port, process)
            figures = idle(process)
            for signal in signals:
                body = directory / f"{signal}.bin"
                body.write_bytes(framed(REQUESTS[signal]()))
                figures |= full_load(subject, process, signal, body, names.values(), options, topics)
                if signal == "traces":
                    figures["peak MB"] = process.peak_mb()
                    figures |= fixed_pace(subject, process, body, directory, options.seconds)
                    topics.wait_until_still(names.values(), subject, process)
            return figures


def main():
    parser = common.arguments(__doc__)
    parser.add_argument("--requests", type=int, default=20000, help="at full load")
    parser.add_argument("--seconds", type=int, default=10, help="at the fixed pace")
    parser.add_argument("--signals", action="store_true", help="logs and metrics too")
    options = parser.parse_args()
    topics = common.Topics(common.bootstrap_servers())
    signals = list(REQUESTS) if options.signals else ["traces"]
    subjects = [common.Edge(), *(peers() if options.peers else [])]
    common.take_turns(options, subjects, functools.partial(measure, options, topics, signals))


if __name__ == "__main__":
    main()
