"""Postern in front of Postern: one gives TLS to plain clients and leads them out, the other ends it before the servers.

The one behind is told by the PROXY protocol who the client is, and tells Dovecot and Postfix, whose logs show it.
"""

import imaplib
import poplib
import smtplib
import socket

import pytest

from conftest import _postern, _temporary
from support.dovecot import version as dovecot_version
from support.servers import PASSWORD, USER, servers_at
from support.tls import connect
from support.waiting import wait_for

CLIENT = "127.0.0.93"  # an address of this machine that nobody else uses


@pytest.fixture(scope="module")
def servers(pair):
    with _temporary("s") as path, servers_at(path, pair, believing=True) as made:
        yield made


@pytest.fixture
def behind(authority, pair):
    with _postern(authority, pair, workers=1) as made:
        yield made


def chain(postern, behind, servers, service, between, outer="off"):
    """A port of `postern`'s, in front of one of `behind`'s that is spoken to with TLS, before a server."""
    inner = behind.serve(f"localhost:{servers.port(service)}", service, tls=between, host_name="mx.example.test",
                         proxy_protocol="v2", proxy_from=["127.0.0.0/8"],
                         backend_settings={"identify_clients": True})
    behind.start()
    port = postern.serve(f"localhost:{inner}", service, tls=outer, host_name="out.example.test",
                         backend_settings={"proxy_protocol": "v2-tls", "tls": between, "tls_ca": postern.authority.ca})
    postern.start()
    return port


def use_imap(port):
    class Client(imaplib.IMAP4):
        def _create_socket(self, _timeout):
            return socket.create_connection(("127.0.0.1", port), source_address=(CLIENT, 0))

    client = Client()
    client.login(USER, PASSWORD)
    client.logout()


def use_pop3(port):
    class Client(poplib.POP3):
        def _create_socket(self, _timeout):
            return socket.create_connection(("127.0.0.1", port), source_address=(CLIENT, 0))

    client = Client("127.0.0.1", port)
    client.user(USER)
    client.pass_(PASSWORD)
    client.quit()


def use_smtp(port):
    with smtplib.SMTP("127.0.0.1", port, source_address=(CLIENT, 0)) as client:
        client.ehlo("client.example")
        assert not client.has_extn("STARTTLS") and client.has_extn("PIPELINING")
        assert client.mail("a@elsewhere.example")[0] == 250
        assert client.rcpt(USER)[0] == 250
        client.rset()


@pytest.mark.parametrize("between", ["implicit", "starttls"])
@pytest.mark.parametrize("service, use, words", [("imap", use_imap, ("imap-login", f"rip={CLIENT}")),
                                                 ("pop3", use_pop3, ("pop3-login", f"rip={CLIENT}")),
                                                 ("smtp", use_smtp, (f"[{CLIENT}]",))])
def test_plain_clients_go_out_and_in_again(postern, behind, servers, service, use, words, between):
    port = chain(postern, behind, servers, service, between)
    log = servers.log(service)
    before = len(log.read_text(errors="replace"))
    use(port)
    line = postern.closed()
    assert (line["tls"], line["how"] in ("client-closed", "server-closed")) == ("off", True), line
    inner = behind.closed()
    assert inner["tls"] == between and inner["sni"] == "localhost" and inner["tls_version"]
    assert inner["client"] == line["client"] and inner["client"].startswith(CLIENT)
    assert inner["proxy"].startswith("127.0.0.1:")
    wait_for(lambda: any(all(word in said for word in words)
                         for said in log.read_text(errors="replace")[before:].splitlines()), f"{words} in {log}")


@pytest.mark.parametrize("between", ["implicit", "starttls"])
def test_tls_in_front_and_between(postern, behind, servers, between):
    """A client's TLS ends at the first one, which begins its own towards the second one."""
    port = chain(postern, behind, servers, "imap", between, outer="implicit")
    with connect(port, postern.authority.context()) as sock, sock.makefile("rwb") as file:
        assert file.readline().startswith(b"* OK")
        file.write(f"a LOGIN {USER} {PASSWORD}\r\nb LOGOUT\r\n".encode())
        file.flush()
        assert b"b OK" in file.read()
    outer, inner = postern.closed(), behind.closed()
    assert (outer["tls"], inner["tls"]) == ("implicit", between)
    assert outer["client"] == inner["client"]


@pytest.mark.parametrize("between", ["implicit", "starttls"])
def test_sessions_between_them_are_resumed(postern, behind, servers, between):
    port = chain(postern, behind, servers, "imap", between)
    for _ in range(4):
        use_imap(port)
    resumed = [line["resumed"] for line in behind.wait_for_lines("connection closed", 4)]
    # The two workers of the first one keep what they know to themselves.
    assert resumed[0] == "false" and resumed.count("true") >= 2, resumed


@pytest.mark.parametrize("outer, answer", [("implicit", b"a OK"), ("off", b"a NO [PRIVACYREQUIRED]")])
def test_the_server_hears_of_tls_that_ended_at_the_first_one(postern, behind, servers, outer, answer):
    """Dovecot takes passwords of this client over TLS alone, and Postern's own word for that from two steps away."""
    stranger = "192.0.2.99"
    if dovecot_version() >= (2, 4):
        answer = b"a OK"  # it takes what comes over the loopback interface for secured, whoever the client is said to be
    inner = behind.serve(f"127.0.0.1:{servers.port('imap_proxied')}", "imap", tls="off", proxy_protocol="v2",
                         proxy_from=["127.0.0.0/8"], backend_settings={"proxy_protocol": "v2-tls"})
    behind.start()
    port = postern.serve(f"127.0.0.1:{inner}", "imap", tls=outer, proxy_protocol="v1", proxy_from=["127.0.0.0/8"],
                         backend_settings={"proxy_protocol": "v2-tls"})
    postern.start()
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(f"PROXY TCP4 {stranger} 127.0.0.1 40000 993\r\n".encode())
        if outer == "implicit":
            sock = postern.authority.context().wrap_socket(sock, server_hostname="localhost")
        with sock, sock.makefile("rwb") as file:
            assert file.readline().startswith(b"* OK")
            file.write(f"a LOGIN {USER} {PASSWORD}\r\nb LOGOUT\r\n".encode())
            file.flush()
            assert answer in file.read()
    told, line = behind.closed(), postern.closed()
    assert told["client"] == line["client"] == f"{stranger}:40000"
    assert told["connection_id"] == line["connection_id"]
    assert told["tls"] == "off" and told.get("proxy_tls") == line.get("tls_version")


def test_a_second_one_that_is_somebody_else_gets_no_client(postern, behind, servers):
    port = chain(postern, behind, servers, "imap", "implicit")
    postern.config["backends"]["test"]["tls_name"] = "other.example"
    postern.reload()
    with socket.create_connection(("127.0.0.1", port)) as sock:
        assert sock.recv(1000).startswith(b"* BYE [UNAVAILABLE]")
    assert "other.example" in postern.wait_for_lines("connection closed", how="backend-unreachable")[0]["reason"]
    # It hears why: RFC 8446 section 6.2.
    refused = behind.wait_for_lines("connection closed", how="handshake-failed")[0]
    assert "alert" in refused["reason"], refused
