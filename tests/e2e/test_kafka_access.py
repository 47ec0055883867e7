"""Each way to log in to Kafka, on a broker of the test's own: right credentials deliver, wrong ones say so and lose
nothing, and those that are put right are taken over without a restart. Needs no bed."""

import contextlib
import subprocess
import threading

import pytest

from broker import Authority, TokenEndpoint, USERS, write_secret
from dataplane import ROOT, until
from edge_alone import Edge

LOGIN = {"usernameSecret": {"name": "login", "key": "user"}, "passwordSecret": {"name": "login", "key": "password"}}
OAUTH = {
    "mechanism": "OAUTHBEARER",
    "clientIDSecret": {"name": "client", "key": "id"},
    "clientSecretSecret": {"name": "client", "key": "secret"},
    "scope": "kafka",
}


@pytest.fixture
def edge(broker):
    """A function that makes an edge, which is taken down at the end."""
    with contextlib.ExitStack() as stack:

        def make(name, listener, **kafka):
            made = Edge(broker, f"access-{name}", [{"name": "logs", "encoding": "otlp_json"}],
                        bootstrapServers=[broker.address(listener)], **kafka)
            stack.callback(made.close)
            write_secret(made.secrets, "tls", ca_crt=(broker.dir / "ca.crt").read_text())
            return made

        yield make


def tls(**more):
    return {"enabled": True, "caSecret": {"name": "tls", "key": "ca.crt"}, **more}


def check_wrong_then_right(edge, says, put_right):
    """Wrong credentials: accepted, kept, and the state says why; then right ones."""
    edge.start()
    edge.send(5)
    until(f"the edge says {says}; it says {edge.trouble()}", 40, lambda: any(one in edge.trouble() for one in says))
    assert edge.waiting() == 5
    put_right()
    edge.send(5)
    edge.wait_empty()
    edge.check()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_wrong_password_is_said_and_the_right_one_taken_over(edge, mechanism):
    one = edge(mechanism.lower(), "SASL", tls=tls(), sasl={"mechanism": mechanism, **LOGIN})
    write_secret(one.secrets, "login", user="edge", password="wrong")
    check_wrong_then_right(one, ["uthentication"],
                           lambda: write_secret(one.secrets, "login", password=USERS["edge"]))


def test_a_certificate_of_another_authority_is_said_and_the_right_one_taken_over(edge, broker):
    one = edge("mtls", "MTLS", tls=tls(certificateSecret={"name": "own"}, keySecret={"name": "own"}))
    certificate, key = broker.authority.issue("edge")
    other, other_key = Authority(one.dir, "other").issue("stranger")
    write_secret(one.secrets, "own", tls_crt=other, tls_key=other_key)
    check_wrong_then_right(one, ["SSL", "ssl", "ertificate"],
                           lambda: write_secret(one.secrets, "own", tls_crt=certificate, tls_key=key))


def test_an_unknown_authority_of_the_broker_is_said(edge):
    one = edge("authority", "SASL", tls=tls(), sasl={"mechanism": "PLAIN", **LOGIN})
    right = (one.secrets / "tls" / "ca.crt").read_text()
    Authority(one.dir, "other")
    write_secret(one.secrets, "tls", ca_crt=(one.dir / "other.crt").read_text())
    write_secret(one.secrets, "login", user="edge", password=USERS["edge"])
    check_wrong_then_right(one, ["certificate verify failed"], lambda: write_secret(one.secrets, "tls", ca_crt=right))


def test_tokens_come_from_the_endpoint_and_a_wrong_secret_is_said(edge):
    endpoint = TokenEndpoint()
    try:
        one = edge("oauth", "OAUTH", sasl={**OAUTH, "tokenEndpoint": endpoint.url})
        write_secret(one.secrets, "client", id=endpoint.client, secret="wrong")
        check_wrong_then_right(one, ["oken", "401", "invalid_client"],
                               lambda: write_secret(one.secrets, "client", secret=endpoint.secret))
        assert endpoint.granted > 0
        assert "grant_type=client_credentials" in endpoint.asked[0][1] and "scope=kafka" in endpoint.asked[0][1]
    finally:
        endpoint.close()


