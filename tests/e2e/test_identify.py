"""Who the client is, told to the servers behind in their own words: XCLIENT and ID.

Shows a part of row A8, against Postfix and Dovecot, whose own logs tell whom they have seen. The client's
address comes by a PROXY header in front, so that it is not that of the machine.
"""

import os
import socket

import pytest

from conftest import DOMAIN, _temporary
from support.backends import LineServer
from support.dovecot import Dovecot
from support.postfix import Postfix
from support.tls import read_to_end
from support.waiting import wait_for

CLIENT = "192.0.2.77"
USER, PASSWORD = f"someone@{DOMAIN}", "secret"


class Believing:
    """Dovecot and Postfix that believe what 127.0.0.1 says of its clients."""

    def __init__(self, path, pair):
        for name in ("d", "p"):
            (path / name).mkdir()
        self.directory = path / "d"
        self.dovecot = Dovecot(path / "d", {USER: PASSWORD}, pair, trusted="127.0.0.0/8")
        try:
            self.postfix = Postfix(path / "p", self.dovecot.port("lmtp"), self.dovecot.auth_socket, pair,
                                   "smtpd_authorized_xclient_hosts = 127.0.0.0/8\n"
                                   "smtpd_client_restrictions = check_client_access inline:{{192.0.2.66 = REJECT}}\n"
                                   "smtpd_delay_reject = no")
        except BaseException:
            self.dovecot.stop()
            raise

    def stop(self):
        self.postfix.stop()
        self.dovecot.stop()


@pytest.fixture(scope="module")
def believing(pair):
    if os.geteuid() != 0:
        pytest.skip("Dovecot and Postfix change users, which takes root")
    with _temporary("b") as path:
        made = Believing(path, pair)
        yield made
        made.stop()


def connect(port, authority, client=CLIENT):
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(f"PROXY TCP4 {client} 198.51.100.2 56324 993\r\n".encode())
    return authority.context().wrap_socket(sock, server_hostname="localhost")


def serve(postern, port, service, **backend):
    listener = postern.serve(f"localhost:{port}", service, proxy_protocol="any", proxy_from=["127.0.0.0/8"],
                             backend_settings={"identify_clients": True, **backend})
    postern.start()
    return listener


def read_until(sock, *words):
    got = b""
    while not any(word in got for word in words):
        part = sock.recv(4096)
        assert part, got
        got += part
    return got


def log_has(log, *words):
    wait_for(lambda: any(all(word in line for word in words)
                         for line in log.read_text(errors="replace").splitlines()), f"{words} in {log}")


def backend_tls(postern, mode):
    return {} if mode == "off" else {"tls": mode, "tls_ca": postern.authority.ca}


@pytest.mark.parametrize("mode", ["off", "starttls"])
def test_postfix_sees_the_client(postern, believing, mode):
    port = serve(postern, believing.postfix.port("smtp"), "smtp", **backend_tls(postern, mode))
    with connect(port, postern.authority) as sock:
        assert read_until(sock, b"\r\n").startswith(b"220 ")
        sock.sendall(b"EHLO client.example\r\n")
        answer = read_until(sock, b"\r\n250 ")
        assert b"XCLIENT" not in answer and b"STARTTLS" not in answer and b"PIPELINING" in answer
        sock.sendall(f"MAIL FROM:<a@elsewhere.example>\r\nRCPT TO:<{USER}>\r\nQUIT\r\n".encode())
        read_until(sock, b"221 ")
    log_has(believing.postfix.directory / "postfix.log", "unknown[192.0.2.77]")
    assert postern.closed()["connection_id"]


def test_postfix_refuses_the_client_in_its_own_words(postern, believing):
    port = serve(postern, believing.postfix.port("smtp"), "smtp")
    with connect(port, postern.authority, "192.0.2.66") as sock:
        heard = read_to_end(sock)
    assert heard.startswith(b"554 5.7.1 ") and b"192.0.2.66" in heard, heard
    assert postern.closed()["how"] == "server-closed"


def test_a_client_that_sends_xclient_itself_is_refused(postern, believing):
    port = serve(postern, believing.postfix.port("smtp"), "smtp")
    with connect(port, postern.authority) as sock:
        read_until(sock, b"\r\n")
        sock.sendall(b"EHLO client.example\r\n")
        read_until(sock, b"\r\n250 ")
        sock.sendall(b"XCLIENT ADDR=127.0.0.1\r\n")
        assert read_until(sock, b"\r\n").startswith(b"550 5.7.0 ")


@pytest.mark.parametrize("mode", ["off", "starttls"])
@pytest.mark.parametrize("service", ["imap", "pop3"])
def test_dovecot_sees_the_client(postern, believing, service, mode):
    port = serve(postern, believing.dovecot.port(service), service, **backend_tls(postern, mode))
    with connect(port, postern.authority) as sock:
        greeting = read_until(sock, b"\r\n")
        assert b"XCLIENT" not in greeting and b"STARTTLS" not in greeting
        if service == "imap":
            sock.sendall(f"a LOGIN {USER} {PASSWORD}\r\n".encode())
            read_until(sock, b"a OK")
        else:
            sock.sendall(f"USER {USER}\r\n".encode())
            read_until(sock, b"+OK")
            sock.sendall(f"PASS {PASSWORD}\r\n".encode())
            read_until(sock, b"+OK Logged in")
    log_has(believing.dovecot.directory / "dovecot.log", f"{service}-login", f"rip={CLIENT}")


@pytest.mark.parametrize("service, words, setting", [("smtp", b"421 ", "smtpd_authorized_xclient_hosts"),
                                                     ("pop3", b"-ERR ", "login_trusted_networks")])
def test_a_server_that_does_not_believe_gets_no_client(postern, mail_system, service, words, setting):
    server = mail_system.postfix if service == "smtp" else mail_system.dovecot
    port = serve(postern, server.port(service), service)
    with connect(port, postern.authority) as sock:
        assert read_to_end(sock).startswith(words)
    line = postern.closed()
    assert line["how"] == "backend-unreachable"
    assert setting in line["reason"]
