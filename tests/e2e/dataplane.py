"""Runs edges and gateways as plain processes in the bed's network, for tests that break them.

A Pipeline owns a document, its topics and a directory; edge() and gateway() start processes which kill()
and stop() end. Everything is taken down by close(), whatever happened.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

import yaml
from confluent_kafka.admin import AdminClient, NewTopic

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SIDECAR = os.environ.get("SURGETANK_SIDECAR", str(ROOT / "build" / "surgetank-sidecar"))
BACKENDS = {
    "traces": {"otlp": {"endpoint": "jaeger.monitoring.svc:4317", "tls": {"insecure": True}}},
    "logs": {
        "otlp": {
            "protocol": "http",
            "endpoint": "http://victoria-logs.monitoring.svc:9428/insert/opentelemetry",
            "compression": "gzip",
        }
    },
    "metrics": {
        "otlp": {
            "protocol": "http",
            "endpoint": "http://prometheus.monitoring.svc:9090/api/v1/otlp",
            "compression": "gzip",
        }
    },
}


def until(what, seconds, check):
    """Waits until check() is true; fails with the sentence `what` after so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = check()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds} s: {what}")


def get(url):
    """The JSON at a URL, or None while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return json.load(answer)
    except (OSError, ValueError):
        return None


class Process:
    """One sidecar. Its log goes to a file that is shown when a test fails."""

    def __init__(self, name, arguments, log, health):
        self.name, self.health = name, health
        self.log = open(log, "ab")
        self.process = subprocess.Popen([SIDECAR, *arguments], stdout=self.log, stderr=self.log)

    def state(self):
        return get(f"http://{self.health}/debug/state")

    def wait_ready(self):
        def ready():
            assert self.process.poll() is None, f"{self.name} ended, see {self.log.name}"
            return self.state()

        return until(f"{self.name} answers", 20, ready)

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait()
        self.log.close()

    def stop(self, seconds=40):
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(seconds)
        self.log.close()
        return code


class Pipeline:
    """A pipeline outside Kubernetes on the bed's Kafka and backends."""

    def __init__(self, name, partitions=6, edge=None, gateway=None, signals=("traces", "logs", "metrics")):
        self.name, self.signals = name, signals
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="surgetank-e2e-"))
        self.bootstrap = os.environ["BED_KAFKA"]
        self.port = 24000
        self.processes = {}
        self.document = {
            "apiVersion": "surgetank.dev/v1alpha1",
            "kind": "TelemetryPipeline",
            "metadata": {"name": name, "namespace": "e2e"},
            "spec": {
                "kafka": {"bootstrapServers": self.bootstrap.split(",")},
                "edges": [
                    {
                        "name": "edge",
                        "receivers": {"otlp": {"grpc": {"port": self.port}, "http": {"port": self.port + 1}}},
                        "spool": {"size": "1Gi", "minFree": "1%", "storage": {"hostPath": str(self.dir / "spool")}},
                        **(edge or {}),
                    }
                ],
                "gateways": [
                    {"name": s, "from": [s], "export": BACKENDS[s], **(gateway or {})} for s in signals
                ],
            },
        }
        self.file = self.dir / "pipeline.yaml"
        self.write()
        self.topics = [f"e2e.{name}.{s}{suffix}" for s in signals for suffix in ("", ".dlq")]
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for future in self.admin.create_topics(
            [NewTopic(t, 1 if t.endswith(".dlq") else partitions, 1) for t in self.topics]
        ).values():
            future.result(30)

    def write(self):
        self.file.write_text(yaml.safe_dump(self.document))

    def start(self, role, name, offset):
        health = f"127.0.0.1:{self.port + offset}"
        arguments = [role, "--pipeline", str(self.file), f"--{role}", name]
        arguments += ["--health-listen", health, "--metrics-listen", f"127.0.0.1:{self.port + offset + 1}"]
        process = Process(name, arguments, self.dir / f"{role}-{name}-{offset}.log", health)
        self.processes[(role, name, offset)] = process
        process.wait_ready()
        return process

    def edge(self):
        return self.start("edge", "edge", 10)

    def gateway(self, name, number=0):
        return self.start("gateway", name, 20 + 20 * number + 4 * self.signals.index(name))

    def endpoint(self, protocol):
        return f"127.0.0.1:{self.port + (protocol != 'grpc')}"

    def close(self, failed=False):
        for process in self.processes.values():
            if process.process.poll() is None:
                process.kill()
        try:
            self.admin.delete_topics(self.topics)
        except Exception as error:  # the broker may be the thing that was broken
            print(f"topics stay: {error}", file=sys.stderr)
        if failed:
            for log in sorted(self.dir.glob("*.log")):
                print(f"==== {log.name}\n{log.read_text()[-6000:]}", file=sys.stderr)
        shutil.rmtree(self.dir, ignore_errors=True)


class Load:
    """The real SDK sending `count` items of each signal to what has an endpoint() for the protocol."""

    def __init__(
        self, target, run, count, rate, protocol="grpc", signals=("traces", "logs", "metrics"), batch=100
    ):
        self.run, self.signals = run, signals
        command = [sys.executable, str(HERE / "otel_client.py"), "--endpoint", target.endpoint(protocol)]
        command += ["--protocol", protocol, "--run", run, "--count", str(count), "--rate", str(rate)]
        command += ["--batch", str(batch)]
        self.file = target.dir / f"sent-{run}.json"
        with open(self.file, "wb") as out:
            self.process = subprocess.Popen([*command, *signals], stdout=out)

    def running(self):
        return self.process.poll() is None

    def stop(self):
        """The batches in flight are the last ones."""
        self.process.send_signal(signal.SIGTERM)

    def finish(self, seconds=180):
        """Waits for the sender and returns what was acknowledged, by signal."""
        self.process.wait(seconds)
        return json.loads(self.file.read_text().splitlines()[-1])["signals"]

    def stored(self, wait=60):
        """What the backends hold of what was acknowledged, by signal."""
        command = [sys.executable, str(HERE / "stored.py"), "--sent", str(self.file), "--wait", str(wait)]
        answer = subprocess.run(command, stdout=subprocess.PIPE, timeout=wait + 120, check=False)
        return json.loads(answer.stdout.splitlines()[-1])["signals"]


def part(*arguments, out=None):
    """hack/bed/part, from inside the bed's network; `out` is where its output goes."""
    subprocess.run([str(ROOT / "hack" / "bed" / "part"), *arguments], check=True, timeout=150, stdout=out)