def check_gateway(gateway, says, put_right):
    """It gets its partitions once the credentials are right."""

    def partitions():
        state = gateway.process.state()
        return state and state["intake"]["partitions"]

    gateway.start_gateway()
    until("the gateway says what is wrong", 40, lambda: says in gateway.process.state()["intake"]["trouble"])
    assert partitions() == 0
    put_right()
    until("the gateway has its partitions", 60, lambda: partitions() == 3)
    assert not gateway.process.state()["intake"]["trouble"]


def test_a_gateway_takes_over_a_password_that_is_put_right(broker):
    one = Edge(broker, "gateway-scram", [{"name": "traces"}], bootstrapServers=[broker.address("SASL")], tls=tls(),
               sasl={"mechanism": "SCRAM-SHA-256", **LOGIN})
    try:
        write_secret(one.secrets, "tls", ca_crt=(broker.dir / "ca.crt").read_text())
        write_secret(one.secrets, "login", user="edge", password="wrong")
        check_gateway(one, "uthentication", lambda: write_secret(one.secrets, "login", password=USERS["edge"]))
    finally:
        one.close()


def test_a_gateway_takes_over_a_certificate_that_is_put_right(broker):
    one = Edge(broker, "gateway-mtls", [{"name": "traces"}], bootstrapServers=[broker.address("MTLS")],
               tls=tls(certificateSecret={"name": "own"}, keySecret={"name": "own"}))
    certificate, key = broker.authority.issue("gateway")
    again, again_key = broker.authority.issue("gateway")
    other, other_key = Authority(one.dir, "other").issue("stranger")
    try:
        write_secret(one.secrets, "tls", ca_crt=(broker.dir / "ca.crt").read_text())
        write_secret(one.secrets, "own", tls_crt=other, tls_key=other_key)
        check_gateway(one, "ertificate", lambda: write_secret(one.secrets, "own", tls_crt=certificate, tls_key=key))
        write_secret(one.secrets, "own", tls_key=again_key, tls_crt=again)
        until("it has come back again", 60, lambda: (one.dir / "log").read_text().count("came back with new") == 2)
        until("the gateway has its partitions again", 60, lambda: one.process.state()["intake"]["partitions"] == 3)
    finally:
        one.close()


def test_a_gateway_logs_in_with_tokens(broker):
    endpoint = TokenEndpoint()
    endpoint.refuse = True
    one = Edge(broker, "gateway-oauth", [{"name": "traces"}], bootstrapServers=[broker.address("OAUTH")],
               sasl={**OAUTH, "tokenEndpoint": endpoint.url})

    def put_right():
        endpoint.refuse = False

    try:
        write_secret(one.secrets, "client", id=endpoint.client, secret=endpoint.secret)
        check_gateway(one, "oken", put_right)
    finally:
        one.close()
        endpoint.close()


def test_the_operator_logs_in_with_tokens_and_says_what_is_wrong(broker):
    program = "build/tests/e2e/operator_login"
    subprocess.run(["make", "-s", program], cwd=ROOT, check=True)
    endpoint = TokenEndpoint(client="operator")

    def log_in(secret, url=endpoint.url):
        command = [ROOT / program, broker.address("OAUTH"), url, endpoint.client, secret]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return ended.returncode, ended.stdout.strip()

    try:
        status, said = log_in("wrong")
        assert status == 1 and "token" in said and "invalid_client" in said, said
        assert endpoint.granted == 0
        status, said = log_in(endpoint.secret)
        assert (status, len(said)) == (0, 22), said  # a cluster's id
        assert endpoint.granted > 0
    finally:
        endpoint.close()
    status, said = log_in(endpoint.secret)
    assert status == 1 and "token" in said, said


def test_credentials_that_change_under_load_lose_nothing(edge):
    one = edge("rotated", "SASL", tls=tls(), sasl={"mechanism": "SCRAM-SHA-512", **LOGIN})
    write_secret(one.secrets, "login", user="edge", password=USERS["edge"])
    one.start()
    load = threading.Thread(target=one.send, args=(3000,))
    load.start()
    for _ in range(2):
        clients = one.process.state()["kafka"]["clients"]
        write_secret(one.secrets, "login", password=USERS["edge"] + "\n")
        until("a client with the new file", 20, lambda: one.process.state()["kafka"]["clients"] > clients)
    load.join()
    one.wait_empty()
    one.check()
