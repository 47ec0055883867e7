#!/usr/bin/env python3
"""The story that `make demo` tells, on a bed that is up: hack/bed/in python3 hack/demo.py --started SECONDS

Installs the operator, applies the sample, sends real telemetry, takes a backend away and brings it back, kills
an edge and two gateways with -9, and counts every item at the backends. Exit status: 0 if nothing was lost.
"""

import argparse
import collections
import os
import pathlib
import secrets
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from cluster import OPERATOR, Failed, get, install, kubectl, run  # noqa: E402
from dataplane import Load, part  # noqa: E402
from path import SAMPLE, Path, Pod, sample  # noqa: E402

RATE = 800  # items of each signal a second
BATCH = 50  # items in a request; one request is about one message
OUTAGE_MESSAGES = 500  # Jaeger comes back when so many wait for it, or
OUTAGE_SECONDS = 40  # after so long
GATEWAYS = ("jaeger", "victorialogs", "prometheus")
STORES_ONE = {
    "traces": "not to be seen: Jaeger stores a span once",
    "metrics": "not to be seen: Prometheus stores a sample once",
}
SHOWN_EVERY = 10  # seconds, where there is no terminal to draw on


class Trouble(Exception):
    """What is wrong, in a sentence."""


class Teller:
    """Says what happens, with the seconds since `make demo` began."""

    def __init__(self, started):
        self.started = started
        self.drawn = sys.stdout.isatty()

    def clock(self):
        return f"{time.time() - self.started:6.1f} s"

    def say(self, text):
        print(f"{self.clock()}  {text}", flush=True)

    def show(self, text):
        """The output of a command."""
        for line in text.rstrip().splitlines():
            print(f"            {line}")
        print(flush=True)

    def command(self, *words):
        print(f"\n          $ {' '.join(words)}")
        self.show(run(*words))

    def follow(self, seconds, what, check, line=lambda: ""):
        """Waits until check() is true, showing line() meanwhile; returns (what it gave, seconds it took)."""
        begun = time.monotonic()
        shown, drawn = begun, False
        while True:
            found = check()
            now = time.monotonic()
            if found:
                break
            if now - begun > seconds:
                self.erase(drawn)
                raise Trouble(f"not within {seconds} s: {what}")
            if now - begun > 2 and (self.drawn or now - shown > SHOWN_EVERY):
                shown, drawn = now, True
                text = f"{self.clock()}    ... {line() or what}"
                print(f"\r\033[K{text}" if self.drawn else text, end="" if self.drawn else "\n", flush=True)
            time.sleep(0.3)
        self.erase(drawn)
        return found, now - begun

    def erase(self, drawn):
        if self.drawn and drawn:
            print("\r\033[K", end="", flush=True)


def document():
    """The sample, but for what makes minutes of what takes longer in life, and the repeats countable."""
    made = sample()
    gateways = {one["name"]: one for one in made["spec"]["gateways"]}
    for one in gateways.values():
        one["retry"] = {"maxInterval": "2s"}
    gateways["jaeger"]["scaling"] = {
        "maxReplicas": 3,
        "lag": {"drainWithin": "30s", "maxMessagesPerReplica": 150},
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 10}},
    }
    del gateways["victorialogs"]["settle"]  # here VictoriaLogs is never killed
    return made


