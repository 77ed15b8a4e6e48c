"""An ACME client's renewal, end to end (row B13): Debian's pebble issues, lego and certbot ask and answer the
challenge, tools/acme-deploy-hook imports, and the Postern that runs serves, without losing a connection.
"""

import json
import os
import shutil
import ssl
import subprocess
import urllib.request

import pytest

from support import TOP
from support.backends import LineServer
from support.command import run
from support.ports import free_port
from support.postern import program
from support.process import Process
from support.tls import connect, openssl
from support.waiting import DEADLINE_S, wait_for

HOST = "mail.example.test"
HOOK = TOP / "tools/acme-deploy-hook"


class Pebble:
    """An ACME server, and a DNS server in which every name is this machine."""

    def __init__(self, path, authority):
        self.path, self.authority = path, authority
        pair = authority.issue("localhost")
        self.port, self.management, self.http, self.dns = (free_port() for _ in range(4))
        (path / "pebble.json").write_text(json.dumps({"pebble": {
            "listenAddress": f"127.0.0.1:{self.port}", "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": str(pair.certificate), "privateKey": str(pair.key),
            "httpPort": self.http, "tlsPort": free_port(), "ocspResponderURL": "",
            "externalAccountBindingRequired": False}}))
        self.names = Process(["pebble-challtestsrv", "-dns01", f"127.0.0.1:{self.dns}", "-defaultIPv6", "",
                              "-http01", "", "-https01", "", "-tlsalpn01", "",
                              "-management", f"127.0.0.1:{free_port()}"], path / "names.log")
        self.server = Process(["pebble", "-config", path / "pebble.json", "-dnsserver", f"127.0.0.1:{self.dns}"],
                              path / "pebble.log",
                              env={**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"})
        self.server.wait_for_text("Root CA certificate")

    def stop(self):
        self.server.kill()
        self.names.kill()

    def root(self):
        """The root below which it issues, new at each start."""
        def fetch():
            try:
                url = f"https://localhost:{self.management}/roots/0"
                with urllib.request.urlopen(url, context=self.authority.context(), timeout=DEADLINE_S) as answer:
                    return answer.read().decode()
            except OSError:
                return None
        return wait_for(fetch, "pebble's root certificate")

    def lego(self, *words, environment):
        done = subprocess.run(
            list(map(str, ["lego", "--server", f"https://localhost:{self.port}/dir", "--accept-tos", "--email", f"a@{HOST}",
             "--path", self.path / "lego", "--domains", HOST, "--http", "--http.port", f"127.0.0.1:{self.http}",
             *words])),
            env={**os.environ, "LEGO_CA_CERTIFICATES": str(self.authority.ca), **environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE_S * 2)
        text = done.stdout.decode("utf-8", "replace")
        assert done.returncode == 0, text + self.server.text()
        return text

    def certbot(self, *words, environment):
        directories = [word for kind in ("config", "work", "logs")
                       for word in (f"--{kind}-dir", str(self.path / "certbot" / kind))]
        done = subprocess.run(
            ["certbot", *map(str, words), *directories, "--server", f"https://localhost:{self.port}/dir",
             "--non-interactive"],
            env={**os.environ, "REQUESTS_CA_BUNDLE": str(self.authority.ca), **environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE_S * 2)
        text = done.stdout.decode("utf-8", "replace")
        assert done.returncode == 0, text + self.server.text()
        return text


@pytest.fixture
def pebble(directory, authority):
    server = Pebble(directory, authority)
    try:
        yield server
    finally:
        server.stop()


def serial(client):
    return client.getpeercert()["serialNumber"]


def test_certificate_is_issued_renewed_and_served(postern, pebble):
    certs = postern.directory / "certs"
    assert run("cert", "self-signed", "--directory", certs).status == 0
    postern.config["certificates"] = {"directory": certs}
    environment = {"POSTERN": str(program()), "POSTERN_CONFIG": str(postern.path)}
    with LineServer() as server:
        port = postern.serve(server.server)
        postern.start()
        pebble.lego("run", "--run-hook", HOOK, environment=environment)
        context = ssl.create_default_context(cadata=pebble.root())
        with connect(port, context, name=HOST) as before:
            assert before.recv(100) == b"* OK server\r\n"
            first = serial(before)
            pebble.lego("renew", "--days", 9999, "--no-random-sleep", "--renew-hook", HOOK, environment=environment)
            with connect(port, context, name=HOST) as after:
                assert serial(after) != first
            # The connection of before goes on.
            before.sendall(b"still here\r\n")
            assert b"still here" in before.recv(100)
        assert postern.command("cert", "revert", HOST).status == 0
        assert postern.command("reload").status == 0
        with connect(port, context, name=HOST) as client:
            assert serial(client) == first


@pytest.mark.skipif(shutil.which("certbot") is None, reason="certbot is not installed")
def test_certbot_issues_and_renews_through_the_hook(postern, pebble):
    certs = postern.directory / "certs"
    assert run("cert", "self-signed", "--directory", certs).status == 0
    postern.config["certificates"] = {"directory": certs}
    environment = {"POSTERN": str(program()), "POSTERN_CONFIG": str(postern.path)}
    with LineServer() as server:
        port = postern.serve(server.server)
        postern.start()
        pebble.certbot("certonly", "--standalone", "--http-01-address", "127.0.0.1", "--http-01-port", pebble.http,
                       "--agree-tos", "--register-unsafely-without-email", "-d", HOST, "--deploy-hook", HOOK,
                       environment=environment)
        context = ssl.create_default_context(cadata=pebble.root())
        with connect(port, context, name=HOST) as client:
            first = serial(client)
        # What the first run was told is kept for renewals.
        pebble.certbot("renew", "--force-renewal", "--no-random-sleep-on-renew", environment=environment)
        with connect(port, context, name=HOST) as client:
            assert serial(client) != first


def test_hook_takes_what_certbot_hands_over(postern, pair):
    certs, lineage = postern.directory / "certs", postern.directory / "live"
    lineage.mkdir(mode=0o700)
    (lineage / "fullchain.pem").write_bytes(pair.certificate.read_bytes())
    (lineage / "privkey.pem").write_bytes(pair.key.read_bytes())
    assert run("cert", "self-signed", "--directory", certs).status == 0
    postern.config["certificates"] = {"directory": certs}
    environment = {**os.environ, "POSTERN": str(program()), "POSTERN_CONFIG": str(postern.path),
                   "RENEWED_LINEAGE": str(lineage), "RENEWED_DOMAINS": "localhost", "POSTERN_CERT_NAME": "default"}

    def hook(**more):
        return subprocess.run([HOOK], env={**environment, **more}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=DEADLINE_S)

    with LineServer() as server:
        port = postern.serve(server.server)
        postern.start()
        assert hook().returncode == 0
        with connect(port, postern.authority.context()) as client:
            assert client.recv(100) == b"* OK server\r\n"
        # A key of somebody else's: refused, told to the ACME client, and what serves goes on serving.
        openssl("genpkey", "-algorithm", "ed25519", "-out", lineage / "privkey.pem")
        refused = hook()
        assert refused.returncode == 1
        assert b"belongs to no certificate" in refused.stdout
        with connect(port, postern.authority.context()) as client:
            assert client.recv(100) == b"* OK server\r\n"
        assert hook(RENEWED_LINEAGE="").returncode == 2
