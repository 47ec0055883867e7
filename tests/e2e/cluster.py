"""The operator on the bed's cluster: kubectl as functions, and pipelines in namespaces of their own."""

import json
import os
import pathlib
import re
import subprocess
import time

import yaml
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from dataplane import ROOT, until

PLUGIN = str(ROOT / "build" / "kubectl-surgetank")
OPERATOR = "surgetank-system"
CRASHED = set()  # what crashed() has told already
# of kubectl describe: a container's state and the last one, conditions, events
STATES = re.compile(
    r"^ +(?:State|Last State|Reason|Message|Exit Code|Started|Finished|Ready|Restart Count):.*|^  (?:Normal|Warning) .*",
    re.MULTILINE,
)
CHILDREN = "serviceaccount,configmap,service,poddisruptionbudget,statefulset,daemonset,deployment,hpa"


class Failed(Exception):
    """A command failed; the text is what it said."""


def run(*command, text=None, check=True):
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=180, check=False)
    if check and done.returncode != 0:
        raise Failed((done.stderr or done.stdout).strip())
    return done.stdout


def kubectl(*arguments, text=None):
    return run("kubectl", *arguments, text=text)


def get(*arguments):
    """The object, or the list of objects, or None."""
    try:
        answer = json.loads(kubectl("get", *arguments, "-o", "json"))
    except Failed as failed:
        if "NotFound" in str(failed):
            return None
        raise
    return answer["items"] if answer["kind"].endswith("List") else answer


def apply(*documents):
    return kubectl("apply", "-f", "-", text="---\n".join(yaml.safe_dump(d) for d in documents))


def condition(pipeline, kind):
    """{"status": ..., "reason": ..., "message": ...} of a condition; empty if it isn't there."""
    for found in (pipeline or {}).get("status", {}).get("conditions", []):
        if found["type"] == kind:
            return found
    return {}


def told(*command):
    """What a command said, whatever it said: for reports."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return (done.stdout + done.stderr).strip()


def report(namespace, lines=40):
    """Prints what is known of a namespace after a failure: the pipelines' status, pods as Kubernetes sees them with
    how their containers ended last, the end of each log (also of the container before), and the operator's."""
    print(f"==== status in {namespace}\n{told('kubectl', 'get', 'tp', '-n', namespace, '-o', 'jsonpath={.items[*].status}')}")
    print(told("kubectl", "get", "events", "-n", namespace, "--sort-by=.lastTimestamp")[-4000:])
    for where, name in [(namespace, p["metadata"]["name"]) for p in get("pods", "-n", namespace)] + [
        (OPERATOR, p["metadata"]["name"]) for p in get("pods", "-n", OPERATOR)
    ]:
        described = told("kubectl", "describe", "pod", name, "-n", where)
        print(f"==== pod {name}\n" + "\n".join(STATES.findall(described)))
        logs = ["kubectl", "logs", name, "-n", where, f"--tail={lines}"]
        if "Last State" in described:
            print(f"---- the container before\n{told(*logs, '--previous')}")
        print(f"---- log\n{told(*logs)}")


def install():
    """The operator, by the chart, unless it is there already."""
    chart = str(ROOT / "charts" / "surgetank")
    run("helm", "upgrade", "--install", "surgetank", chart, "-n", OPERATOR, "--create-namespace", "--wait",
        "--timeout", "90s", "--set", "log.level=info")


def crashed():
    """What has ended by a signal that nobody sent, such as SIGSEGV (139), among the operator's containers, since the
    last call. Another instance takes over, and Kubernetes starts it again, so it would not be seen otherwise."""
    found = set()
    for pod in get("pods", "-n", OPERATOR):
        for container in pod["status"].get("containerStatuses") or []:
            ended = container["lastState"].get("terminated") or {}
            if ended.get("exitCode", 0) > 128 and ended["exitCode"] not in (137, 143):  # SIGKILL, SIGTERM
                found.add((pod["metadata"]["name"], ended["finishedAt"], ended["exitCode"]))
    new = found - CRASHED
    CRASHED.update(new)
    return new


