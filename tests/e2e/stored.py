#!/usr/bin/env python3
"""Counts by identity what Jaeger, VictoriaLogs and Prometheus hold of a run.

    stored.py --run ID --count 10000 [--wait 60] [traces logs metrics]
    stored.py --sent SUMMARY.json [--wait 60]

With --sent, the summary that otel_client.py printed, the acknowledged identities are expected; with --count,
all from 0. The backends are asked again until nothing is missing or --wait seconds are over. Prints a
JSON object: for every signal what was expected, how many distinct identities are stored, how many
repeats, and what is missing, as ranges. Addresses come from BED_JAEGER, BED_VICTORIA_LOGS and BED_PROMETHEUS
(hack/bed/in sets them). Exit status: 0 if nothing is missing, 1 if something is, 2 for wrong arguments.

What can be told: VictoriaLogs keeps a row for every time a record was written, so its repeats are exact.
Jaeger keeps one span for each trace and span id, Prometheus one sample for each series and time, so a
repeat of the same item leaves no trace there; only one with another span id or time would be seen.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import sys
import time

import requests

from identity import METRIC, SIGNALS, SPANS_PER_TRACE, numbers, ranges, trace_id


def ask(path, base, **parameters):
    return requests.get(os.environ[base] + path, params=parameters, timeout=30)


def stored_traces(run, count):
    """Fetches every trace of the run by its id."""
    found = collections.Counter()

    def fetch(first):
        answer = ask(f"/api/traces/{trace_id(run, first):032x}", "BED_JAEGER")
        if answer.status_code == 404:
            return []
        answer.raise_for_status()
        tags = [
            {tag["key"]: tag["value"] for tag in span["tags"]}
            for trace in answer.json()["data"]
            for span in trace["spans"]
        ]
        return [int(tag["seq"]) for tag in tags if tag.get("run") == run]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for sequence in pool.map(fetch, range(0, count, SPANS_PER_TRACE)):
            found.update(sequence)
    return found


def stored_logs(run, count):
    """One row for each identity with the number of records that carry it."""
    query = f'run:={json.dumps(run)} | stats by (seq) count() as n | fields seq, n'
    answer = requests.post(
        os.environ["BED_VICTORIA_LOGS"] + "/select/logsql/query",
        data={"query": query, "limit": 0, "start": "now-7d"},
        timeout=60,
    )
    answer.raise_for_status()
    rows = [json.loads(line) for line in answer.text.splitlines() if line]
    return collections.Counter({int(row["seq"]): int(row["n"]) for row in rows})


def stored_metrics(run, count):
    """One series for each identity with the number of its samples."""
    query = f"count_over_time({METRIC}{{run={json.dumps(run)}}}[1d])"
    answer = ask("/api/v1/query", "BED_PROMETHEUS", query=query)
    answer.raise_for_status()
    series = answer.json()["data"]["result"]
    found = collections.Counter()
    for one in series:
        found[int(one["metric"]["seq"])] += int(one["value"][1])
    return found


READERS = {"traces": stored_traces, "logs": stored_logs, "metrics": stored_metrics}


def audit(signal, run, expected):
    found = READERS[signal](run, max(expected, default=-1) + 1)
    return {
        "expected": len(expected),
        "stored": len(expected & found.keys()),
        "repeats": sum(found.values()) - len(found),
        "missing": len(expected - found.keys()),
        "missing_ranges": ranges(expected - found.keys()),
        "stored_beyond_expected": len(found.keys() - expected),
    }


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("signals", nargs="*", metavar="SIGNAL", help="traces, logs, metrics (default: all)")
    parser.add_argument("--run", help="id of the run")
    parser.add_argument("--count", type=int, help="identities 0 to COUNT - 1 are expected")
    parser.add_argument("--sent", help="file with what otel_client.py printed; - is standard input")
    parser.add_argument("--wait", type=float, default=0, help="seconds to wait for what is missing (default %(default)s)")
    options = parser.parse_args()
    options.signals = options.signals or list(SIGNALS)
    for name in options.signals:
        if name not in SIGNALS:
            parser.error(f"no signal '{name}'; there are {', '.join(SIGNALS)}")
    if bool(options.sent) == (options.run is not None and options.count is not None):
        parser.error("give either --sent, or both --run and --count")
    for variable in ("BED_JAEGER", "BED_VICTORIA_LOGS", "BED_PROMETHEUS"):
        if variable not in os.environ:
            parser.error(f"{variable} is not set; run this with hack/bed/in")
    return options


def expectation(options):
    """(run, {signal: identities})"""
    if not options.sent:
        return options.run, {name: set(range(options.count)) for name in options.signals}
    with sys.stdin if options.sent == "-" else open(options.sent, encoding="utf-8") as file:
        summary = json.loads(file.read().strip().splitlines()[-1])
    sent = summary["signals"]
    return summary["run"], {
        name: numbers(sent[name]["acknowledged_ranges"]) for name in options.signals if name in sent
    }


def main():
    options = arguments()
    run, expected = expectation(options)
    deadline = time.monotonic() + options.wait
    result = {}
    while True:
        for name, identities in expected.items():
            if name in result and result[name].get("missing") == 0:
                continue
            try:
                result[name] = audit(name, run, identities)
            except requests.RequestException as failure:
                result[name] = {"expected": len(identities), "missing": len(identities), "error": str(failure)}
        complete = all(one["missing"] == 0 for one in result.values())
        if complete or time.monotonic() > deadline:
            break
        time.sleep(1)
    print(json.dumps({"run": run, "signals": result}), flush=True)
    sys.exit(0 if complete else 1)


if __name__ == "__main__":
    main()
