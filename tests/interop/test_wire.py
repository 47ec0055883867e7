"""What no SDK does on purpose: unknown fields at every level, very large requests, odd HTTP, credentials that change
while requests come."""

import gzip
import http.client
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time

import grpc
import pytest
from google.protobuf import json_format
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces
from stand import REQUESTS, SERVICES, SIGNALS, wait
from test_clients import tls_of

MIB = 1 << 20


def exporter(channel, signal):
    """Export() of raw bytes."""
    return channel.unary_unary(f"/{SERVICES[signal]}/Export", request_serializer=bytes, response_deserializer=bytes)


def post(port, signal, body, content_type="application/x-protobuf", tls=None, **headers):
    kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
    connection = kind("localhost", port, timeout=20, **({"context": tls} if tls else {}))
    headers = {"Content-Type": content_type} | {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("POST", f"/v1/{signal}", body, headers)
    answer = connection.getresponse()
    return answer, answer.read()


# ---- what newer SDKs send


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


FUTURE = field(200, b"from the future") + varint(201 << 3) + b"\x07" + varint(202 << 3 | 5) + b"1234" + varint(203 << 3 | 1) + b"12345678"


def deep(*levels):
    """A field in a field in a field, each with fields beside it that nobody knows yet."""
    inner = b""
    for number in reversed(levels):
        inner = field(number, FUTURE + inner + FUTURE)
    return inner + FUTURE


# The paths to the innermost messages: attributes, values, events, links, status, exemplars, buckets, quantiles.
PATHS = {
    "traces": [(1, 1, 1, 2, 6, 1, 2), (1, 1, 3), (1, 2, 1, 3, 2), (1, 2, 2, 9, 2, 5, 1), (1, 2, 2, 11, 3), (1, 2, 2, 13, 4), (1, 2, 2, 15)],
    "metrics": [(1, 2, 2, 5, 1, 5, 7, 2), (1, 2, 2, 7, 1, 7), (1, 2, 2, 9, 1, 8), (1, 2, 2, 10, 1, 8), (1, 2, 2, 11, 1, 6), (1, 2, 2, 12)],
    "logs": [(1, 2, 2, 5, 6, 1), (1, 2, 2, 6, 2, 5, 1), (1, 1, 1)],
}  # fmt: skip


def test_leaves_unknown_fields_as_they_are_at_every_level(make_stand):
    stand = make_stand()
    channel = grpc.insecure_channel(f"127.0.0.1:{stand.grpc}")
    for signal in SIGNALS:
        body = b"".join(deep(*path) for path in PATHS[signal])
        if signal == "logs":  # of profiles: a key, and a string, by their index
            body += field(1, field(2, field(2, field(6, b"\x18\x05" + field(2, b"\x40\x07")))))
        exporter(channel, signal)(body)
        answer, _ = post(stand.http, signal, gzip.compress(body), Content_Encoding="gzip")
        assert answer.status == 200
        got = stand.backend.raw[signal]
        wait("both requests", lambda: sum(map(len, got)) >= 2 * len(body))
        assert b"".join(got) == body + body  # what is concatenated in protobuf is one request
    channel.close()


# ---- large requests


def test_takes_large_requests_within_its_memory(make_stand):
    """Requests of nearly 16 MiB, four at a time over one connection; and one byte too many."""
    limit = 192
    stand = make_stand(edge={"memoryLimit": f"{limit}Mi"})
    request = traces.ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(name="large")
    span.attributes.add(key="padding").value.string_value = "x" * (16 * MIB - 200)
    body = request.SerializeToString()
    exact = body + b"\xfa\xff\x03" + varint(16 * MIB - len(body) - 3 - 2) + b"\0" * (16 * MIB - len(body) - 3 - 2)
    options = [("grpc.max_send_message_length", -1)]
    channel = grpc.insecure_channel(f"127.0.0.1:{stand.grpc}", options=options)
    call = exporter(channel, "traces")
    assert len(body) < 16 * MIB
    for future in [call.future(body, timeout=60) for _ in range(4)]:
        try:
            future.result()
        except grpc.RpcError as error:  # bounded memory: some are asked to come again
            assert error.code() == grpc.StatusCode.UNAVAILABLE
    call(body, timeout=60)
    with pytest.raises(grpc.RpcError) as refused:
        call(body + field(999, b"x" * 1000), timeout=60)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(exact) > 0
    answer, _ = post(stand.http, "traces", gzip.compress(body + b"\0" * 2 * MIB, 1), Content_Encoding="gzip")
    assert answer.status == 413
    assert stand.resident_mb(peak=True) < limit
    channel.close()


# ---- HTTP as others speak it


def test_answers_refusals_in_the_encoding_of_the_request(make_stand):
    stand = make_stand()
    answer, body = post(stand.http, "logs", b"\x0a\xff")
    assert answer.status == 400 and answer.headers["content-type"] == "application/x-protobuf"
    assert Status.FromString(body).code == 3 and "logs" in Status.FromString(body).message
    answer, body = post(stand.http, "logs", b'{"resourceLogs":5}', "application/json")
    assert answer.status == 400 and answer.headers["content-type"] == "application/json"
    assert json_format.Parse(body, Status()).code == 3
    answer, body = post(stand.http, "logs", b"{}", "application/json")
    assert (answer.status, body) == (200, b"{}")
    channel = grpc.insecure_channel(f"127.0.0.1:{stand.grpc}")
    with pytest.raises(grpc.RpcError) as refused:
        exporter(channel, "logs")(b"\x0a\xff")
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.RpcError) as unknown:
        channel.unary_unary("/grpc.health.v1.Health/Check")(b"")
    assert unknown.value.code() == grpc.StatusCode.UNIMPLEMENTED
    channel.close()


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_takes_what_curl_sends(make_stand):
    stand = make_stand()
    body = stand.directory / "body.json"
    records = [{"timeUnixNano": "1", "body": {"stringValue": f"curl-{i:06d}"}} for i in range(20000)]
    body.write_text(json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}))
    ways = [
        ["-H", "Expect: 100-continue"], ["-H", "Transfer-Encoding: chunked"], ["--http1.0"], ["--http2-prior-knowledge"],
        ["--http2"], ["-H", "Transfer-Encoding: chunked", "-H", "Expect: 100-continue"],
    ]  # fmt: skip
    for way in ways:
        begun = time.monotonic()
        done = subprocess.run(
            ["curl", "-s", "-w", "%{http_code}", "-H", "Content-Type: application/json", "--data-binary", f"@{body}", *way,
             f"http://127.0.0.1:{stand.http}/v1/logs"], capture_output=True, text=True, timeout=30)  # fmt: skip
        assert done.stdout == "{}200", (way, done.stdout)
        assert time.monotonic() - begun < 0.9, f"{way}: curl waits a second for 100 Continue"
    stand.arrived("curl", 20000, times=len(ways), signals=["logs"])


