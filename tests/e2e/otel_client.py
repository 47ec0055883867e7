#!/usr/bin/env python3
"""Sends telemetry with the real OpenTelemetry SDK and says exactly what was acknowledged.

    otel_client.py --endpoint HOST:4317 --protocol grpc --run ID --count 10000 [--rate 2000] [traces logs metrics]

Each signal is sent by a thread of its own: `count` items in batches, at most `rate` items a second. A batch
that is not acknowledged is sent again, unchanged, until it is, or until --patience seconds have gone by
without success; then the signal ends. SIGTERM ends the run after the batches in flight. The last line on
standard output is a JSON object: for every signal the identities sent and acknowledged, as ranges.
Exit status: 0 if everything was acknowledged, 1 if not, 2 for wrong arguments.
"""

import argparse
import json
import logging
import signal as signals
import sys
import threading
import time

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, LogRecordExportResult, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from identity import METRIC, SIGNALS, ranges, trace_id

SCOPE = "surgetank.e2e"


class Traces:
    def __init__(self, run, resource, connect):
        self.run = run
        self.kept = InMemorySpanExporter()
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.kept))
        self.tracer = provider.get_tracer(SCOPE)
        self.exporter = connect("trace_exporter", "OTLPSpanExporter", "traces")

    def make(self, identities):
        for seq in identities:
            parent = SpanContext(trace_id(self.run, seq), 1, True, TraceFlags(TraceFlags.SAMPLED))
            context = set_span_in_context(NonRecordingSpan(parent))
            span = self.tracer.start_span("item", context, attributes={"run": self.run, "seq": seq})
            span.end()
        batch = self.kept.get_finished_spans()
        self.kept.clear()
        return batch

    def export(self, batch):
        return self.exporter.export(batch) is SpanExportResult.SUCCESS


class Logs:
    def __init__(self, run, resource, connect):
        self.run = run
        self.kept = InMemoryLogRecordExporter()
        provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_log_record_processor(SimpleLogRecordProcessor(self.kept))
        self.logger = provider.get_logger(SCOPE)
        self.exporter = connect("_log_exporter", "OTLPLogExporter", "logs")

    def make(self, identities):
        for seq in identities:
            self.logger.emit(
                LogRecord(
                    timestamp=time.time_ns(),
                    severity_number=SeverityNumber.INFO,
                    severity_text="INFO",
                    body=f"item {seq} of run {self.run}",
                    attributes={"run": self.run, "seq": seq},
                )
            )
        batch = self.kept.get_finished_logs()
        self.kept.clear()
        return batch

    def export(self, batch):
        return self.exporter.export(batch) is LogRecordExportResult.SUCCESS


class Metrics:
    def __init__(self, run, resource, connect):
        self.run = run
        self.resource = resource
        self.exporter = connect("metric_exporter", "OTLPMetricExporter", "metrics")

    def make(self, identities):
        # a provider for each batch: a provider repeats its older series in every later collection
        reader = InMemoryMetricReader()
        provider = MeterProvider([reader], self.resource, shutdown_on_exit=False)
        gauge = provider.get_meter(SCOPE).create_gauge(METRIC)
        for seq in identities:
            gauge.set(seq, {"run": self.run, "seq": seq})
        batch = reader.get_metrics_data()
        provider.shutdown()
        return batch

    def export(self, batch):
        return self.exporter.export(batch) is MetricExportResult.SUCCESS


MAKERS = {"traces": Traces, "logs": Logs, "metrics": Metrics}


def connector(options):
    """A function that opens the SDK's exporter of a signal for the chosen protocol."""

    def connect(module, name, path):
        package = "opentelemetry.exporter.otlp.proto." + options.protocol
        exporter = getattr(__import__(f"{package}.{module}", fromlist=[name]), name)
        settings = {"timeout": options.timeout}
        if options.protocol == "grpc":
            from grpc import Compression

            settings["compression"] = Compression.Gzip if options.gzip else Compression.NoCompression
            return exporter(endpoint=options.endpoint, insecure=True, **settings)
        from opentelemetry.exporter.otlp.proto.http import Compression

        settings["compression"] = Compression.Gzip if options.gzip else Compression.NoCompression
        base = options.endpoint if "://" in options.endpoint else "http://" + options.endpoint
        return exporter(endpoint=f"{base.rstrip('/')}/v1/{path}", **settings)

    return connect


