#!/usr/bin/env python3
"""Writes docs/reference/metrics.md from what the sources declare; with --check, only says whether it is so.

A metric is declared by a `struct metric_desc` with its name, kind, help and labels. They are read behind the
preprocessor, for some are written by macros.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/reference/metrics.md"
TIERS = [  # where a file belongs, the first that fits
    ("Both tiers of the sidecar", ("sidecar/process/", "sidecar/live/")),
    ("Gateway", ("sidecar/gateway/", "sidecar/export/")),
    ("Edge", ("sidecar/",)),
    ("Operator", ("controller/",)),
    ("All programs", ("common/",)),
]
TEXT = r'\(?((?:"(?:[^"\\]|\\.)*"\s*)+)\)?'
INTRO = """# Metrics

All programs serve Prometheus' text format at `/metrics`: sidecars on port 8888, the operator on 8080. Counters start with the process where
they do not say otherwise; `process_*` are there as everywhere. This page is made by `hack/metrics.py`.
"""


def literal(text):
    return "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', text)).replace('\\"', '"')


def initializer(source, at):
    """The text between the braces around `at`."""
    depth, start = 0, at
    while depth >= 0:
        start -= 1
        depth += {"}": 1, "{": -1}.get(source[start], 0)
    depth, end = 0, at
    while depth >= 0:
        depth += {"{": 1, "}": -1}.get(source[end], 0)
        end += 1
    return source[start + 1 : end - 1]


def declared(path):
    own = re.sub(r"(?m)^#include .*$", "", (ROOT / path).read_text())
    source = subprocess.run(["cc", "-E", "-P", "-"], input=own, capture_output=True, text=True, check=True).stdout
    for kind in re.finditer(r"\.kind = \(?METRIC_(\w+)", source):
        body = initializer(source, kind.start())
        name, text = re.search(r"\.name\s*=\s*" + TEXT, body), re.search(r"\.help\s*=\s*" + TEXT, body)
        labels = re.search(r"\.labels\s*=\s*\{([^}]*)\}", body)
        yield {
            "name": literal(name[1]),
            "kind": kind[1].lower(),
            "help": literal(text[1]),
            "labels": re.findall(r'"(\w+)"', labels[1]) if labels else [],
        }


def page():
    sources = [
        path.relative_to(ROOT)
        for top in ("common", "sidecar", "controller")
        for path in sorted((ROOT / top).rglob("*.c"))
        if re.search(r"METRIC_(GAUGE|COUNTER|HISTOGRAM)", path.read_text()) and path.name != "metrics.c"
    ]
    found = {}
    for path in sources:
        tier = next(title for title, places in TIERS if str(path).startswith(places))
        for metric in declared(path):
            if tier == "Edge" and metric["name"].startswith("surgetank_gateway_"):
                tier = "Gateway"  # the consumer is in a folder of both
            found.setdefault(tier, {})[metric["name"]] = metric
    text = [INTRO]
    for title, _ in TIERS:
        text += [f"\n## {title}\n", "| metric | kind | labels | what it tells |", "|---|---|---|---|"]
        for name, metric in sorted(found.get(title, {}).items()):
            labels = ", ".join(f"`{label}`" for label in metric["labels"])
            text.append(f"| `{name}` | {metric['kind']} | {labels} | {metric['help'].replace('|', chr(92) + '|')} |")
    return "\n".join(text) + "\n"


def main():
    want = page()
    if "--check" not in sys.argv:
        PAGE.write_text(want)
    elif not PAGE.exists() or PAGE.read_text() != want:
        sys.exit("docs/reference/metrics.md is not what the sources declare. Run hack/metrics.py")


main()