class Demo:
    def __init__(self, teller):
        self.tell = teller
        self.shop = Path(document())
        self.loads = []

    # ---- what is seen

    def jaeger(self):
        return self.shop.gateway("jaeger")

    def describe(self, name="jaeger"):
        seen = self.shop.gateway(name)
        if not seen.get("lagKnown"):
            return f"lag of {name}: not known ({seen.get('why', 'not looked at yet')})"
        return f"lag of {name}: {seen['lagMessages']:,} messages, the oldest for {seen.get('lagSeconds', 0):.0f} s"

    def accepted(self):
        total = collections.Counter()
        for pod in self.shop.ready("edge", "edge"):
            total.update(pod.accepted())
        return total

    def delivered(self):
        return sum(pod.delivered() for name in GATEWAYS for pod in self.shop.ready("gateway", name))

    def check_senders(self):
        for load in self.loads:
            if not load.running():
                raise Trouble(f"the sender of {' and '.join(load.signals)} ended by itself, see above")

    # ---- the story

    def install(self):
        self.tell.say("Installing the operator with Helm, two instances of which one leads ...")
        begun = time.monotonic()
        install()
        self.tell.say(f"... installed and ready after {time.monotonic() - begun:.1f} s.")

    def apply(self):
        shop = self.shop
        self.tell.say(
            f"Applying {SAMPLE.relative_to(ROOT)}, with shorter windows so that scaling fits into minutes: OTLP in, "
            "a topic\n          for each signal in Kafka, a gateway each to Jaeger (gRPC), VictoriaLogs and "
            "Prometheus (HTTP) ..."
        )
        kubectl("create", "namespace", shop.namespace)
        begun = time.monotonic()
        shop.apply()
        self.tell.follow(
            120,
            "the pipeline is Ready",
            lambda: shop.condition("Ready").get("status") == "True",
            lambda: f"waiting for Ready: {shop.condition('Ready').get('message', 'not looked at yet')}",
        )
        self.tell.say(f"... Ready {time.monotonic() - begun:.1f} s after it was applied.")
        self.tell.command("kubectl", "get", "tp,pods,hpa", "-n", shop.namespace)

    def send(self):
        name = "demo-" + secrets.token_hex(3)
        for protocol, signals in (("grpc", ["traces"]), ("http", ["logs", "metrics"])):
            self.loads.append(
                Load(self.shop, f"{name}-{protocol}", 1_000_000, RATE, protocol, signals=signals, batch=BATCH)
            )
        self.tell.say(
            f"Sending with the OpenTelemetry SDK for Python to Service {self.shop.name}-edge: traces by gRPC, logs and "
            f"metrics\n          by HTTP, {RATE} a second of each, every item with an identity of its own ..."
        )

        def flowing():
            self.check_senders()
            return self.delivered() >= 3 * 3 * RATE

        self.tell.follow(60, "telemetry reaches the backends", flowing)
        taken = ", ".join(f"{n:,} {signal_name}" for signal_name, n in self.accepted().items())
        self.tell.say(f"... the edges have acknowledged {taken}; {self.delivered():,} are at the backends.")

    def outage(self):
        part_quietly("stop", "jaeger")
        self.tell.say("Jaeger is stopped. The edges go on acknowledging; traces wait in Kafka ...")
        begun = time.monotonic()
        self.tell.follow(
            60,
            "the operator sees that the backend is down",
            lambda: self.jaeger().get("reason") == "BackendDown",
            self.describe,
        )
        self.tell.say(f"The operator: {self.jaeger().get('sentence')}.")
        self.tell.command("kubectl", "surgetank", "status", self.shop.name, "-n", self.shop.namespace)
        self.tell.say("Lag grows ...")

        def enough():
            seconds = time.monotonic() - begun
            lag = self.jaeger().get("lagMessages", 0)
            return lag >= OUTAGE_MESSAGES or (seconds > OUTAGE_SECONDS and lag >= OUTAGE_MESSAGES / 2)

        self.tell.follow(2 * OUTAGE_SECONDS, "lag grows", enough, self.describe)
        self.tell.say(f"... {self.describe()}.")

    def recovery(self):
        part_quietly("start", "jaeger")
        back = time.monotonic()
        self.tell.say("Jaeger is back ...")

        def decided():
            seen = self.jaeger()
            return seen if seen.get("wanted", 0) > 1 else None

        seen, _ = self.tell.follow(60, "the operator wants more gateways", decided, self.describe)
        wanted = time.monotonic()
        self.tell.say(f"... {wanted - back:.1f} s later the operator wants {seen['wanted']}: {seen['sentence']}.")
        self.tell.follow(
            60,
            "a new gateway is ready",
            lambda: len(self.shop.ready("gateway", "jaeger")) > 1,
            self.describe,
        )
        self.tell.say(
            f"The first new gateway is ready {time.monotonic() - wanted:.1f} s after that, "
            f"{time.monotonic() - back:.1f} s after Jaeger came back."
        )
        self.tell.command("kubectl", "surgetank", "lag", self.shop.name, "-n", self.shop.namespace)

    def kill(self):
        edge = max(self.shop.ready("edge", "edge"), key=lambda pod: sum(pod.accepted().values()))
        victims = [("edge", edge)]
        victims += [("gateway", self.shop.ready("gateway", name)[0]) for name in ("jaeger", "victorialogs")]
        for tier, pod in victims:
            self.tell.say(f"kill -9 of the {tier} in pod {pod.name}, under load: process {pod.kill()}.")
        before = {pod.name: pod.restarts for _, pod in victims}

        def back_up():
            pods = [pod for pod in map(Pod, get("pods", "-n", self.shop.namespace)) if pod.name in before]
            return len(pods) == len(before) and all(pod.ready and pod.restarts > before[pod.name] for pod in pods)

        _, seconds = self.tell.follow(90, "the kubelet has started all three again", back_up)
        self.tell.say(f"The kubelet has started them again; all are ready {seconds:.1f} s later.")

    def drain(self):
        self.check_senders()
        for load in self.loads:
            load.stop()
        for load in self.loads:
            load.finish(60)
        self.tell.say(
            "The senders have stopped. The lag drains; Kafka gives the partitions of a killed gateway to others only\n"
            "          after its session has expired, 45 s after the kill ..."
        )

        _, seconds = self.tell.follow(120, "all lag is gone", lambda: self.shop.lag(*GATEWAYS) == 0, self.describe)
        self.tell.say(f"... and is gone {seconds:.1f} s later.")

        def shrunk():
            return len([pod for pod in self.shop.pods("gateway", "jaeger") if not pod.leaving]) == 1

        _, seconds = self.tell.follow(
            120,
            "the gateways shrink to one",
            shrunk,
            lambda: f"the operator: {self.jaeger().get('sentence')}",
        )
        self.tell.say(f"The gateways have shrunk to one again, {seconds:.1f} s after that.")

    def count(self):
        self.tell.say("Counting at the backends, item by item ...")
        rows, lost = [], 0
        for load in self.loads:
            for name, found in load.stored(wait=60).items():
                if found.get("error"):
                    raise Trouble(f"{name} could not be counted: {found['error']}")
                lost += found["missing"]
                repeats = STORES_ONE.get(name, f"{found['repeats']:,}")
                rows.append((name, f"{found['expected']:,}", f"{found['stored']:,}", f"{found['missing']:,}", repeats))
        print(f"\n            {'':8} {'sent':>9} {'stored':>9} {'lost':>6}   repeats")
        for name, sent, stored, missing, repeats in rows:
            print(f"            {name:8} {sent:>9} {stored:>9} {missing:>6}   {repeats}")
        print()
        if lost:
            raise Trouble(f"{lost} acknowledged items are not at the backends")
        self.tell.say("Sent = stored, by identity: nothing was lost.")

    def tell_all(self):
        self.install()
        self.apply()
        self.send()
        self.outage()
        self.recovery()
        self.kill()
        self.drain()
        self.count()

    def close(self):
        for load in self.loads:
            if load.running():
                load.process.kill()
        self.shop.forget()


