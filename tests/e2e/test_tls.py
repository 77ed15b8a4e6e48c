"""TLS as clients meet it: versions, tickets on any worker, certificates by name.

Shows the TLS side of row A1, D4 (session tickets whose keys all workers share), and the part of B8
that is here already (one certificate per name by SNI, a default without).
"""

import socket
import ssl

import pytest

from support.backends import Backend, LineServer
from support.clients import run
from support.tls import SUITES_12, common_name, connect, read_exactly
from support.waiting import wait_for

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
GREETING = b"* OK server\r\n"


@pytest.fixture
def server():
    with LineServer() as made:
        yield made


def greet(sock):
    assert read_exactly(sock, len(GREETING)) == GREETING


@pytest.mark.parametrize("version, shown", [(V12, "TLSv1.2"), (V13, "TLSv1.3")])
def test_both_versions_relay_and_are_logged(postern, server, version, shown):
    port = postern.serve(server.server)
    postern.start()
    with connect(port, postern.authority.context(version)) as client:
        greet(client)
        client.sendall(b"hello\n")
        assert read_exactly(client, 13) == b"server hello\n"
        assert client.version() == shown
        cipher = client.cipher()[0]
    line = postern.closed()
    assert (line["tls_version"], line["resumed"]) == (shown, "false")
    assert cipher == line["cipher"]


@pytest.mark.parametrize("suite", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
                                   "ECDHE-ECDSA-CHACHA20-POLY1305"])
def test_suites_of_tls_12(postern, server, suite):
    port = postern.serve(server.server)
    postern.start()
    context = postern.authority.context(V12)
    context.set_ciphers(suite)
    with connect(port, context) as client:
        greet(client)
        assert client.cipher()[0] == suite


def test_rsa_certificate(postern, server, authority):
    postern.config["certificates"]["pair"] = []
    postern.add_pair("rsa", authority.issue("rsa", algorithm="rsa:2048"))
    port = postern.serve(server.server)
    postern.start()
    for version in (V12, V13):
        with connect(port, authority.context(version)) as client:
            greet(client)
            assert common_name(client) == "rsa"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_older_version_is_refused_with_an_alert_and_the_reason(postern, server):
    port = postern.serve(server.server)
    postern.start()
    context = postern.authority.context()
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match="(?i)alert|version"):
        connect(port, context)
    line = postern.closed()
    assert (line["how"], line["failure"]) == ("handshake-failed", "no-shared-version")
    assert "TLSv1.1" in line["reason"]


def test_client_that_does_not_trust_the_certificate_is_named(postern, server):
    port = postern.serve(server.server)
    postern.start()
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(port, ssl.create_default_context())
    line = postern.closed()
    assert line["failure"] == "peer-alert"
    assert "unknown_ca" in line["reason"].replace(" ", "_")


def session_of(port, context, name="localhost"):
    """A session of a full handshake; TLS 1.3's ticket comes with the first octets of the server."""
    with connect(port, context, name=name) as client:
        greet(client)
        assert not client.session_reused
        return client.session


@pytest.mark.parametrize("version", [V12, V13])
def test_tickets_resume_on_every_worker(postern, server, version):
    port = postern.serve(server.server)
    postern.start()
    context = postern.authority.context(version)
    session = session_of(port, context)

    def resumed_everywhere():
        with connect(port, context, session=session) as client:
            greet(client)
            assert client.session_reused
        return all(worker["handshakes_resumed"] > 0 for worker in postern.workers())

    wait_for(resumed_everywhere, "a resumed handshake on every worker")
    assert postern.total("handshakes_full") == 1
    lines = postern.wait_for_lines("connection closed", postern.total("accepted"))
    assert [line["resumed"] for line in lines].count("false") == 1


def test_tickets_outlive_a_worker_and_a_reload(postern, server):
    port = postern.serve(server.server)
    postern.start()
    context = postern.authority.context(V13)
    session = session_of(port, context)
    postern.reload()
    with connect(port, context, session=session) as client:
        greet(client)
        assert client.session_reused


@pytest.mark.parametrize("version", [V12, V13])
def test_ticket_of_one_listener_is_not_resumed_on_another(postern, server, version):
    one = postern.serve(server.server, name="one")
    other = postern.add_listener("other", backend="one")
    postern.start()
    context = postern.authority.context(version)
    session = session_of(one, context)
    with connect(other, context, session=session) as client:
        greet(client)
        assert not client.session_reused
    with connect(one, context, session=session) as client:
        greet(client)
        assert client.session_reused


