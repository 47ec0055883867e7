"""OTLP/JSON, differentially: random messages, written as JSON in every way that is allowed, mean to us what they
mean to protobuf's own classes; and what we write means the same to them. Seeded; the seed is in a failure's text.

    INTEROP_SEED=N INTEROP_ROUNDS=N   another run, a longer one
"""

import base64
import decimal
import json
import math
import os
import pathlib
import random
import re
import struct
import subprocess

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor as F
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PEER = pathlib.Path(os.environ.get("BUILD", ROOT / "build")) / "tests" / "interop" / "json_peer"
REQUESTS = [traces.ExportTraceServiceRequest, metrics.ExportMetricsServiceRequest, logs.ExportLogsServiceRequest]
IDS = {"trace_id": 16, "span_id": 8, "parent_span_id": 8}
SEED = int(os.environ.get("INTEROP_SEED", "20261121"))
ROUNDS = int(os.environ.get("INTEROP_ROUNDS", "1500"))
DEPTH = 12
TEXTS = ["", "a", "GET /api", "caf\u00e9", "\u65e5\u672c", "\U0001f98a", "\0", "\x1f\x7f", "\"\\/\b\f\n\r\t", "\u2028\u2029", "x" * 130,
         "\ud7ff\ue000", "__proto__"]
INT_EDGES = [0, 1, 2, 127, 128, 255, 256, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1]
DOUBLES = [0.0, -0.0, 1.0, -1.5, 0.1, 1 / 3, 1e21, 1e22, 1e23, 123456789.123456789, 5e-324, 2.2250738585072014e-308,
           1.7976931348623157e308, math.nan, math.inf, -math.inf]
RANGES = {
    F.TYPE_INT32: (-(2**31), 2**31 - 1), F.TYPE_SINT32: (-(2**31), 2**31 - 1), F.TYPE_UINT32: (0, 2**32 - 1),
    F.TYPE_FIXED32: (0, 2**32 - 1), F.TYPE_INT64: (-(2**63), 2**63 - 1), F.TYPE_SFIXED64: (-(2**63), 2**63 - 1),
    F.TYPE_UINT64: (0, 2**64 - 1), F.TYPE_FIXED64: (0, 2**64 - 1),
}  # fmt: skip


