"""A stand for one surgetank-sidecar (edge and gateway in one process, on the spool alone) and a backend made of
gRPC's own server and protobuf's own classes, which keeps every request that comes, byte for byte."""

import collections
import json
import os
import pathlib
import shutil
import socket
import subprocess
import time
import urllib.request
from concurrent import futures

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build"))
SIGNALS = ("traces", "metrics", "logs")
REQUESTS = dict(zip(SIGNALS, (traces.ExportTraceServiceRequest, metrics.ExportMetricsServiceRequest, logs.ExportLogsServiceRequest)))
SERVICES = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
}


def part(name):
    """Where a part of the bed is that hack/bed/build has made."""
    path = subprocess.run([ROOT / "hack/bed/build", "--path", name], capture_output=True, text=True, check=True)
    return pathlib.Path(path.stdout.strip())


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait(what, check, seconds=20):
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Backend(grpc.GenericRpcHandler):
    """Takes OTLP over gRPC; `raw` has the requests, `items` how often each identity came."""

    def __init__(self):
        self.raw = {signal: [] for signal in SIGNALS}
        self.items = {signal: collections.Counter() for signal in SIGNALS}
        self.server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", -1)])
        self.server.add_generic_rpc_handlers((self,))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def service(self, details):
        for signal, service in SERVICES.items():
            if details.method == f"/{service}/Export":
                return grpc.unary_unary_rpc_method_handler(lambda body, _, signal=signal: self.take(signal, body))
        return None

    def take(self, signal, body):
        self.raw[signal].append(body)
        for resource in getattr(REQUESTS[signal].FromString(body), f"resource_{'spans' if signal == 'traces' else signal}"):
            for scope in getattr(resource, f"scope_{'spans' if signal == 'traces' else signal}"):
                self.items[signal].update(identities(signal, scope))
        return b""


def identities(signal, scope):
    if signal == "traces":
        return [span.name for span in scope.spans]
    if signal == "logs":
        return [record.body.string_value for record in scope.log_records]
    return [a.value.string_value for m in scope.metrics for p in m.sum.data_points for a in p.attributes if a.key == "item"]


class Stand:
    """The sidecar, running. `receiver` is what its edge's otlp receiver has in the document beside its ports, `exports`
    what the gateways of some signals have in export.otlp over the stand's own backend."""

    def __init__(self, directory, receiver=None, edge=None, secrets=None, exports=None):
        self.directory = directory
        self.backend = Backend()
        self.grpc, self.http, self.health, self.metrics = (free_port() for _ in range(4))
        receiver = receiver or {}
        ports = {"grpc": {"port": self.grpc, **receiver.pop("grpc", {})}, "http": {"port": self.http, **receiver.pop("http", {})}}
        spool = {"size": "1Gi", "minFree": "1%", "storage": {"hostPath": str(directory / "spool")}}
        backend = {"endpoint": f"127.0.0.1:{self.backend.port}", "tls": {"insecure": True}}
        exports = {signal: backend | (exports or {}).get(signal, {"compression": "gzip"}) for signal in SIGNALS}
        document = {
            "apiVersion": "surgetank.dev/v1alpha1",
            "kind": "TelemetryPipeline",
            "metadata": {"name": "interop"},
            "spec": {
                "edges": [{"name": "edge", "receivers": {"otlp": {**ports, **receiver}}, "spool": spool, **(edge or {})}],
                "gateways": [{"name": signal, "from": [signal], "export": {"otlp": exports[signal]}} for signal in SIGNALS],
            },
        }
        (directory / "pipeline.json").write_text(json.dumps(document))
        for name, text in (secrets or {}).items():
            self.secret(name, text)
        command = [BUILD / "surgetank-sidecar", "run", "--pipeline", directory / "pipeline.json", "--listen", "127.0.0.1"]
        command += ["--secrets", directory / "secrets", "--health-listen", f"127.0.0.1:{self.health}"]
        command += ["--metrics-listen", f"127.0.0.1:{self.metrics}"]
        self.log = directory / "sidecar.log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait("the sidecar runs", lambda: self.process.poll() is not None or (listens(self.grpc) and listens(self.health)))
        assert self.process.poll() is None, self.log.read_text()

    def secret(self, name, text):
        """A file as Kubernetes would put it there; NAME is "secret/key". Replaced as a whole."""
        path = self.directory / "secrets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_bytes(text if isinstance(text, bytes) else text.encode())
        fresh.replace(path)

    def arrived(self, name, count, times=1, signals=SIGNALS, seconds=20):
        """Every item named `name` has arrived `times` times, once for each acknowledgement, and no other has."""
        want = {f"{name}-{i:06d}": times for i in range(count)}
        mine = lambda signal: {i: n for i, n in self.backend.items[signal].items() if i.startswith(f"{name}-")}  # noqa: E731
        for signal in signals:
            wait(f"{count} {signal} of {name}", lambda: sum(mine(signal).values()) >= count * times, seconds)
            assert mine(signal) == want, signal

    def counters(self, name):
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=5).read().decode()
        found = {}
        for line in text.splitlines():
            if line.startswith(f"surgetank_{name}{{") or line.startswith(f"surgetank_{name} "):
                series, _, value = line.rpartition(" ")
                found[series.removeprefix(f"surgetank_{name}")] = float(value)
        return found

    def dead_letters(self, signal):
        """What the gateway of a signal has put into its dead letters."""
        text = "".join(file.read_text() for file in self.directory.glob(f"spool/**/{signal}.dead-letters.jsonl"))
        return [json.loads(line) for line in text.splitlines() if line]

    def resident_mb(self, peak=False):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:" if peak else "VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0

    def close(self):
        self.process.terminate()
        try:
            assert self.process.wait(30) == 0, self.log.read_text()
        finally:
            if self.process.poll() is None:
                self.process.kill()
            self.backend.server.stop(None)
            shutil.rmtree(self.directory / "spool", ignore_errors=True)


# ---- certificates


class Authority:
    """Makes certificates with the openssl command."""

    def __init__(self, directory, name="interop"):
        self.directory = directory / f"authority-{name}"
        self.directory.mkdir()
        self.ca = self.directory / "ca.crt"
        self.run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                 f"/CN={name} authority", "-keyout", "ca.key", "-out", "ca.crt")  # fmt: skip
        self.number = 0

    def run(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.directory, check=True, capture_output=True)

    def issue(self, name="localhost"):
        """(certificate, key), as PEM files."""
        self.number += 1
        base = f"{name}-{self.number}"
        (self.directory / f"{base}.ext").write_text(f"subjectAltName=DNS:{name},IP:127.0.0.1\n")
        self.run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout",
                 f"{base}.key", "-out", f"{base}.csr")  # fmt: skip
        self.run("x509", "-req", "-in", f"{base}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                 "-extfile", f"{base}.ext", "-out", f"{base}.crt")  # fmt: skip
        return self.directory / f"{base}.crt", self.directory / f"{base}.key"