class Sender(threading.Thread):
    """Sends one signal. Read its fields after join()."""

    def __init__(self, name, options, stop):
        super().__init__(name=name)
        resource = Resource.create({"service.name": f"e2e-{options.run}"})
        self.source = MAKERS[name](options.run, resource, connector(options))
        self.options, self.stop = options, stop
        self.sent, self.acknowledged = set(), set()
        self.batches = self.refusals = 0
        self.slowest = self.seconds = 0.0

    def run(self):
        begun = time.monotonic()
        for first in range(0, self.options.count, self.options.batch):
            if self.options.rate:
                self.stop.wait(max(0.0, begun + first / self.options.rate - time.monotonic()))
            if self.stop.is_set():
                break
            identities = range(first, min(first + self.options.batch, self.options.count))
            self.sent.update(identities)
            if not self.deliver(self.source.make(identities)):
                break
            self.acknowledged.update(identities)
            self.batches += 1
        self.seconds = time.monotonic() - begun

    def deliver(self, batch):
        begun, pause = time.monotonic(), 0.1
        while not self.source.export(batch):
            self.refusals += 1
            waited = time.monotonic() - begun
            if self.stop.is_set() or waited > self.options.patience:
                return False
            self.stop.wait(pause)
            pause = min(2 * pause, 2.0)
        self.slowest = max(self.slowest, time.monotonic() - begun)
        return True

    def summary(self):
        return {
            "sent": len(self.sent),
            "acknowledged": len(self.acknowledged),
            "acknowledged_ranges": ranges(self.acknowledged),
            "unacknowledged_ranges": ranges(self.sent - self.acknowledged),
            "batches": self.batches,
            "failed_attempts": self.refusals,
            "slowest_batch_seconds": round(self.slowest, 3),
            "seconds": round(self.seconds, 3),
        }


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("signals", nargs="*", metavar="SIGNAL", help="traces, logs, metrics (default: all)")
    parser.add_argument("--endpoint", required=True, help="HOST:PORT, or a URL for http")
    parser.add_argument("--protocol", choices=("grpc", "http"), default="grpc")
    parser.add_argument("--run", required=True, help="id of the run, part of every identity")
    parser.add_argument("--count", type=int, default=1000, help="items of each signal (default %(default)s)")
    parser.add_argument("--rate", type=float, default=0, help="items of each signal a second (default: unlimited)")
    parser.add_argument("--batch", type=int, default=100, help="items in a request (default %(default)s)")
    parser.add_argument("--timeout", type=float, default=5, help="seconds for one attempt (default %(default)s)")
    parser.add_argument("--patience", type=float, default=120, help="seconds until a batch is given up (default %(default)s)")
    parser.add_argument("--gzip", action="store_true", help="compress requests")
    options = parser.parse_args()
    options.signals = options.signals or list(SIGNALS)
    for name in options.signals:
        if name not in SIGNALS:
            parser.error(f"no signal '{name}'; there are {', '.join(SIGNALS)}")
    if not 0 < options.count <= 1_000_000 or not 0 < options.batch <= 2000:
        parser.error("--count is 1 to 1000000, --batch 1 to 2000")
    return options


def main():
    options = arguments()
    logging.basicConfig(level=logging.CRITICAL)  # failures are counted, not printed one by one
    stop = threading.Event()
    for number in (signals.SIGTERM, signals.SIGINT):
        signals.signal(number, lambda *_: stop.set())
    senders = [Sender(name, options, stop) for name in dict.fromkeys(options.signals)]
    for sender in senders:
        sender.start()
    for sender in senders:
        while sender.is_alive():
            sender.join(0.2)  # in steps, so that signals are handled
    result = {"run": options.run, "protocol": options.protocol, "count": options.count}
    result["signals"] = {sender.name: sender.summary() for sender in senders}
    print(json.dumps(result), flush=True)
    complete = all(len(sender.acknowledged) == options.count for sender in senders)
    sys.exit(0 if complete else 1)


if __name__ == "__main__":
    main()