def leader():
    """The pod that leads."""
    holder = get("lease", "surgetank", "-n", OPERATOR)["spec"].get("holderIdentity", "")
    return holder.rsplit("_", 1)[0]


class Shop:
    """One TelemetryPipeline in a namespace of its own; small enough for a Kafka of one broker."""

    def __init__(self, name, spec=None):
        self.name, self.namespace = "shop", f"{name}-{int(time.time()) % 100000}"
        self.bootstrap = os.environ["BED_KAFKA"]
        self.document = {
            "apiVersion": "surgetank.dev/v1alpha1",
            "kind": "TelemetryPipeline",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {
                "kafka": {"bootstrapServers": ["kafka-0.kafka.svc:9092"]},
                "topics": [{"name": "traces", "partitions": 3, "replicationFactor": 1, "minInsyncReplicas": 1}],
                "edges": [{"name": "edge", "replicas": 1, "spool": {"size": "1Gi", "minFree": "1%"}}],
                "gateways": [
                    {
                        "name": "jaeger",
                        "from": ["traces"],
                        "export": {"otlp": {"endpoint": "jaeger.monitoring.svc:4317", "tls": {"insecure": True}}},
                        "scaling": {"maxReplicas": 3},
                    }
                ],
                **(spec or {}),
            },
        }
        # the bed has sixteen volumes: what earlier tests left behind is given back first
        run(str(ROOT / "hack" / "bed" / "volumes"), "recycle")
        kubectl("create", "namespace", self.namespace)

    @property
    def spec(self):
        return self.document["spec"]

    def apply(self):
        apply(self.document)
        return self

    def live(self):
        return get("tp", self.name, "-n", self.namespace)

    def child(self, kind, name):
        return get(kind, f"{self.name}-{name}", "-n", self.namespace)

    def children(self):
        """{(kind, name): object} of all that belongs to the pipeline."""
        uid = self.live()["metadata"]["uid"]
        found = get(CHILDREN, "-n", self.namespace)
        owned = [o for o in found if any(r["uid"] == uid for r in o["metadata"].get("ownerReferences", []))]
        return {(o["kind"], o["metadata"]["name"]): o for o in owned}

    def pods(self):
        return {p["metadata"]["name"]: p for p in get("pods", "-n", self.namespace, "-l", f"surgetank.dev/pipeline={self.name}")}

    def wait_condition(self, kind, status, reason=None, seconds=60):
        generation = self.live()["metadata"]["generation"]

        def reached():
            live = self.live()
            found = condition(live, kind)
            if live["status"].get("observedGeneration") != generation or found.get("status") != status:
                return None
            return found if reason in (None, found["reason"]) else None

        try:
            return until(f"{kind} is {status} {reason or ''}", seconds, reached)
        except AssertionError as failed:
            raise AssertionError(f"{failed}; status is {json.dumps(self.live().get('status'), indent=1)}") from None

    def wait_ready(self, seconds=90):
        return self.wait_condition("Ready", "True", seconds=seconds)

    def topics(self):
        """{Kafka's name: partitions} of the topics of this namespace."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        found = admin.list_topics(timeout=20).topics
        return {name: len(t.partitions) for name, t in found.items() if name.startswith(self.namespace + ".")}

    def topic_config(self, topic, key):
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        resource = ConfigResource(ResourceType.TOPIC, topic)
        return admin.describe_configs([resource])[resource].result(20)[key].value

    def close(self):
        """Everything goes, Kafka's topics too, and what the volumes hold."""
        kubectl("delete", "namespace", self.namespace, "--wait=false")
        names = list(self.topics())
        if names:
            AdminClient({"bootstrap.servers": self.bootstrap}).delete_topics(names)


def plugin(*arguments, text=None):
    return run(PLUGIN, *arguments, text=text)
