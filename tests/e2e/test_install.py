"""The other ways to install the operator: for one namespace only, and with one file instead of Helm. Each makes a
pipeline that delivers. At the end the operator is there as for the other tests."""

import contextlib
import time

import pytest
import yaml

from cluster import OPERATOR, Shop, condition, get, install, kubectl, run
from dataplane import ROOT, Load, until
from test_dataplane import check_stored

CHART = str(ROOT / "charts" / "surgetank")
MANIFEST = ROOT / "manifests" / "install.yaml"


@pytest.fixture(scope="module", autouse=True)
def without_operator():
    install()  # of whoever's tests came before, or nobody's
    run("helm", "uninstall", "surgetank", "-n", OPERATOR, "--wait", "--timeout", "60s")
    yield
    install()


@contextlib.contextmanager
def shop(name, tmp_path, **edge):
    """A Shop that Load can send to."""
    made = Shop(name)
    made.dir = tmp_path
    made.endpoint = lambda protocol: f"shop-edge.{made.namespace}.svc:{4317 if protocol == 'grpc' else 4318}"
    made.spec["edges"][0].update(edge)
    try:
        yield made
    finally:
        made.close()


def check_delivers(s):
    s.apply().wait_ready()
    load = Load(s, f"{s.namespace}-{time.monotonic_ns()}", 500, 1000, "grpc", signals=("traces",))
    load.finish()
    check_stored(load, load.stored(), repeats=0)


def may(namespace, account, *what):
    answer = run("kubectl", "auth", "can-i", *what, "--as", f"system:serviceaccount:{account}", "-n", namespace, check=False)
    return answer.strip() == "yes"


def test_one_namespace_with_rights_in_no_other_and_with_its_nodes(tmp_path):
    daemon = {"mode": "DaemonSet", "receivers": {"otlp": {"expose": "NodeLocal"}}}
    with shop("solo", tmp_path, **daemon) as s, shop("other", tmp_path) as other:
        del s.spec["edges"][0]["replicas"]
        helm = ["helm", "-n", s.namespace, "--timeout", "90s"]
        settings = ["--set", f"watchNamespace={s.namespace}", "--set", "crds.install=false"]
        run(*helm, "install", "solo", CHART, "--wait", *settings)
        try:
            other.apply()
            check_delivers(s)  # by a DaemonSet: the operator's own namespace may have one
            assert s.child("daemonset", "edge")["status"]["numberReady"] == 1
            assert not condition(other.live(), "Ready") and other.children() == {}
            account = f"{s.namespace}:solo-surgetank"
            assert may(s.namespace, account, "create", "deployments.apps")
            assert not may(other.namespace, account, "get", "secrets")
            assert not may(other.namespace, account, "list", "telemetrypipelines.surgetank.dev")
            kubectl("delete", "tp", "shop", "-n", s.namespace, "--timeout=60s")
        finally:
            run(*helm, "uninstall", "solo", "--wait")


def test_one_file_instead_of_helm(tmp_path):
    run("kubectl", "apply", "--server-side", "--force-conflicts", "-f", str(MANIFEST))
    try:
        kubectl("rollout", "status", "deployment/surgetank", "-n", OPERATOR, "--timeout=90s")
        with shop("file", tmp_path) as s:
            check_delivers(s)
    finally:
        # all but the CRD and the namespace, which others stand on
        kept = ("CustomResourceDefinition", "Namespace")
        documents = [d for d in yaml.safe_load_all(MANIFEST.read_text()) if d and d["kind"] not in kept]
        kubectl("delete", "-f", "-", "--wait", text=yaml.safe_dump_all(documents))
    until("its pods are gone", 60, lambda: not get("pods", "-n", OPERATOR, "-l", "app.kubernetes.io/name=surgetank"))
