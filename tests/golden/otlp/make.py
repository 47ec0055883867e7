#!/usr/bin/env python3
"""Makes the fixtures of this folder from protobuf's own classes, so that ours are checked against
somebody else's idea of OTLP. Run by hand, in a virtual environment, when OTLP grows:

    python3 -m venv venv && venv/bin/pip install opentelemetry-proto googleapis-common-protos xxhash
    venv/bin/python tests/golden/otlp/make.py

schema.txt        every message and field: name, number, type, rule
NAME.json         OTLP/JSON, as a person or an SDK may write it
NAME.bin          what it is in protobuf, deterministic
NAME.out.json     OTLP/JSON as otlp_json_write() writes NAME.bin
../../fuzz/corpus seeds of the fuzz targets
answers.txt       google.rpc.Status and Export*Response in hex and JSON
keys.txt          resources in hex and the keys that the Collector gives them
"""
import base64
import json
import math
import os
import re
import struct

import xxhash
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor as F
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces

HERE = os.path.dirname(os.path.abspath(__file__))
REQUESTS = {
    "traces": traces.ExportTraceServiceRequest,
    "metrics": metrics.ExportMetricsServiceRequest,
    "logs": logs.ExportLogsServiceRequest,
}
TYPES = {getattr(F, n): n[5:].lower() for n in dir(F) if n.startswith("TYPE_")}
IDS = {"traceId", "spanId", "parentSpanId"}


def write(name, data):
    mode = "wb" if isinstance(data, bytes) else "w"
    with open(os.path.join(HERE, name), mode) as out:
        out.write(data)


def short(descriptor):
    return re.sub(r"^opentelemetry\.proto\.(\w+\.)*?(v1\.)", "", descriptor.full_name)


def rule(field):
    if field.is_repeated:
        return "packed" if field.is_packed else "many"
    if field.containing_oneof is not None:
        synthetic = len(field.containing_oneof.fields) == 1
        return "opt" if synthetic else "alt"
    return "one"


def schema():
    seen, lines = set(), set()

    def visit(descriptor):
        if descriptor.full_name in seen:
            return
        seen.add(descriptor.full_name)
        for field in descriptor.fields:
            kind = TYPES[field.type]
            child = short(field.message_type) if kind == "message" else "-"
            lines.add(f"{short(descriptor)} {field.number} {field.json_name} {kind} {rule(field)} {child}\n")
            if kind == "message":
                visit(field.message_type)

    for request in REQUESTS.values():
        visit(request.DESCRIPTOR)
    write("schema.txt", "".join(sorted(lines)))


def to_base64(value):
    """OTLP/JSON writes ids in hex where protobuf's JSON has base64."""
    if isinstance(value, list):
        return [to_base64(v) for v in value]
    if not isinstance(value, dict):
        return value
    out = {}
    for key, v in value.items():
        if key in IDS and isinstance(v, str):
            out[key] = base64.b64encode(bytes.fromhex(v)).decode()
        else:
            out[key] = to_base64(v)
    return out


def parse(signal, text):
    request = REQUESTS[signal]()
    return json_format.ParseDict(to_base64(json.loads(text)), request, ignore_unknown_fields=True)


def number(value, kind):
    if kind in ("int64", "uint64", "fixed64", "sfixed64"):
        return f'"{value}"'
    if kind in ("double",):
        if math.isnan(value):
            return '"NaN"'
        if math.isinf(value):
            return '"Infinity"' if value > 0 else '"-Infinity"'
        if value == 0 and math.copysign(1, value) < 0:
            return "-0.0"
        return next(text for text in (f"{value:.{n}g}" for n in (15, 16, 17)) if float(text) == value)
    return str(value)


def out_json(message):
    """What otlp_json_write() makes of a message's deterministic encoding."""
    parts = []
    for field, value in message.ListFields():
        kind = TYPES[field.type]

        def one(v):
            if kind == "message":
                return out_json(v)
            if kind == "string":
                return json.dumps(v, ensure_ascii=False)
            if kind == "bytes":
                return f'"{v.hex()}"' if field.json_name in IDS else json.dumps(base64.b64encode(v).decode())
            if kind == "bool":
                return "true" if v else "false"
            return number(v, kind)

        text = "[" + ",".join(one(v) for v in value) + "]" if field.is_repeated else one(value)
        parts.append(f'"{field.json_name}":{text}')
    return "{" + ",".join(parts) + "}"


