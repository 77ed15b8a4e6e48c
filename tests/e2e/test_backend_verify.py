"""TLS towards servers: what is believed of them, and what is said when it is not.

Servers are `openssl s_server`s, which answer what a line says turned around (-rev).
"""

import re
import socket
import ssl
import subprocess

import pytest

from support.ports import free_port
from support.process import Process
from support.tls import Authority, Pair, connect, openssl, read_exactly
from support.waiting import wait_for

pytestmark = pytest.mark.usefixtures("directory")


class SServer:
    """OpenSSL's own server with a pair; further options as on its command line."""

    def __init__(self, directory, pair, *options):
        self.port = free_port()
        self.server = f"localhost:{self.port}"
        self.process = Process(["openssl", "s_server", "-accept", f"127.0.0.1:{self.port}", "-cert", pair.certificate,
                                "-key", pair.key, "-rev", *options], directory / f"s_server-{self.port}.log")
        wait_for(self._listens, "openssl s_server to listen")

    def _listens(self):
        assert self.process.running(), self.process.text()
        return "ACCEPT" in self.process.text()

    def stop(self):
        self.process.kill()


@pytest.fixture
def s_server(directory):
    running = []

    def start(pair, *options):
        running.append(SServer(directory, pair, *options))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture(scope="module")
def strangers(tmp_path_factory):
    """An authority that nobody trusts."""
    return Authority(tmp_path_factory.mktemp("strangers"))


def self_signed(directory, name):
    pair = Pair(directory / "self.crt", directory / "self.key")
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 30, "-subj",
            f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", pair.key, "-out", pair.certificate)
    return pair


def attempt(postern, port):
    """What the server answers through the listener, or why there is none, as the log has it."""
    refused = len(postern.lines("connection closed", how="backend-unreachable"))
    answer = b""
    try:
        with connect(port, postern.authority.context()) as client:
            client.sendall(b"abc\n")
            answer = client.recv(100)
    except (ssl.SSLError, ConnectionError):
        pass
    if answer == b"cba\n":
        return "served"
    return postern.wait_for_lines("connection closed", refused + 1, how="backend-unreachable")[-1]["reason"]


def test_servers_are_verified(postern, authority, strangers, directory, s_server):
    good = s_server(authority.issue("good"))
    other = s_server(authority.issue("other", names=("a.example", "b.example")))
    late = s_server(authority.issue("late", expired=True))
    stranger = s_server(strangers.issue("stranger"))
    alone = s_server(own := self_signed(directory, "localhost"))
    ports = {}

    def add(name, server, **settings):
        postern.add_backend(name, server.server, tls="implicit", **{"tls_ca": authority.ca, **settings})
        ports[name] = postern.add_listener(name, "raw", name)

    add("good", good)
    add("other", other)
    add("other-named", other, tls_name="b.example")
    add("late", late)
    add("stranger", stranger)
    add("alone", alone)
    add("alone-trusted", alone, tls_ca=own.certificate)
    add("address", good, tls_name="127.0.0.1")
    postern.add_backend("any", stranger.server, tls="implicit", tls_verify=False)
    ports["any"] = postern.add_listener("any", "raw", "any")
    postern.start()

    for name in ("good", "other-named", "alone-trusted", "address", "any"):
        assert attempt(postern, ports[name]) == "served", name
    reason = attempt(postern, ports["other"])
    assert "the server's certificate is for a.example, b.example, 127.0.0.1" in reason, reason
    assert 'not for localhost; if it is the right server, write tls_name = "a.example"' in reason, reason
    for name, why in (("late", r"\(CN=late\) expired at 2020-02-01"),
                      ("stranger", r"\(CN=stranger\) is from an authority \(CN=Tests\) that is not trusted"),
                      ("alone", r"\(CN=localhost\) is self-signed and not trusted")):
        reason = attempt(postern, ports[name])
        assert re.search(f"the server's certificate {why}.* \\(it is for localhost.*; localhost was expected\\)", reason), reason


def test_oldest_version(postern, authority, s_server):
    server = s_server(authority.issue("v12"), "-tls1_2")
    settings = {"tls": "implicit", "tls_ca": authority.ca}
    postern.add_backend("new", server.server, **settings, tls_min_version="TLSv1.3")
    postern.add_backend("old", server.server, **settings)
    new, old = (postern.add_listener(name, "raw", name) for name in ("new", "old"))
    postern.start()
    assert attempt(postern, old) == "served"
    assert 'it speaks no version from tls_min_version = "TLSv1.3" on' in attempt(postern, new)