class Peer:
    def __init__(self):
        self.process = subprocess.Popen([PEER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, what, signal, data):
        self.process.stdin.write(struct.pack(">cBI", what, signal, len(data)) + data)
        self.process.stdin.flush()
        failed, length = struct.unpack(">BI", self.process.stdout.read(5))
        return bool(failed), self.process.stdout.read(length)

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(10) == 0


@pytest.fixture(scope="module")
def peer():
    made = Peer()
    yield made
    made.close()


# ---- random messages


def an_int(rng, kind):
    low, high = RANGES[kind]
    value = rng.choice(INT_EDGES) if rng.random() < 0.7 else rng.randrange(2 ** rng.randrange(1, 65))
    if low < 0 and rng.random() < 0.5:
        value = -value
    return min(max(value, low), high)


def a_double(rng):
    if rng.random() < 0.5:
        return rng.choice(DOUBLES)
    value = struct.unpack("<d", rng.randbytes(8))[0]
    return math.nan if math.isnan(value) else value  # JSON has but one


def a_value(rng, field):
    if field.type == F.TYPE_STRING:
        return rng.choice(TEXTS)
    if field.type == F.TYPE_BYTES:
        return rng.choice([b"", rng.randbytes(IDS[field.name])]) if field.name in IDS else rng.randbytes(rng.randrange(9))
    if field.type == F.TYPE_BOOL:
        return rng.random() < 0.5
    if field.type == F.TYPE_DOUBLE:
        return a_double(rng)
    if field.type == F.TYPE_ENUM:
        return rng.choice(field.enum_type.values).number if rng.random() < 0.8 else rng.choice([99, 2**31 - 1, -1])
    return an_int(rng, field.type)


def fill(rng, message, depth=1):
    """Fields at random; of a oneof one at most."""
    taken = set()
    for field in message.DESCRIPTOR.fields:
        oneof = field.containing_oneof
        if rng.random() < (0.75 if depth < 5 else 0.4) or (oneof is not None and oneof.name in taken):
            if depth > 3 or field.name not in ("resource_spans", "resource_metrics", "resource_logs"):
                if rng.random() < 0.4 or (oneof is not None and oneof.name in taken) or depth > DEPTH:
                    continue
        if oneof is not None and len(oneof.fields) > 1:
            taken.add(oneof.name)
        if field.type == F.TYPE_MESSAGE:
            if field.is_repeated:
                for _ in range(rng.choice([0, 1, 1, 2])):
                    fill(rng, getattr(message, field.name).add(), depth + 1)
            else:
                child = getattr(message, field.name)
                child.SetInParent()
                fill(rng, child, depth + 1)
        elif field.is_repeated:
            getattr(message, field.name).extend(a_value(rng, field) for _ in range(rng.randrange(5)))
        else:
            setattr(message, field.name, a_value(rng, field))
    return message


# ---- the many ways to write them


def write_text(rng, text):
    if rng.random() < 0.6:
        return json.dumps(text, ensure_ascii=rng.random() < 0.5)
    return '"' + "".join(
        f"\\u{unit:04x}" if rng.random() < 0.5 else f"\\u{unit:04X}"
        for unit in struct.unpack(f">{len(text.encode('utf-16-be')) // 2}H", text.encode("utf-16-be"))
    ) + '"'  # fmt: skip


def write_int(rng, value):
    forms = [str(value), f'"{value}"']
    if abs(value) < 2**53:
        forms += [f"{value}.0", f'"{value}"']
    if value != 0 and value % 10 == 0 and abs(value) < 2**53:
        forms.append(f"{value // 10}e1")
    return rng.choice(forms)


def write_double(rng, value):
    if math.isnan(value):
        return '"NaN"'
    if math.isinf(value):
        return '"Infinity"' if value > 0 else '"-Infinity"'
    text = rng.choice([repr(value), f"{value:.17g}", f"{value:.17E}"])
    return f'"{text}"' if rng.random() < 0.2 else text


def write_bytes(rng, field, value):
    if field.name in IDS:
        return f'"{value.hex() if rng.random() < 0.5 else value.hex().upper()}"'
    text = (base64.b64encode if rng.random() < 0.5 else base64.urlsafe_b64encode)(value).decode()
    return '"' + (text.rstrip("=") if rng.random() < 0.5 else text) + '"'


def write_value(rng, field, value):
    if field.type == F.TYPE_MESSAGE:
        return write(rng, value)
    if field.type == F.TYPE_STRING:
        return write_text(rng, value)
    if field.type == F.TYPE_BYTES:
        return write_bytes(rng, field, value)
    if field.type == F.TYPE_BOOL:
        return "true" if value else "false"
    if field.type == F.TYPE_DOUBLE:
        return write_double(rng, value)
    if field.type == F.TYPE_ENUM:
        known = field.enum_type.values_by_number.get(value)
        forms = [str(value), f'"{value}"'] + ([f'"{known.name}"'] * 2 if known else [])
        return rng.choice(forms)
    return write_int(rng, value)


NOISE = ['"x-%d":null', '"future%d":{"a":[1,{"b":"\\u0041"}],"c":null}', '"resource_%d":[]', '"%d":-1.5e-3', '"_%d":"{"']


def write(rng, message):
    members = []
    for field, value in message.ListFields():
        name = field.json_name if rng.random() < 0.7 else field.name
        if field.is_repeated:
            text = "[" + ",".join(write_value(rng, field, one) for one in value) + "]"
        else:
            text = write_value(rng, field, value)
        members.append(f"{write_text(rng, name) if rng.random() < 0.1 else json.dumps(name)}:{text}")
    present = {field.name for field, _ in message.ListFields()}
    for field in message.DESCRIPTOR.fields:
        oneof = field.containing_oneof
        if field.name not in present and oneof is None and rng.random() < 0.1:
            members.append(f'"{field.json_name}":' + ("null" if not field.is_repeated or rng.random() < 0.5 else "[]"))
    if rng.random() < 0.2:
        members.append(rng.choice(NOISE) % rng.randrange(100))
    rng.shuffle(members)
    blank = rng.choice(["", "", " ", "\n\t"])
    return "{" + blank + (blank + ",").join(members) + blank + "}"


# ---- the reference, for which ids must be in base64


def for_reference(value, descriptor):
    """Ids from hex to base64; everything else as it is."""
    if not isinstance(value, dict):
        return value
    names = {name: field for field in descriptor.fields for name in (field.name, field.json_name)}
    if set(value.pop(TWINS, ())) & set(names):
        raise ValueError("a member comes twice")
    out = {}
    for key, inner in value.items():
        field = names.get(key)
        if field is None or inner is None:
            out[key] = inner
        elif field.name in IDS and field.type == F.TYPE_BYTES and isinstance(inner, str):
            out[key] = base64.b64encode(bytes.fromhex(inner)).decode()
        elif field.type == F.TYPE_MESSAGE:
            child = field.message_type
            out[key] = [for_reference(v, child) for v in inner] if isinstance(inner, list) else for_reference(inner, child)
        else:
            out[key] = inner
    return out


TWINS = object()  # the key of what came twice, which matters only if the name is known


def with_twins(pairs):
    names = [name for name, value in pairs if value is not None]
    return dict(pairs) | {TWINS: [name for name in names if names.count(name) > 1]}


def an_int_text(text):
    """-0 is a double to JavaScript and to us, and 0 to Python."""
    return -0.0 if text == "-0" else int(text)


def a_real(text):
    """What is whole stays exact, as it does with us, where Python would go through a double."""
    value = float(text)
    if value == 0 or not value.is_integer() or abs(value) > 2**65:
        return value
    exact = decimal.Decimal(text)
    return int(exact) if exact == exact.to_integral_value() else value


def refuse(text):
    raise ValueError(text)


def by_reference(signal, text):
    tree = json.loads(text, object_pairs_hook=with_twins, parse_constant=refuse, parse_int=an_int_text,
                      parse_float=a_real)
    if not isinstance(tree, dict):
        raise ValueError("not an object")
    message = REQUESTS[signal]()
    return json_format.ParseDict(for_reference(tree, message.DESCRIPTOR), message, ignore_unknown_fields=True)


def canonical(message):
    """Equal for equal messages, also where NaN is in them."""
    return message.SerializeToString(deterministic=True)


def parsed(signal, data):
    message = REQUESTS[signal]()
    message.ParseFromString(data)
    return message


# ---- the tests


@pytest.mark.parametrize("signal", range(3))
def test_reads_what_anybody_may_write(peer, signal):
    for n in range(ROUNDS // 3):
        rng = random.Random(f"{SEED}/{signal}/{n}")
        message = fill(rng, REQUESTS[signal]())
        text = write(rng, message)
        failed, answer = peer.ask(b"r", signal, text.encode("utf-8"))
        where = f"seed {SEED}, signal {signal}, round {n}: {text}"
        assert not failed, f"{answer.decode()}; {where}"
        assert canonical(parsed(signal, answer)) == canonical(message), where
        assert canonical(by_reference(signal, text)) == canonical(message), where


@pytest.mark.parametrize("signal", range(3))
def test_writes_what_anybody_can_read(peer, signal):
    for n in range(ROUNDS // 3):
        rng = random.Random(f"{SEED}/{signal}/{n}/w")
        message = fill(rng, REQUESTS[signal]())
        failed, answer = peer.ask(b"w", signal, canonical(message))
        where = f"seed {SEED}, signal {signal}, round {n}"
        assert not failed, f"{answer.decode()}; {where}"
        assert canonical(by_reference(signal, answer.decode())) == canonical(message), f"{where}: {answer.decode()}"


def damaged(rng, text):
    """One small thing changed."""
    at = rng.randrange(len(text))
    kind = rng.randrange(4)
    if kind == 0:
        return text[:at] + text[at + 1 :]
    if kind == 1:
        return text[:at] + rng.choice('{}[]",:0123456789.eE+-\\u tfn_xA=') + text[at + 1 :]
    if kind == 2:
        return text[:at] + rng.choice('{}[]",:0-.eE\\ ') + text[at:]
    other = rng.randrange(len(text))
    return text[: min(at, other)] + text[max(at, other) :]


# Where we differ on purpose. We refuse what the reference takes: a trace id that is not 16 bytes long, a field
# in both of its spellings. We take what it refuses: half of a surrogate pair, as JavaScript cuts strings.
OURS = ("hex digits", "id has", "exclude each other", "nested too deep", "neither a number", "too many digits",
        "comes twice")
THEIRS = ("surrogates not allowed", "unpaired surrogate", "'utf-8' codec can't encode")


def is_number_of_python(text):
    """Python takes "1_000", "1." and ".5" in strings."""
    inside = re.findall(r'"([-+.eE0-9_ ]*[0-9][-+.eE0-9_ ]*)"', text)
    return any(not re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", number) for number in inside)


@pytest.mark.parametrize("signal", range(3))
def test_judges_what_is_damaged_as_the_reference_does(peer, signal):
    taken = refused = 0
    for n in range(ROUNDS):
        rng = random.Random(f"{SEED}/{signal}/{n}/d")
        text = write(rng, fill(rng, REQUESTS[signal]()))
        for _ in range(rng.choice([1, 1, 2])):
            text = damaged(rng, text) if text else text
        failed, answer = peer.ask(b"r", signal, text.encode("utf-8", "surrogatepass"))
        where = f"seed {SEED}, signal {signal}, round {n}: {text}"
        try:
            message, fault = by_reference(signal, text), None
        except Exception as error:  # whatever the reference throws
            message, fault = None, str(error)
        if failed and message is not None:
            known = any(why in answer.decode() for why in OURS) or is_number_of_python(text)
            assert known, f"we alone refuse: {answer.decode()}; {where}"
        elif not failed and message is None:
            assert any(why in fault.lower() for why in THEIRS), f"we alone take what is refused as: {fault}; {where}"
        elif not failed:
            assert canonical(parsed(signal, answer)) == canonical(message), where
        taken += not failed
        refused += failed
    assert min(taken, refused) > ROUNDS / 20, f"{taken} taken, {refused} refused: that tests little"
