"""Connections that begin in plain text: STARTTLS, optional TLS, no TLS, and what must not get through.

Shows rows A1 to A3 with a small client of its own; test_starttls.py has the real ones.
"""

import contextlib
import signal
import socket
import time

import pytest

from conftest import _postern
from support.backends import Backend, LineServer
from support.clients import curl
from support.tls import read_to_end
from support.waiting import wait_for

# service, a command in front, the command for TLS, how the answer to it begins
STARTS = {
    "imap": (None, b"a STARTTLS\r\n", b"a OK"),
    "pop3": (None, b"STLS\r\n", b"+OK"),
    "smtp": (b"EHLO client.example\r\n", b"STARTTLS\r\n", b"220"),
    "submission": (b"EHLO client.example\r\n", b"STARTTLS\r\n", b"220"),
    "lmtp": (b"LHLO client.example\r\n", b"STARTTLS\r\n", b"220"),
    "sieve": (None, b"STARTTLS\r\n", b"OK"),
}


class Client:
    """A plain connection that reads lines."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def line(self):
        """The next line, or what there is of it before the end."""
        got = b""
        while not got.endswith(b"\n"):
            octet = self.sock.recv(1)
            if not octet:
                break
            got += octet
        return got

    def until(self, *beginnings):
        """Lines up to the first that begins so; all of them."""
        got = b""
        while True:
            line = self.line()
            got += line
            if not line or line.startswith(beginnings):
                return got

    def say(self, octets):
        self.sock.sendall(octets)

    def greeting(self, service):
        return self.until(b"OK") if service == "sieve" else self.line()

    def secure(self, authority):
        self.sock = authority.context().wrap_socket(self.sock, server_hostname="localhost",
                                                    suppress_ragged_eofs=False)
        return self.sock

    def begin_tls(self, service, authority):
        hello, command, answer = STARTS[service]
        self.greeting(service)
        if hello:
            self.say(hello)
            self.until(b"250 ")
        self.say(command)
        assert self.line().startswith(answer)
        return self.secure(authority)


@pytest.fixture
def server():
    with LineServer() as made:
        yield made


def serve(postern, server, service, tls="starttls", **settings):
    port = postern.serve(server.server, service, tls=tls, **settings)
    postern.start()
    return port


def read_until(sock, words):
    got = b""
    while words not in got:
        part = sock.recv(4096)
        assert part, got
        got += part
    return got


@pytest.mark.parametrize("service, command, answer", [
    ("imap", b"x CAPABILITY\r\n", b"x OK"), ("pop3", b"CAPA\r\n", b"\r\n.\r\n"), ("smtp", b"EHLO c.example\r\n", b"250 ")])
def test_starttls_leads_to_the_server_behind(postern, demo, service, command, answer):
    port = postern.serve(demo.addresses[service], service, tls="starttls")
    postern.start()
    with Client(port) as client:
        sock = client.begin_tls(service, postern.authority)
        assert sock.version() in ("TLSv1.3", "TLSv1.2")
        sock.sendall(command)
        read_until(sock, answer)
    line = postern.closed()
    assert line["tls"] == "starttls"
    assert line["tls_version"]


@pytest.mark.parametrize("service", sorted(STARTS))
def test_octets_behind_the_command_for_tls_reach_nobody(postern, server, service):
    hello, command, answer = STARTS[service]
    port = serve(postern, server, service)
    with Client(port) as client:
        client.greeting(service)
        if hello:
            client.say(hello)
            client.until(b"250 ")
        client.say(command + b"NOOP injected\r\n")
        rest = read_to_end(client.sock)
        assert not rest.startswith(answer), rest
    line = postern.closed()
    assert (line["how"], line["dialog"]) == ("dialog-refused", "injection")
    assert line["bytes_in"] == "0"
    assert "server" not in line, "no server has been spoken to"


@pytest.mark.parametrize("pause", [0.0, 0.05])
def test_octets_between_the_answer_and_the_handshake_reach_nobody(postern, server, pause):
    port = serve(postern, server, "imap")
    with Client(port) as client:
        client.greeting("imap")
        client.say(b"a STARTTLS\r\n")
        assert client.line().startswith(b"a OK")
        time.sleep(pause)
        client.say(b"b LOGIN me secret\r\n")
        with contextlib.suppress(OSError):  # a client that is not read from may see a reset
            read_to_end(client.sock)
    line = postern.closed()
    assert (line["how"], line["failure"]) == ("handshake-failed", "plain-text")
    assert "server" not in line


def test_what_was_said_before_tls_is_forgotten(postern, server):
    """RFC 3207 section 4.2: the client begins anew, and the server behind has heard nothing."""
    port = serve(postern, server, "imap")
    with Client(port) as client:
        client.greeting("imap")
        client.say(b"a LOGIN before secret\r\n")
        assert client.line().startswith(b"a NO")
        assert server.accepted == 0
        client.say(b"b STARTTLS\r\n")
        assert client.line().startswith(b"b OK")
        sock = client.secure(postern.authority)
        sock.sendall(b"after\r\n")
        assert b"before" not in read_until(sock, b"server after")
    assert server.accepted == 1


@pytest.mark.parametrize("service, command, refusal", [
    ("imap", b"a LOGIN me secret\r\n", b"a NO [PRIVACYREQUIRED]"),
    ("pop3", b"USER me\r\n", b"-ERR"),
    ("smtp", b"MAIL FROM:<a@b.example>\r\n", b"530 5.7.0"),
    ("lmtp", b"MAIL FROM:<a@b.example>\r\n", b"530 5.7.0"),
    ("sieve", b'AUTHENTICATE "PLAIN"\r\n', b"NO (ENCRYPT-NEEDED)"),
])
def test_without_tls_nothing_is_passed_on(postern, server, service, command, refusal):
    port = serve(postern, server, service)
    with Client(port) as client:
        client.greeting(service)
        client.say(command)
        assert client.line().startswith(refusal)
    line = postern.closed()
    assert line["tls"] == "off"
    assert "server" not in line


def test_tls_off_is_a_plain_relay(postern, server):
    port = serve(postern, server, "raw", "off")
    with Client(port) as client:
        assert client.line().startswith(b"* OK")
        client.say(b"hello there\r\n")
        assert b"hello there" in client.line()
        client.sock.shutdown(socket.SHUT_WR)
        read_to_end(client.sock)
    line = postern.closed()
    assert (line["tls"], line["how"]) == ("off", "client-closed")
    assert "tls_version" not in line
    assert postern.total("plain") == 1


def test_auto_takes_tls_at_once_and_greets_who_waits(postern, server):
    port = serve(postern, server, "imap", "auto")
    with Client(port) as client:
        began = time.monotonic()
        sock = client.secure(postern.authority)
        assert sock.recv(100).startswith(b"* OK")
        assert time.monotonic() - began < 2.5
    with Client(port) as client:
        began = time.monotonic()
        greeting = client.line()
        assert greeting.startswith(b"* OK") and b"STARTTLS" in greeting
        assert 2.5 < time.monotonic() - began
        client.say(b"a STARTTLS\r\n")
        assert client.line().startswith(b"a OK")
        client.secure(postern.authority)
    kinds = {line["tls"] for line in postern.wait_for_lines("connection closed", 2)}
    assert kinds == {"implicit", "starttls"}


def test_auto_http_in_plain_text_and_over_tls(postern, demo):
    port = postern.serve(demo.addresses["http"], "http", tls="auto", require_tls=False)
    postern.start()
    curl(f"http://localhost:{port}/", ca=postern.authority.ca)
    curl(f"https://localhost:{port}/", ca=postern.authority.ca)
    assert {line["tls"] for line in postern.wait_for_lines("connection closed", 2)} == {"off", "implicit"}


def test_greeting_delay(postern, server):
    port = serve(postern, server, "smtp", greeting_delay="1s")
    with Client(port) as client:
        client.say(b"EHLO bot.example\r\n")
        assert read_to_end(client.sock).startswith(b"554 5.5.0 ")
    line = postern.closed()
    assert (line["how"], line["dialog"]) == ("dialog-refused", "spoke-first")
    with Client(port) as client:
        began = time.monotonic()
        assert client.line().startswith(b"220 ")
        assert time.monotonic() - began > 0.9


def test_the_dialog_has_its_time(postern, server):
    port = serve(postern, server, "imap", dialog_timeout="700ms")
    with Client(port) as client:
        client.greeting("imap")
        for number in range(3):  # who says something now and then gets no more time
            client.say(b"a%d NOOP\r\n" % number)
            client.line()
            time.sleep(0.1)
        assert read_to_end(client.sock).startswith(b"* BYE ")
    line = postern.closed()
    assert (line["how"], line["dialog"]) == ("dialog-timeout", "timeout")


def test_a_server_may_let_its_greeting_wait(postern):
    """As postscreen does, for six seconds: longer than connecting may take."""
    with Backend() as server:
        port = serve(postern, server, "pop3", backend_settings={"connect_timeout": "500ms"})
        with Client(port) as client:
            sock = client.begin_tls("pop3", postern.authority)
            behind = server.accept()
            time.sleep(1.5)
            behind.sendall(b"+OK at last\r\n")
            sock.sendall(b"NOOP\r\n")
            assert behind.recv(100) == b"NOOP\r\n"
            behind.close()


def test_a_server_that_never_greets_is_left_in_its_time(postern):
    with Backend() as server:
        port = serve(postern, server, "pop3", backend_settings={"greeting_timeout": "300ms"})
        with Client(port) as client:
            assert b"-ERR [SYS/TEMP]" in read_to_end(client.begin_tls("pop3", postern.authority))
    assert "does not answer in time" in postern.closed(how="backend-unreachable")["reason"]


def test_host_name_stands_in_the_greeting(postern, server):
    port = serve(postern, server, "smtp", host_name="mail.example.com")
    with Client(port) as client:
        assert client.line() == b"220 mail.example.com ESMTP\r\n"


def test_a_stop_is_said_in_the_dialog(postern, server):
    postern.config["timeouts"]["drain"] = "0s"
    port = serve(postern, server, "smtp")
    with Client(port) as client:
        client.line()
        postern.send(signal.SIGTERM)
        assert read_to_end(client.sock).startswith(b"421 4.3.2 ")
    wait_for(lambda: postern.lines("connection closed", how="drained", dialog="stopped"), "the line of the log")


def test_a_reload_leaves_dialogs_alone(postern, server):
    """A session ends on the generation that it began with: certificates, too."""
    port = serve(postern, server, "imap")
    with Client(port) as client:
        client.greeting("imap")
        postern.config["listeners"]["test"]["idle_timeout"] = "40m"
        postern.reload()
        client.say(b"a STARTTLS\r\n")
        assert client.line().startswith(b"a OK")
        sock = client.secure(postern.authority)
        sock.sendall(b"after\r\n")
        read_until(sock, b"server after")
    assert postern.closed()["generation"] == "1"


@pytest.mark.parametrize("tls", ["implicit", "auto"])
def test_a_browser_that_comes_without_tls_is_sent_to_https(postern, demo, tls):
    port = postern.serve(demo.addresses["http"], "http", tls=tls)
    postern.start()
    done = curl(f"http://localhost:{port}/", "-L", "--proto-redir", "=https", "-w", "%{url_effective} %{num_redirects}",
                ca=postern.authority.ca)
    assert f"https://localhost:{port}/ 1".encode() in done.stdout
    assert postern.wait_for_lines("connection closed", how="handshake-failed", failure="plain-http")


@pytest.fixture
def postern_behind(authority, pair):
    with _postern(authority, pair) as made:
        yield made


def test_postern_in_front_of_postern(postern, postern_behind, server):
    """The one in front passes octets as they come, the one behind speaks to the client and ends its TLS."""
    behind = postern_behind.serve(server.server, "imap", tls="starttls", proxy_protocol="v2",
                                  proxy_from=["127.0.0.0/8"])
    postern_behind.start()
    port = postern.serve(f"127.0.0.1:{behind}", "raw", tls="off", backend_settings={"proxy_protocol": "v2-tls"})
    postern.start()
    with Client(port) as client:
        address = "%s:%d" % client.sock.getsockname()
        sock = client.begin_tls("imap", postern.authority)
        for number in range(20):
            sock.sendall(b"x" * (number * 997) + b"\r\n")
            read_until(sock, b"x" * (number * 997) + b"\r\n")
    assert postern.closed()["tls"] == "off"
    line = postern_behind.closed()
    assert (line["tls"], line["client"]) == ("starttls", address)
    with Client(port) as client:
        client.greeting("imap")
        client.say(b"a STARTTLS\r\nb LOGIN me secret\r\n")
        read_to_end(client.sock)
    assert postern_behind.wait_for_lines("connection closed", dialog="injection")
    assert server.accepted == 1


def test_counters_of_dialogs(postern, server):
    port = serve(postern, server, "imap")
    with Client(port) as client:
        client.greeting("imap")
        client.say(b"a LOGOUT\r\n")
        read_to_end(client.sock)
    with Client(port) as client:
        client.greeting("imap")
        client.say(b"a STARTTLS\r\nb NOOP\r\n")
        read_to_end(client.sock)
    wait_for(lambda: len(postern.lines("connection closed")) == 2, "both to be over")
    ends = [worker["dialogs_ended"] for worker in postern.workers()]
    assert sum(each["quit"] for each in ends) == sum(each["injection"] for each in ends) == 1
