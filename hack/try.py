#!/usr/bin/env python3
"""Shows a single-node pipeline in under a minute: make try

A backend (a few lines of Python), one surgetank-sidecar with edge and gateway in it, and a sender, all on
127.0.0.1. The backend goes away, the sidecar is killed with -9 while it holds data, both come back, and
every item that was acknowledged is counted at the backend. Nothing is left running, and nothing is written
but below a temporary directory.
"""

import gzip
import http.client
import http.server
import json
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

SIDECAR = pathlib.Path(__file__).resolve().parent.parent / "build" / "surgetank-sidecar"
STARTED = time.monotonic()


def say(text):
    print(f"{time.monotonic() - STARTED:6.1f} s  {text}", flush=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Backend(http.server.BaseHTTPRequestHandler):
    """Takes OTLP over HTTP and remembers the items by the name that the sender gave them."""

    seen = {}

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        for name in re.findall(rb"item-\d{6}", body):
            Backend.seen[name] = Backend.seen.get(name, 0) + 1
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def backend(port):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Backend)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def batch(first, count):
    """OTLP/JSON with `count` log records."""
    records = [
        {"timeUnixNano": str(time.time_ns()), "severityNumber": 9, "body": {"stringValue": f"item-{i:06d}"}}
        for i in range(first, first + count)
    ]
    return json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]})


def send(port, first, count):
    """True: the edge has acknowledged the batch, so it must never be lost."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("POST", "/v1/logs", batch(first, count), {"Content-Type": "application/json"})
        return connection.getresponse().status == 200
    except OSError:
        return False


def state(port):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", "/debug/state")
        return json.load(connection.getresponse())
    except (OSError, ValueError):
        return None


def wait(what, check, seconds=20):
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            sys.exit(f"not within {seconds} s: {what}")
        time.sleep(0.05)


class Try:
    def __init__(self, directory):
        self.backend_port, self.grpc, self.http, self.health, self.metrics = (free_port() for _ in range(5))
        self.directory = directory
        self.document = directory / "pipeline.json"
        otlp = {"protocol": "http", "endpoint": f"http://127.0.0.1:{self.backend_port}", "compression": "gzip"}
        edge = {
            "name": "edge",
            "receivers": {"otlp": {"grpc": {"port": self.grpc}, "http": {"port": self.http}}},
            "spool": {"size": "512Mi", "minFree": "1%", "storage": {"hostPath": str(directory / "spool")}},
        }
        gateway = {"name": "backend", "from": ["logs"], "export": {"otlp": otlp}, "retry": {"maxInterval": "1s"}}
        self.document.write_text(
            json.dumps(
                {
                    "apiVersion": "surgetank.dev/v1alpha1",
                    "kind": "TelemetryPipeline",
                    "metadata": {"name": "try"},
                    "spec": {"edges": [edge], "gateways": [gateway]},
                }
            )
        )
        self.acknowledged, self.next = set(), 0

    def start(self):
        arguments = ["run", "--pipeline", str(self.document), "--listen", "127.0.0.1"]
        arguments += ["--health-listen", f"127.0.0.1:{self.health}", "--metrics-listen", f"127.0.0.1:{self.metrics}"]
        log = open(self.directory / "sidecar.log", "ab")
        self.process = subprocess.Popen([str(SIDECAR), *arguments], stdout=log, stderr=log)
        wait("the sidecar answers", lambda: state(self.health) or self.process.poll() is not None)
        if self.process.poll() is not None:
            sys.exit((self.directory / "sidecar.log").read_text())

    def send(self, count):
        for _ in range(count // 100):
            if send(self.http, self.next, 100):
                self.acknowledged.update(b"item-%06d" % i for i in range(self.next, self.next + 100))
            self.next += 100

    def waiting(self):
        found = state(self.health)
        return found["spool"]["lanes"]["logs"]["waitingItems"] if found else None

    def run(self):
        say("The document: an edge that takes OTLP in, a gateway to one backend, and no Kafka.")
        print("\n" + json.dumps(json.loads(self.document.read_text())["spec"], indent=2) + "\n")
        server = backend(self.backend_port)
        self.start()
        say("surgetank-sidecar runs. Sending 2,000 log records as OTLP/JSON ...")
        self.send(2000)
        wait("the backend has them", lambda: len(Backend.seen) == len(self.acknowledged))
        say(f"{len(self.acknowledged)} acknowledged, {len(Backend.seen)} at the backend.")

        server.shutdown()
        server.server_close()
        say("The backend is gone now. Sending 3,000 more; they are acknowledged all the same ...")
        self.send(3000)
        say(f"... and wait in the spool: {self.waiting()} items, synced to disk.")
        self.process.kill()
        self.process.wait()
        say("kill -9 of the sidecar, while it holds them. It starts again; so does the backend.")
        self.start()
        server = backend(self.backend_port)
        wait("the spool is empty", lambda: self.waiting() == 0)
        wait("the backend has them", lambda: self.acknowledged <= set(Backend.seen))
        lost = len(self.acknowledged - set(Backend.seen))
        repeats = sum(n - 1 for n in Backend.seen.values())
        say(f"acknowledged {len(self.acknowledged)}, stored {len(Backend.seen)}, lost {lost}, repeats {repeats}.")
        self.process.terminate()
        self.process.wait(30)
        server.shutdown()
        return lost


def main():
    if len(sys.argv) > 1:
        print(__doc__)
        return 0
    if not SIDECAR.exists():
        sys.exit("build/surgetank-sidecar is missing: run make")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="surgetank-try-"))
    attempt = Try(directory)
    try:
        lost = attempt.run()
    finally:
        process = getattr(attempt, "process", None)
        if process and process.poll() is None:
            process.kill()
        shutil.rmtree(directory, ignore_errors=True)
    print(
        "\nTry next:\n"
        "  build/surgetank-sidecar --help                        what else it does\n"
        "  build/surgetank-sidecar check --pipeline FILE         checks a document of yours\n"
        "  manifests/samples/single-node.yaml                    a document to start from\n"
        "  make demo                                             the same with Kafka, Kubernetes and three backends"
    )
    return 1 if lost else 0


sys.exit(main())
