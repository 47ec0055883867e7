"""Gateways with the servers that people have: what is stored is counted there, by name."""

import json
import subprocess
import time
import urllib.parse
import urllib.request

import pytest
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from stand import free_port, part, wait

DAY = 86400
DELTA, CUMULATIVE = 1, 2


def ask(url, body=None):
    headers = {"Content-Type": "application/x-protobuf"} if body else {}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10) as answer:
        return answer.read()


class Prometheus:
    """The real one, as the bed has it."""

    def __init__(self, directory):
        self.url = f"http://127.0.0.1:{free_port()}"
        (directory / "prometheus.yaml").write_text("storage: {tsdb: {out_of_order_time_window: 30m}}\n")
        command = [part("prometheus") / "prometheus", f"--config.file={directory}/prometheus.yaml", f"--storage.tsdb.path={directory}/data"]
        command += [f"--web.listen-address={self.url.removeprefix('http://')}", "--web.enable-otlp-receiver"]
        self.log = directory / "prometheus.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait("Prometheus is ready", self.is_ready, 60)

    def is_ready(self):
        assert self.process.poll() is None, self.log.read_text()
        try:
            return ask(self.url + "/-/ready")
        except OSError:
            return False

    def names(self, since="60d"):
        """The names of what it stores, of whatever age."""
        query = urllib.parse.quote(f'last_over_time({{job="interop"}}[{since}])')
        return {series["metric"]["__name__"] for series in json.loads(ask(f"{self.url}/api/v1/query?query={query}"))["data"]["result"]}

    def close(self):
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture
def prometheus(tmp_path):
    server = Prometheus(tmp_path)
    yield server
    server.close()


class Request:
    """One OTLP request of metrics, put together metric by metric."""

    def __init__(self):
        self.body = metrics.ExportMetricsServiceRequest()
        resource = self.body.resource_metrics.add()
        attribute = resource.resource.attributes.add()
        attribute.key, attribute.value.string_value = "service.name", "interop"
        self.scope = resource.scope_metrics.add()

    def gauge(self, name, age_s=0):
        point = self.scope.metrics.add(name=name).gauge.data_points.add()
        point.time_unix_nano, point.as_double = time.time_ns() - age_s * 10**9, 1
        return self

    def sum(self, name, temporality):
        total = self.scope.metrics.add(name=name).sum
        total.aggregation_temporality, total.is_monotonic = temporality, True
        point = total.data_points.add()
        point.time_unix_nano, point.as_double = time.time_ns(), 1
        return self

    def item(self, identity):
        """As stand.Backend knows it."""
        self.sum("interop", CUMULATIVE)
        attribute = self.scope.metrics[-1].sum.data_points[0].attributes.add(key="item")
        attribute.value.string_value = identity
        return self

    def exponential(self, name, scale=3, count=3):
        histogram = self.scope.metrics.add(name=name).exponential_histogram
        histogram.aggregation_temporality = CUMULATIVE
        point = histogram.data_points.add()
        point.time_unix_nano, point.scale, point.count, point.sum = time.time_ns(), scale, count, 4
        point.positive.bucket_counts.extend([1, 2])
        return self

    def send(self, stand):
        ask(f"http://127.0.0.1:{stand.http}/v1/metrics", self.body.SerializeToString())


def buried(stand):
    """Name -> reason."""
    letters = stand.dead_letters("metrics")
    return {l["otlp"]["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0].get("name", ""): l["reason"] for l in letters}


def otlp_of(prometheus, **more):
    return {"protocol": "http", "endpoint": f"{prometheus.url}/api/v1/otlp", "compression": "gzip", **more}


def test_prometheus_stores_what_it_can_and_the_rest_becomes_dead_letters(make_stand, prometheus):
    stand = make_stand(exports={"metrics": otlp_of(prometheus)})
    Request().gauge("first").send(stand)  # an empty Prometheus takes a sample of any age
    wait("the first is stored", lambda: "first" in prometheus.names())

    request = Request().gauge("a").gauge("old", 40 * DAY).sum("delta", DELTA).sum("b", CUMULATIVE).gauge("ahead", -DAY)
    request.exponential("coarse", scale=-11).exponential("torn", count=9).exponential("c").gauge("___").gauge("d").send(stand)
    bad = {
        "old": "HTTP 400: too old sample",
        "ahead": "HTTP 400: out of bounds",
        "delta": "HTTP 500: invalid temporality",
        "coarse": "HTTP 500: cannot convert exponential",
        "torn": "HTTP 500: 3 observations found in buckets",
        "___": "HTTP 500: normalization for metric",
    }
    wait("every bad one is a dead letter", lambda: set(buried(stand)) >= set(bad))
    found = buried(stand)
    assert set(found) == set(bad)
    for name, reason in bad.items():
        assert found[name].startswith(reason), found[name]
    wait("every good one is stored", lambda: prometheus.names() >= {"a", "b_total", "c", "d"})
    assert prometheus.names() == {"first", "a", "b_total", "c", "d"}


def test_an_empty_prometheus_takes_a_sample_of_any_age_once(make_stand, prometheus):
    stand = make_stand(exports={"metrics": otlp_of(prometheus)})

    Request().gauge("ancient", 40 * DAY).send(stand)
    wait("it is stored", lambda: prometheus.names() == {"ancient"})
    Request().gauge("recent").send(stand)
    wait("the recent one too", lambda: prometheus.names() == {"ancient", "recent"})
    Request().gauge("ancient_again", 40 * DAY).send(stand)
    wait("the next one is refused", lambda: "ancient_again" in buried(stand))
    assert prometheus.names() == {"ancient", "recent"}


def refused(stand, gateway):
    """Compression -> requests that were refused for it."""
    counted = stand.counters("gateway_compression_refused_total")
    return {c: n for c in ("zstd", "gzip") if (n := counted.get(f'{{gateway="{gateway}",compression="{c}"}}'))}


def test_prometheus_which_takes_gzip_only_is_sent_gzip(make_stand, prometheus):
    stand = make_stand(exports={"metrics": otlp_of(prometheus, compression="zstd")})
    for i in range(20):
        Request().gauge(f"metric_{i}").send(stand)
    wait("all are stored", lambda: prometheus.names() == {f"metric_{i}" for i in range(20)})
    assert stand.dead_letters("metrics") == []
    assert 1 <= refused(stand, "metrics")["zstd"] <= 4 and "gzip" not in refused(stand, "metrics")
    assert stand.log.read_text().count("Backend does not take the compression") == 1


def test_a_grpcio_server_which_does_not_know_zstd_gets_every_item(make_stand):
    stand = make_stand(exports={"metrics": {}})  # the defaults: gRPC, zstd
    for i in range(20):
        Request().item(f"plain-{i:06d}").send(stand)
    stand.arrived("plain", 20, signals=("metrics",))
    assert stand.dead_letters("metrics") == []
    assert 1 <= refused(stand, "metrics")["zstd"] <= 4 and "gzip" not in refused(stand, "metrics")