@pytest.mark.parametrize("version", [V12, V13])
def test_ticket_of_one_certificate_is_not_resumed_on_another(postern, server, authority, version):
    postern.add_pair("other", authority.issue("other", names=["other.example.test"]))
    port = postern.serve(server.server)
    postern.start()
    context = authority.context(version)
    session = session_of(port, context)
    with connect(port, context, name="other.example.test", session=session) as client:
        greet(client)
        assert not client.session_reused
        assert common_name(client) == "other"


def test_tickets_can_be_switched_off(postern, server):
    postern.config["tickets"] = {"enabled": False}
    port = postern.serve(server.server)
    postern.start()
    for version in (V12, V13):
        with connect(port, postern.authority.context(version)) as client:
            greet(client)
            assert client.session is None or not client.session.has_ticket


def test_s_client_resumes_from_a_saved_session(postern, server, directory):
    port = postern.serve(server.server, "imap")
    postern.start()
    # It goes on reading after its input has ended; the server's answer makes it end.
    base = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost",
            "-CAfile", postern.authority.ca, "-verify_return_error"]
    for version in ("-tls1_2", "-tls1_3"):
        saved = directory / f"session{version}"

        def handshake(option, version=version, saved=saved):
            script = '(echo hello; while ! grep -q "server hello" "$0"; do sleep 0.05; done) | "$@" > "$0"'
            out = directory / "out"
            out.write_bytes(b"")
            run(["sh", "-c", script, out, *base, version, option, saved])
            return out.read_bytes()

        assert b"\nNew, TLSv1" in handshake("-sess_out")
        assert b"\nReused, TLSv1" in handshake("-sess_in")


def test_certificate_by_name(postern, server, authority):
    for name in ("a", "b"):
        postern.add_pair(name, authority.issue(name, names=[f"{name}.example.test", f"*.{name}.example.test"]))
    postern.config["certificates"]["default"] = "localhost"
    port = postern.serve(server.server)
    postern.start()
    context = authority.context()
    for asked, served in (("a.example.test", "a"), ("b.example.test", "b"), ("localhost", "localhost"),
                          ("x.a.example.test", "a"), ("B.Example.TEST", "b")):
        with connect(port, context, name=asked) as client:
            assert common_name(client) == served
    # Nobody we know, and nobody at all: the default.
    context.check_hostname = False
    for asked in ("unknown.example.test", None):
        with connect(port, context, name=asked) as client:
            assert common_name(client) == "localhost"
    assert postern.closed(sni="x.a.example.test")["certificate"] == "a"


def test_chain_is_sent_whole(postern, server, authority, directory):
    """The file's intermediates go out with the certificate."""
    postern.config["certificates"]["pair"] = []
    leaf = authority.issue("leaf")
    chain = directory / "chain.pem"
    chain.write_bytes(leaf.certificate.read_bytes() + authority.ca.read_bytes())
    leaf.certificate = chain
    postern.add_pair("leaf", leaf)
    port = postern.serve(server.server)
    postern.start()
    out = run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-showcerts", "-CAfile", authority.ca]).stdout
    assert out.count(b"-----BEGIN CERTIFICATE-----") >= 2


def test_close_notify_ends_what_the_server_ended(postern):
    """A clean end behind is a clean end before: curl and others tell it from a cut-off stream."""
    with Backend() as backend:
        port = postern.serve(backend.server)
        postern.start()
        with connect(port, postern.authority.context()) as client:
            behind = backend.accept()
            behind.sendall(b"all")
            behind.close()
            assert read_exactly(client, 3) == b"all"
            assert client.recv(10) == b""  # an error without close_notify
    assert postern.closed()["how"] == "server-closed"


def test_many_small_records_come_through_in_order(postern, server):
    port = postern.serve(server.server)
    postern.start()
    with connect(port, postern.authority.context()) as client:
        greet(client)
        for number in range(500):
            client.send(b"%d\n" % number)
        expected = b"".join(b"server %d\n" % number for number in range(500))
        assert read_exactly(client, len(expected)) == expected


def test_handshake_in_single_octets(postern, server):
    port = postern.serve(server.server)
    postern.start()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = postern.authority.context()
    context.set_ciphers(SUITES_12)
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        done = False
        while not done:
            try:
                tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            for octet in outgoing.read():
                raw.sendall(bytes([octet]))
            if not done:
                incoming.write(raw.recv(65536))
        while True:
            try:
                assert tls.read(100) == GREETING
                break
            except ssl.SSLWantReadError:
                incoming.write(raw.recv(65536))
