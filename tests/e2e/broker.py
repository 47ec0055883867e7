"""A Kafka broker of one's own on 127.0.0.1, with every way to log in that an edge has; needs no bed, only what
hack/bed/build has built. And a token endpoint as an OAuth 2 server has one.

    PLAIN   no TLS, no login: for the test itself
    MTLS    TLS, and clients show a certificate
    SASL    TLS, PLAIN or SCRAM-SHA-256 or SCRAM-SHA-512
    OAUTH   OAUTHBEARER, with unsecured tokens, which any endpoint can make
"""

import base64
import http.server
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from dataplane import ROOT, until

LISTENERS = ("PLAIN", "MTLS", "SASL", "OAUTH", "CONTROLLER")
LOGIN = "org.apache.kafka.common.security"
USERS = {"edge": "edge-secret"}


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def openssl(directory, *arguments):
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)


class Authority:
    """Certificates: ca.crt, and NAME.crt with NAME.key, all PEM."""

    def __init__(self, directory, name="ca"):
        self.dir, self.name = directory, name
        openssl(directory, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt")

    def issue(self, name):
        extensions = self.dir / "extensions"
        extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        openssl(self.dir, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl(self.dir, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{self.name}.crt", "-CAkey",
                f"{self.name}.key", "-CAcreateserial", "-days", "2", "-extfile", "extensions", "-out", f"{name}.crt")
        return (self.dir / f"{name}.crt").read_text(), (self.dir / f"{name}.key").read_text()


class Broker:
    def __init__(self, version=os.environ.get("SURGETANK_KAFKA", "4.4.0")):
        part = subprocess.run([ROOT / "hack/bed/build", "--path", f"kafka-{version}"], capture_output=True, text=True)
        self.lib = part.stdout.strip() + "/lib/*"
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="surgetank-broker-"))
        self.ports = dict(zip(LISTENERS, free_ports(len(LISTENERS))))
        self.authority = Authority(self.dir)
        self.process = None
        certificate, key = self.authority.issue("broker")
        (self.dir / "keystore.pem").write_text(key + certificate)
        self.configure()

    def configure(self):
        at = {name: f"{name}://127.0.0.1:{port}" for name, port in self.ports.items()}
        users = " ".join(f'user_{name}="{password}"' for name, password in USERS.items())
        clients = [name for name in LISTENERS if name != "CONTROLLER"]
        lines = {
            "process.roles": "broker,controller",
            "node.id": 0,
            "controller.quorum.voters": f"0@127.0.0.1:{self.ports['CONTROLLER']}",
            "listeners": ",".join(at.values()),
            "advertised.listeners": ",".join(at[name] for name in clients),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAIN",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAIN:PLAINTEXT,MTLS:SSL,SASL:SASL_SSL,"
            "OAUTH:SASL_PLAINTEXT",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self.dir / "keystore.pem",
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.dir / "ca.crt",
            "listener.name.mtls.ssl.client.auth": "required",
            "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            "listener.name.oauth.sasl.enabled.mechanisms": "OAUTHBEARER",
            "listener.name.sasl.plain.sasl.jaas.config": f"{LOGIN}.plain.PlainLoginModule required {users};",
            "listener.name.sasl.scram-sha-256.sasl.jaas.config": f"{LOGIN}.scram.ScramLoginModule required;",
            "listener.name.sasl.scram-sha-512.sasl.jaas.config": f"{LOGIN}.scram.ScramLoginModule required;",
            "listener.name.oauth.oauthbearer.sasl.jaas.config": f"{LOGIN}.oauthbearer.OAuthBearerLoginModule required "
            'unsecuredLoginStringClaim_sub="broker";',
            "log.dirs": self.dir / "data",
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "auto.create.topics.enable": "false",
            "num.network.threads": 2,
            "num.io.threads": 2,
        }
        self.file = self.dir / "server.properties"
        self.file.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        scram = [f"{mechanism}=[name={name},password={password}]" for name, password in USERS.items()
                 for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")]
        self.java("kafka.tools.StorageTool", "format", "--cluster-id", "MkU3OEVBNTcwNTJENDM2Qg", "--config",
                  str(self.file), *[word for one in scram for word in ("--add-scram", one)]).wait(120)

    def java(self, *arguments):
        log = open(self.dir / "log", "ab")
        return subprocess.Popen(["java", "-Xmx384m", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true", "-cp",
                                 self.lib, *arguments], stdout=log, stderr=log, cwd=self.dir)

    def start(self):
        self.process = self.java("kafka.Kafka", str(self.file))

        def answers():
            assert self.process.poll() is None, (self.dir / "log").read_text()[-3000:]
            with socket.socket() as one:
                return one.connect_ex(("127.0.0.1", self.ports["PLAIN"])) == 0

        until("the broker answers", 300, answers)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def address(self, listener="PLAIN"):
        return f"127.0.0.1:{self.ports[listener]}"

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


def unsecured_token(subject, seconds=300):
    """A JSON Web Signature without a signature."""

    def part(content):
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()

    now = int(time.time())
    claims = {"sub": subject, "iat": now, "exp": now + seconds, "scope": ["kafka"]}
    return f"{part({'alg': 'none'})}.{part(claims)}."


class TokenEndpoint:
    """Grants tokens to those who know the secret, and keeps what it was asked."""

    def __init__(self, client="edge", secret="client-secret"):
        self.client, self.secret, self.asked, self.granted, self.refuse = client, secret, [], 0, False
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                endpoint.asked.append((self.headers.get("Authorization", ""), body))
                credentials = f"{endpoint.client}:{endpoint.secret}".encode()
                wanted = "Basic " + base64.b64encode(credentials).decode()
                known = not endpoint.refuse and self.headers.get("Authorization") == wanted
                answer = {"error": "invalid_client"}
                if known:
                    endpoint.granted += 1
                    answer = {"access_token": unsecured_token(endpoint.client), "token_type": "Bearer",
                              "expires_in": 300}
                text = json.dumps(answer).encode()
                self.send_response(200 if known else 401)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/token"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def write_secret(directory, name, **keys):
    """As Kubernetes mounts them; a file is replaced whole."""
    folder = pathlib.Path(directory) / name
    folder.mkdir(parents=True, exist_ok=True)
    for key, text in keys.items():
        temporary = folder / f".{key}"
        temporary.write_text(text)
        os.replace(temporary, folder / key.replace("_", "."))
