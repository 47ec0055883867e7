"""A pipeline in the cluster with telemetry on its way: its Services, its pods, what they and the operator say.

Run under hack/bed/in: pods and Services answer from there, and process ids are the machine's own, so that a
process inside a pod can be killed as the kernel would, and the kubelet has to start it again.
"""

import collections
import json
import os
import pathlib
import shutil
import signal
import tempfile
import time
import urllib.request

import yaml

from cluster import OPERATOR, Failed, apply, condition, get, kubectl, report
from dataplane import ROOT, get as ask

SAMPLE = ROOT / "manifests" / "samples" / "shop.yaml"
KILLED = collections.Counter()  # how often Pod.kill() has killed the process of a pod, by the pod's uid


def sample():
    return yaml.safe_load(SAMPLE.read_text())


def operator_state():
    """/debug/state of the instance that leads; {} for the moment."""
    for pod in get("pods", "-n", OPERATOR, "-l", "app.kubernetes.io/name=surgetank"):
        state = ask(f"http://{pod['status'].get('podIP')}:8080/debug/state")
        if state and state.get("leading"):
            return state
    return {}


class Pod:
    """One pod of a pipeline, as it was when it was listed."""

    def __init__(self, item):
        self.name, self.uid = item["metadata"]["name"], item["metadata"]["uid"]
        self.address = item["status"].get("podIP")
        self.leaving = "deletionTimestamp" in item["metadata"]
        containers = item["status"].get("containerStatuses") or []
        self.ready = bool(containers) and all(one["ready"] for one in containers) and not self.leaving
        self.restarts = sum(one["restartCount"] for one in containers)

    def state(self):
        """/debug/state; {} while it doesn't answer."""
        return ask(f"http://{self.address}:13133/debug/state") or {} if self.address else {}

    def accepted(self):
        """Items that an edge has acknowledged, by signal."""
        lanes = self.state().get("spool", {}).get("lanes", {})
        return {name: lane["acceptedItems"] for name, lane in lanes.items()}

    def delivered(self):
        """Items that a gateway has delivered since it began."""
        return self.state().get("ledger", {}).get("deliveredItems", 0)

    def counters(self):
        """Its metrics, but for histograms and what is zero."""
        try:
            with urllib.request.urlopen(f"http://{self.address}:8888/metrics", timeout=2) as answer:
                lines = answer.read().decode().splitlines()
        except OSError as error:
            return [f"no metrics: {error}"]
        return [line for line in lines if line[0] != "#" and "_bucket{" not in line and not line.endswith(" 0")]

    def process(self):
        """The host's id of the sidecar in the pod, or None."""
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if self.uid in (path / "cgroup").read_text() and (path / "comm").read_text().startswith("surgetank"):
                    return int(path.name)
            except OSError:  # it has ended meanwhile
                continue
        return None

    def kill(self):
        """kill -9; returns the id of the process."""
        process = self.process()
        if process is None:
            raise Failed(f"no sidecar runs in pod {self.name}")
        os.kill(process, signal.SIGKILL)
        KILLED[self.uid] += 1
        return process


class Path:
    """A TelemetryPipeline of the cluster, and a directory for what its senders note down."""

    def __init__(self, document):
        self.document = document
        self.name, self.namespace = document["metadata"]["name"], document["metadata"]["namespace"]
        self.key = f"{self.namespace}/{self.name}"
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="surgetank-e2e-"))

    def apply(self):
        apply(self.document)

    def condition(self, kind):
        """The condition, if it speaks of the present generation; else {}."""
        live = get("tp", self.name, "-n", self.namespace) or {}
        observed = live.get("status", {}).get("observedGeneration")
        return condition(live, kind) if observed == live["metadata"]["generation"] else {}

    def pods(self, tier, name):
        """Those of an edge or a gateway (the tier), by its name."""
        selector = f"surgetank.dev/pipeline={self.name},surgetank.dev/{tier}={name}"
        return [Pod(item) for item in get("pods", "-n", self.namespace, "-l", selector)]

    def died(self):
        """The pods whose process has ended more often than it was killed, and how often."""
        items = get("pods", "-n", self.namespace, "-l", f"surgetank.dev/pipeline={self.name}")
        return {pod.name: pod.restarts for pod in map(Pod, items) if pod.restarts > KILLED[pod.uid]}

    def ready(self, tier, name):
        return [pod for pod in self.pods(tier, name) if pod.ready]

    def gateway(self, name):
        """What the leading operator knows of a gateway this second; {} for the moment."""
        for pipeline in operator_state().get("pipelines", []):
            if pipeline["key"] == self.key:
                return next((one for one in pipeline["gateways"] if one["name"] == name), {})
        return {}

    def lag(self, *names):
        """Messages that wait for these gateways; None while that is not known of all."""
        found = [self.gateway(name) for name in names]
        return sum(one["lagMessages"] for one in found) if all(one.get("lagKnown") for one in found) else None

    def touch(self):
        """Has kubelet look after the pods' ConfigMaps now: it does when something about a pod changes."""
        kubectl("annotate", "pods", "-n", self.namespace, "-l", f"surgetank.dev/pipeline={self.name}", "--overwrite",
                f"touched={time.monotonic_ns()}")  # fmt: skip

    def endpoint(self, protocol):
        """The Service of the edge called `edge`."""
        return f"{self.name}-edge.{self.namespace}.svc:{4317 if protocol == 'grpc' else 4318}"

    def report(self):
        """After a failure: what Kubernetes and the operator know, and the counters of each pod."""
        report(self.namespace)
        for item in get("pods", "-n", self.namespace, "-l", f"surgetank.dev/pipeline={self.name}"):
            pod = Pod(item)
            print(f"==== {pod.name} says\n{json.dumps(pod.state())}\n" + "\n".join(pod.counters()))

    def forget(self):
        shutil.rmtree(self.dir, ignore_errors=True)
