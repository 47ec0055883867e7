#!/usr/bin/env python3
"""Takes Kafka away for long while log records keep coming, and gives it back.

    python tests/soak/outage.py [--seconds 1200] [--seed N]      also SURGETANK_OUTAGE_S, SURGETANK_SEED

The broker, one of its own, is frozen for the first half of the time and gone for the second. Each request must be
acknowledged meanwhile, and memory must not follow the backlog. Afterwards every record must be in Kafka, once or
saying that it may be a repeat, and a restart must send nothing again. Needs no bed. Exit status 0 if all that is so.
"""

import argparse
import os
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from broker import Broker  # noqa: E402
from edge_alone import REQUESTS, Edge  # noqa: E402

REQUESTS_PER_S = 4
RECORDS_MAX, BODY_MAX = 30, 2000
LOOKS = 100  # at memory, spread over the time
SPOOL = "4Gi"
RESIDENT_MAX = 64 << 20  # bytes, whatever the backlog
GROWTH_MAX = 2 << 20  # bytes, in the second half: what is under way has been full since the first ...
FILLS_S = 600  # ... if the whole takes so long


class Feeder:
    """Numbered records, in requests of random sizes at random instants."""

    def __init__(self, edge, chance):
        self.edge, self.chance = edge, chance

    def send(self):
        request, body = REQUESTS["logs"](), "".join(self.chance.choices("abcdefgh", k=BODY_MAX))
        records = request.resource_logs.add().scope_logs.add().log_records
        for _ in range(self.chance.randint(1, RECORDS_MAX)):
            self.edge.sent += 1
            record = records.add(time_unix_nano=self.edge.sent)
            record.body.string_value = body[: self.chance.randrange(BODY_MAX)]
        self.edge.post("logs", request.SerializeToString())

    def send_for(self, seconds, look):
        end, every = time.monotonic() + seconds, seconds / (LOOKS / 2)
        next_look = time.monotonic()
        while time.monotonic() < end:
            self.send()
            if time.monotonic() >= next_look:
                look()
                next_look += every
            time.sleep(self.chance.uniform(0, 2 / REQUESTS_PER_S))


def status_bytes(pid, field):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) << 10
    raise SystemExit(f"process {pid} has no {field}")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def outage(edge, broker, feeder, seconds):
    """Resident bytes at each look, those of the second half apart."""
    edge.admin = None  # a client of ours would fill the screen
    pid = edge.process.process.pid
    looks = {"frozen": [], "gone": []}
    before, cpu, begin = edge.sent, cpu_seconds(pid), time.monotonic()
    for state, break_it in (("frozen", broker.freeze), ("gone", broker.kill)):
        break_it()
        feeder.send_for(seconds / 2, lambda: looks[state].append(status_bytes(pid, "VmRSS")))
        waiting, resident = edge.waiting(), looks[state]
        print(f"broker {state}: {waiting} records wait of {edge.sent - before}; MB resident: {resident[0] / 1e6:.1f} first,"
              f" {resident[-1] / 1e6:.1f} last, {max(resident) / 1e6:.1f} most; {edge.trouble().strip()}", flush=True)
        assert waiting == edge.sent - before
    took = time.monotonic() - begin
    print(f"{took:.0f} s without Kafka, {cpu_seconds(pid) - cpu:.1f} CPU-s of the edge")
    return looks


def judge_memory(looks, seconds):
    assert max(looks["frozen"] + looks["gone"]) <= RESIDENT_MAX
    if seconds < FILLS_S:
        return
    tail = looks["gone"][len(looks["gone"]) // 5:]
    growth = tail[-1] - tail[0]
    print(f"memory grew by {growth / 1e6:.2f} MB in the last two fifths of the time")
    assert growth <= GROWTH_MAX


def drained(edge, broker, seconds):
    begin = time.monotonic()
    broker.start()
    edge.wait_empty(seconds)
    print(f"{time.monotonic() - begin:.0f} s until all was in Kafka, with the broker's start")
    edge.check()
    found, marked = edge.numbers()
    print(f"{edge.sent} records sent, {len(found)} in Kafka, {sum(found.values()) - len(found)} repeats,"
          f" {sum(marked.values())} that may be", flush=True)


def restarted(edge, feeder):
    """The cursor is where it should be: nothing comes again, and what is new does come."""
    messages = len(edge.messages("logs"))
    assert edge.process.stop() == 0
    edge.start()
    assert edge.waiting() == 0
    feeder.send()
    edge.wait_empty()
    assert edge.process.stop() == 0
    again = len(edge.messages("logs")) - messages
    print(f"{again} message after a restart and one more request")
    assert again == 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("SURGETANK_OUTAGE_S", 1200)))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SURGETANK_SEED") or random.randrange(1, 10**6)))
    options = parser.parse_args()
    print(f"outage of {options.seconds:.0f} s, seed {options.seed}", flush=True)
    broker, edge = Broker(), None
    try:
        broker.start()
        edge = Edge(broker, "outage", [{"name": "logs"}])
        edge.document["spec"]["edges"][0]["spool"]["size"] = SPOOL
        edge.start()
        feeder = Feeder(edge, random.Random(options.seed))
        for _ in range(20):
            feeder.send()
        edge.wait_empty()
        looks = outage(edge, broker, feeder, options.seconds)
        drained(edge, broker, 120 + options.seconds / 10)
        judge_memory(looks, options.seconds)
        restarted(edge, feeder)
    finally:
        if edge is not None:
            edge.close()
        broker.close()


main()