# ---- credentials that change


def test_follows_certificates_and_tokens_without_losing_a_request(make_stand, authority):
    receiver, secrets = tls_of(authority)
    receiver["bearerTokenSecret"] = {"name": "tokens", "key": "tokens"}
    stand = make_stand(receiver=receiver, secrets=secrets | {"tokens/tokens": "first\n"})
    client = ssl.create_default_context(cafile=authority.ca)
    failed, done, sent = [], threading.Event(), [0]

    def serial():
        with socket.create_connection(("127.0.0.1", stand.http)) as plain:
            with client.wrap_socket(plain, server_hostname="localhost") as stream:
                return stream.getpeercert()["serialNumber"]

    def send_all_the_time():
        options = grpc.ssl_channel_credentials(authority.ca.read_bytes())
        channel = grpc.secure_channel(f"localhost:{stand.grpc}", options)
        record = REQUESTS["logs"]()
        record.resource_logs.add().scope_logs.add().log_records.add().body.string_value = "rotation"
        while not done.is_set():
            try:
                exporter(channel, "logs")(record.SerializeToString(), metadata=[("authorization", "Bearer first")], timeout=10)
                sent[0] += 1
            except grpc.RpcError as error:
                failed.append(str(error))
            time.sleep(0.02)

    before = serial()
    sender = threading.Thread(target=send_all_the_time)
    sender.start()
    try:
        certificate, key = authority.issue()
        stand.secret("tokens/tokens", "first\nsecond\n")
        stand.secret("tls/tls.crt", certificate.read_bytes())
        stand.secret("tls/tls.key", key.read_bytes())
        wait("the new certificate is shown", lambda: serial() != before, 30)
        wait("the new token is good", lambda: post(stand.http, "logs", b"", tls=client, Authorization="Bearer second")[0].status == 200)
    finally:
        done.set()
        sender.join()
    assert not failed and sent[0] > 0
    assert sum(stand.counters("edge_credential_reloads_total").values()) >= 2
    assert stand.counters("edge_certificate_expiry_seconds")[""] > time.time()
    wait("all that was acknowledged arrives", lambda: stand.backend.items["logs"]["rotation"] == sent[0])


def test_retry_information_is_what_the_reference_reads(make_stand):
    """A receiver that stops answers UNAVAILABLE with RetryInfo, or has closed: never a final refusal."""
    stand = make_stand()
    channel = grpc.insecure_channel(f"127.0.0.1:{stand.grpc}")
    call = exporter(channel, "logs")
    record = REQUESTS["logs"]()
    record.resource_logs.add().scope_logs.add().log_records.add().body.string_value = "stopping"
    body, acknowledged, codes = record.SerializeToString(), 0, set()
    timer = threading.Timer(0.3, stand.process.terminate)
    timer.start()
    for _ in range(20000):
        try:
            call(body, timeout=5)
            acknowledged += 1
        except grpc.RpcError as error:
            codes.add(error.code())
            for name, value in error.trailing_metadata() or ():
                if name == "grpc-status-details-bin":
                    info = RetryInfo()
                    assert Status.FromString(value).details[0].Unpack(info)
                    assert info.retry_delay.seconds == 1
            if stand.process.poll() is not None:
                break
    timer.join()
    channel.close()
    assert acknowledged > 0 and codes <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}, codes
    assert stand.backend.items["logs"]["stopping"] >= acknowledged