def test_our_certificate_is_shown_to_servers_that_ask(postern, authority, strangers, s_server):
    for version in ("-tls1_2", "-tls1_3"):
        server = s_server(authority.issue("asking"), version, "-Verify", "1", "-verify_return_error", "-CAfile",
                          authority.ca)
        settings = {"tls": "implicit", "tls_ca": authority.ca}
        for name, own in (("ours", authority.issue("us")), ("theirs", strangers.issue("us")), ("none", None)):
            shown = {} if own is None else {"tls_certificate": own.certificate, "tls_key": own.key}
            postern.add_backend(name + version, server.server, **settings, **shown)
    ports = {name: postern.add_listener(name, "raw", name) for name in postern.config["backends"]}
    postern.start()
    for version in ("-tls1_2", "-tls1_3"):
        assert attempt(postern, ports["ours" + version]) == "served"
    assert "alert" in attempt(postern, ports["none-tls1_2"])
    assert "alert unknown_ca: it refuses our certificate" in attempt(postern, ports["theirs-tls1_2"])


def test_plain_text_on_the_port(postern, authority, directory):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = f"localhost:{listener.getsockname()[1]}"
        port = postern.serve(server, "raw", backend_settings={"tls": "implicit", "tls_ca": authority.ca})
        postern.start()
        with connect(port, authority.context()):
            taken = listener.accept()[0]
            with taken:
                taken.sendall(b"220 mail.example.com ESMTP\r\n")
                line = postern.closed()
    assert "answered in plain text (220 mail.example.com ESMTP): its port wants tls = \"starttls\"" in line["reason"]


def test_faults_of_tls_towards_servers_are_shown_with_the_line(postern, authority, tmp_path):
    us, them = authority.issue("us"), authority.issue("them")
    own = {"tls": "implicit", "tls_ca": authority.ca}
    postern.add_backend("a", "a.invalid:993", tls="implicit", tls_ca=tmp_path / "none.pem")
    postern.add_backend("b", "b.invalid:993", **own, tls_certificate=us.certificate, tls_key=them.key)
    for name in ("a", "b"):
        postern.add_listener(name, "imap", name)
    postern.write()
    answer = postern.command("check")
    assert answer.status == 1
    assert re.search(r"postern\.toml:\d+:\d+: cannot open \S+none\.pem: ", answer.text), answer
    assert re.search(r"postern\.toml:\d+:\d+: the key in \S+them\.key .* does not belong to the certificate in "
                     r"\S+us\.crt", answer.text), answer

    # With a fault of the file itself, those of the files that it names are shown all the same.
    postern.config["listeners"]["b"]["colour"] = "red"
    postern.write()
    answer = postern.command("check")
    assert "unknown key \"colour\"" in answer.text and "none.pem: " in answer.text, answer
    assert "does not belong to the certificate" in answer.text, answer
    del postern.config["listeners"]["b"]["colour"]

    # Keys that would do nothing, and a service without STARTTLS, before any file is looked at.
    postern.config["backends"]["a"] = {"servers": ["a.invalid:80"], "tls_verify": True}
    postern.config["backends"]["b"] = {"servers": ["b.invalid:80"], "tls": "starttls"}
    postern.config["listeners"]["b"]["service"] = "http"
    postern.write()
    answer = postern.command("check")
    assert re.search(r":\d+:\d+: tls_verify in \[backends\.a\] is of no use while tls is \"off\"; ", answer.text), answer
    assert re.search(r":\d+:\d+: tls = \"starttls\" in \[backends\.b\], but \[listeners\.b\] uses it for service "
                     r"\"http\"", answer.text), answer


def test_our_pair_for_servers_is_listed_checked_and_reloaded(postern, authority, directory, s_server):
    us, late = authority.issue("us"), authority.issue("us", expired=True)
    settings = {"tls": "implicit", "tls_ca": authority.ca, "tls_certificate": us.certificate, "tls_key": us.key}
    postern.serve(s_server(authority.issue("server")).server, backend_settings=settings)
    postern.start()
    listed = postern.command("cert", "list")
    assert re.search(r"backend:test\n(  .*\n)*  used by  back end test, towards its servers\n", listed.text), listed
    assert "for the servers of test" in postern.command("check").text

    # A pair that is none is refused at a reload, and what serves goes on serving.
    kept = us.key.read_bytes()
    us.key.write_bytes(late.key.read_bytes())
    answer = postern.command("reload")
    assert answer.status == 1 and "does not belong to the certificate" in answer.text, answer
    us.key.write_bytes(kept)
    late.put_in_place_of(us)
    assert "expired at" in postern.reload().text + postern.command("check").text
    assert len(postern.lines("reloaded")) == 1