def part_quietly(*arguments):
    try:
        part(*arguments, out=subprocess.DEVNULL)
    except subprocess.CalledProcessError as failure:
        raise Trouble(f"hack/bed/part {' '.join(arguments)} failed with {failure.returncode}") from None


def evidence(shop):
    """What somebody would look at first."""
    looks = [
        ("kubectl", "get", "pods", "-A"),
        ("kubectl", "surgetank", "status", shop.name, "-n", shop.namespace),
        ("kubectl", "get", "events", "-n", shop.namespace, "--sort-by=.lastTimestamp"),
        ("kubectl", "logs", "-n", OPERATOR, "-l", "app.kubernetes.io/name=surgetank", "--tail=12"),
    ]
    try:
        bad = [pod for pod in map(Pod, get("pods", "-n", shop.namespace)) if not pod.ready]
    except (Failed, OSError):
        bad = []
    looks += [("kubectl", "logs", "-n", shop.namespace, pod.name, "--tail=12") for pod in bad[:3]]
    for words in looks:
        print(f"\n$ {' '.join(words)}", file=sys.stderr)
        try:
            print("\n".join(run(*words).splitlines()[-30:]), file=sys.stderr)
        except (Failed, OSError, subprocess.TimeoutExpired) as failure:
            print(failure, file=sys.stderr)


def stopped(*_):
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--started", type=float, default=time.time(), help="when the clock began, in Unix seconds")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, stopped)
    signal.signal(signal.SIGINT, stopped)
    os.environ["PATH"] = f"{ROOT / 'build'}:{os.environ['PATH']}"
    demo = Demo(Teller(options.started))
    try:
        demo.tell_all()
        return 0
    except (Trouble, Failed, AssertionError, OSError, subprocess.SubprocessError) as failure:
        demo.tell.say(f"FAILED: {failure}")
        evidence(demo.shop)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        demo.close()


if __name__ == "__main__":
    sys.exit(main())
