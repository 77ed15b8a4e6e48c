"""Who the client is, told to the servers behind in their own words: XCLIENT and ID.

Shows a part of row A8, against Postfix and Dovecot, whose own logs tell whom they have seen. The client's
address comes by a PROXY header in front, so that it is not that of the machine.
"""

import base64
import socket

import pytest

from conftest import _temporary
from support.servers import PASSWORD, REFUSED, USER, servers_at
from support.tls import read_to_end
from support.waiting import wait_for

CLIENT = "192.0.2.77"


@pytest.fixture(scope="module")
def believing(pair):
    with _temporary("b") as path, servers_at(path, pair, believing=True) as made:
        yield made


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
    with connect(port, postern.authority, REFUSED) as sock:
        heard = read_to_end(sock)
    assert heard.startswith(b"554 5.7.1 ") and REFUSED.encode() in heard, heard
    assert postern.closed()["how"] == "server-closed"


def test_a_client_that_sends_xclient_itself_is_refused(postern, believing):
    port = serve(postern, believing.postfix.port("smtp"), "smtp")
    with connect(port, postern.authority) as sock:
        read_until(sock, b"\r\n")
        sock.sendall(b"EHLO client.example\r\n")
        read_until(sock, b"\r\n250 ")
        sock.sendall(b"XCLIENT ADDR=127.0.0.1\r\n")
        assert read_until(sock, b"\r\n").startswith(b"500 5.5.2 ")


@pytest.mark.parametrize("mode", ["off", "starttls"])
@pytest.mark.parametrize("service", ["imap", "pop3", "sieve"])
def test_dovecot_sees_the_client(postern, believing, service, mode):
    port = serve(postern, believing.dovecot.port(service), service, **backend_tls(postern, mode))
    with connect(port, postern.authority) as sock:
        greeting = read_until(sock, b"ready", b"TLS negotiation")
        assert b"XCLIENT" not in greeting and b"STARTTLS" not in greeting
        if service == "sieve":
            credentials = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
            sock.sendall(f'AUTHENTICATE "PLAIN" "{credentials}"\r\n'.encode())
            read_until(sock, b"Logged in")
        elif service == "imap":
            sock.sendall(f"a LOGIN {USER} {PASSWORD}\r\n".encode())
            read_until(sock, b"a OK")
        else:
            sock.sendall(f"USER {USER}\r\n".encode())
            read_until(sock, b"+OK")
            sock.sendall(f"PASS {PASSWORD}\r\n".encode())
            read_until(sock, b"+OK Logged in")
    log_has(believing.log(service), "managesieve-login" if service == "sieve" else f"{service}-login", f"rip={CLIENT}",
            f"session=<{postern.closed()['connection_id']}>")


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


@pytest.mark.parametrize("mode", ["off", "starttls", "implicit"])
def test_dovecots_submission_sees_the_client(postern, believing, mode):
    server = believing.port("submission" if mode != "implicit" else "submissions")
    port = serve(postern, server, "submission", **backend_tls(postern, mode))
    with connect(port, postern.authority) as sock:
        assert read_until(sock, b"\r\n").startswith(b"220 ")
        sock.sendall(b"EHLO client.example\r\n")
        answer = read_until(sock, b"\r\n250 ")
        assert b"XCLIENT" not in answer and b"STARTTLS" not in answer and b"AUTH PLAIN" in answer
        credentials = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode())
        sock.sendall(b"AUTH PLAIN " + credentials + b"\r\n")
        read_until(sock, b"235 ")
    log_has(believing.log("submission"), "submission-login", f"rip={CLIENT}")


@pytest.mark.parametrize("mode", ["off", "starttls", "implicit"])
def test_dovecots_lmtp_sees_the_client(postern, believing, mode):
    server = believing.port("lmtp" if mode != "implicit" else "lmtps")
    port = serve(postern, server, "lmtp", **backend_tls(postern, mode))
    client = f"192.0.2.{100 + len(mode)}"
    with connect(port, postern.authority, client) as sock:
        assert read_until(sock, b"\r\n").startswith(b"220 ")
        sock.sendall(b"LHLO client.example\r\n")
        answer = read_until(sock, b"\r\n250 ")
        assert b"XCLIENT" not in answer and b"STARTTLS" not in answer
        sock.sendall(f"MAIL FROM:<a@elsewhere.example>\r\nRCPT TO:<{USER}>\r\nDATA\r\n".encode())
        read_until(sock, b"354 ")
        sock.sendall(b"Subject: " + mode.encode() + b"\r\n\r\nbody\r\n.\r\nQUIT\r\n")
        read_until(sock, b"221 ")
    # Dovecot writes into the mail whom it had it from.
    mailbox = believing.directory / "mail" / USER / "new"
    wait_for(lambda: any(f"[{client}]" in mail.read_text() for mail in mailbox.glob("*")), f"{client} in a mail")
