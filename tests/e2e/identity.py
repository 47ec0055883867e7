"""What the sender and the auditor of an end-to-end run agree on.

A run has an id; every item of it carries the id and a sequence number as attributes `run` and `seq`. Spans
are grouped into traces of SPANS_PER_TRACE whose ids follow from the run, so that the auditor can ask for
each trace by its id. A metric point is the only sample of a gauge series named by run and seq.
"""

import hashlib

SPANS_PER_TRACE = 100
METRIC = "surgetank_e2e"
SIGNALS = ("traces", "logs", "metrics")


def trace_id(run, seq):
    """The id of the trace that span `seq` of the run belongs to."""
    prefix = hashlib.sha256(run.encode()).digest()[:12]
    return int.from_bytes(prefix + (seq // SPANS_PER_TRACE).to_bytes(4, "big"), "big")


def ranges(numbers):
    """[1, 2, 3, 7] -> [[1, 3], [7, 7]]"""
    found = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def numbers(found):
    """The inverse of ranges(), as a set."""
    return {number for first, last in found for number in range(first, last + 1)}