def seeds(name, signal, request):
    """The first byte says how a target takes the rest; see tests/fuzz/fuzz_otlp.c."""
    corpus = os.path.join("..", "..", "fuzz", "corpus")
    with open(os.path.join(HERE, name + ".json"), "rb") as source:
        write(os.path.join(corpus, "otlp_json", name), bytes([signal]) + source.read())
    for size in (0, 60, 240):
        data = bytes([signal + 3 * (size // 4)]) + request.SerializeToString(deterministic=True)
        write(os.path.join(corpus, "otlp", f"{name}_{size}"), data)


def requests():
    for path in sorted(os.listdir(HERE)):
        match = re.fullmatch(r"(traces|metrics|logs)_\w+\.json", path)
        if not match:
            continue
        with open(os.path.join(HERE, path), encoding="utf-8") as source:
            request = parse(match[1], source.read())
        seeds(path[:-5], list(REQUESTS).index(match[1]), request)
        write(path[:-5] + ".bin", request.SerializeToString(deterministic=True))
        write(path[:-5] + ".out.json", out_json(request))


def answers():
    lines = []

    def add(kind, message):
        text = json.dumps(json_format.MessageToDict(message, always_print_fields_with_no_presence=kind == "status"),
                          separators=(",", ":"), ensure_ascii=False)
        lines.append(f"{kind} {message.SerializeToString(deterministic=True).hex() or '-'} {text}\n")

    for code, text, delay in ((0, "", None), (14, "", 0), (14, "Überlast, später", 1500),
                              (3, "bad request", None), (8, "x", 86400000), (-1, "odd", 999)):
        status = Status(code=code, message=text)
        if delay is not None:
            info = RetryInfo(retry_delay=Duration(seconds=delay // 1000, nanos=delay % 1000 * 1000000))
            status.details.add().Pack(info)
        add("status", status)
    for kind, module, name in (("traces", traces, "Trace"), ("metrics", metrics, "Metrics"), ("logs", logs, "Logs")):
        rejected = {"traces": "rejected_spans", "metrics": "rejected_data_points", "logs": "rejected_log_records"}[kind]
        response = getattr(module, f"Export{name}ServiceResponse")
        add(kind, response())
        full = response()
        setattr(full.partial_success, rejected, 12345678901)
        full.partial_success.error_message = "too old"
        add(kind, full)
    write("answers.txt", "".join(lines))


def hashed(attributes):
    """pdatautil.MapHash's bytes, after its source."""
    def value(any_value):
        kind = any_value.WhichOneof("value")
        if kind is None:
            return b"\xf5"
        v = getattr(any_value, kind)
        return {
            "bytes_value": lambda: b"\xf6" + v,
            "string_value": lambda: b"\xf7" + v.encode(),
            "bool_value": lambda: b"\xf8" if v else b"\xf9",
            "int_value": lambda: b"\xfa" + struct.pack("<q", v),
            "double_value": lambda: b"\xfb" + struct.pack("<d", v),
            "kvlist_value": lambda: b"\xfc" + hashed(v.values) + b"\xfd",
            "array_value": lambda: b"\xfe" + b"".join(value(one) for one in v.values) + b"\xff",
        }[kind]()

    first = {}
    for attribute in attributes:
        first.setdefault(attribute.key, attribute.value)
    names = sorted((a.key for a in attributes), key=lambda name: name.encode())
    return b"".join(b"\xf4" + name.encode() + value(first[name]) for name in names)


def keys():
    texts = [
        "{}",
        '{"droppedAttributesCount":7}',
        '{"attributes":[{"key":"service.name","value":{"stringValue":"checkout"}}]}',
        '{"attributes":[{"key":"service.name","value":{"stringValue":"checkout"}},{"key":"host.name","value":{"stringValue":"node-1"}}]}',
        '{"attributes":[{"key":"b","value":{"intValue":"-1"}},{"key":"a","value":{"doubleValue":0.5}},{"key":"","value":{"boolValue":true}},{"key":"ab"},{"key":"aa","value":{}},{"key":"no","value":{"boolValue":false}}]}',
        '{"attributes":[{"key":"k","value":{"stringValue":"first"}},{"key":"j","value":{"bytesValue":"AAEC"}},{"key":"k","value":{"intValue":"2"}}]}',
        '{"attributes":[{"key":"m","value":{"kvlistValue":{"values":[{"key":"z","value":{"arrayValue":{"values":[{"intValue":"1"},{},{"stringValue":"x"}]}}},{"key":"y","value":{"kvlistValue":{}}}]}}},{"key":"gr\u00f6\u00dfe","value":{"stringValue":"\u65e5\u672c"}}]}',
    ]
    lines = []
    for text in texts:
        request = json_format.ParseDict({"resourceSpans": [{"resource": json.loads(text)}]},
                                        traces.ExportTraceServiceRequest())
        resource = request.resource_spans[0].resource
        data = hashed(resource.attributes)
        key = bytes(16)
        if resource.attributes:
            key = struct.pack("<QQ", xxhash.xxh64_intdigest(data), xxhash.xxh64_intdigest(data + b"\xf3"))
        lines.append(f"{resource.SerializeToString(deterministic=True).hex() or '-'} {key.hex()}\n")
    write("keys.txt", "".join(lines))


if __name__ == "__main__":
    keys()
    schema()
    requests()
    answers()
