"""TLS towards the servers behind, from the first octet and by STARTTLS, with Dovecot and Postfix."""

import contextlib
import os
import socket
import ssl
import threading

import pytest

from conftest import _temporary
from support.servers import servers_at
from support.tls import read_to_end

GREETINGS = {"imap": b"* OK", "pop3": b"+OK", "smtp": b"220 ", "submission": b"220 ", "lmtp": b"220 ",
             "sieve": b'"IMPLEMENTATION"'}
COMMANDS = {"imap": (b"a CAPABILITY\r\n", b"a OK"), "pop3": (b"CAPA\r\n", b"\r\n.\r\n"),
            "smtp": (b"EHLO c.example\r\n", b"\r\n250 "), "submission": (b"EHLO c.example\r\n", b"\r\n250 "),
            "lmtp": (b"LHLO c.example\r\n", b"\r\n250 "), "sieve": (b'NOOP "x"\r\n', b'TAG "x"')}


@pytest.fixture(scope="module")
def servers(pair):
    with _temporary("s") as path, servers_at(path, pair) as made:
        yield made


def read_until(sock, words):
    got = b""
    while words not in got:
        part = sock.recv(4096)
        assert part, got
        got += part
    return got


def verified(postern, mode="starttls"):
    return {"tls": mode, "tls_ca": postern.authority.ca}


@pytest.mark.parametrize("service", sorted(GREETINGS))
@pytest.mark.parametrize("listener", ["implicit", "off"])
@pytest.mark.parametrize("mode", ["starttls", "implicit"])
def test_tls_towards_the_server(postern, servers, service, listener, mode):
    server = servers.port(service if mode == "starttls" else service + "s")
    port = postern.serve(f"localhost:{server}", service, tls=listener, backend_settings=verified(postern, mode))
    postern.start()
    sock = socket.create_connection(("127.0.0.1", port))
    if listener == "implicit":
        sock = postern.authority.context().wrap_socket(sock, server_hostname="localhost")
    with sock:
        greeting = read_until(sock, b"OK " if service == "sieve" else b"\r\n")
        assert greeting.startswith(GREETINGS[service])
        assert b"STARTTLS" not in greeting and b"LOGINDISABLED" not in greeting
        command, answer = COMMANDS[service]
        sock.sendall(command)
        assert b"STARTTLS" not in read_until(sock, answer)


@pytest.mark.parametrize("fault, words", [("name", "localhost"), ("authority", "certificate")])
def test_a_server_that_is_not_who_it_should_be_gets_no_client(postern, servers, fault, words):
    settings = verified(postern)
    if fault == "name":
        settings["tls_name"] = "other.example"
    else:
        del settings["tls_ca"]
    port = postern.serve(f"localhost:{servers.port('imap')}", "imap", backend_settings=settings)
    postern.start()
    with postern.authority.context().wrap_socket(socket.create_connection(("127.0.0.1", port)),
                                                 server_hostname="localhost") as sock:
        assert read_to_end(sock).startswith(b"* BYE [UNAVAILABLE]")
    line = postern.closed()
    assert line["how"] == "backend-unreachable"
    assert words in line["reason"]


def test_tls_from_the_first_octet_with_both_ends_carried_through(postern, pair):
    """A server of the test's own, whose close_notify, and lack of it, reach the client."""
    listening = socket.create_server(("127.0.0.1", 0))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)

    def answer():
        for clean in (True, False):
            sock, _ = listening.accept()
            tls = context.wrap_socket(sock, server_side=True)
            tls.sendall(b"you said " + tls.recv(100))
            if clean:
                # The client hangs up without a close_notify of its own, which newer Pythons call an error.
                with contextlib.suppress(ssl.SSLError):
                    tls.unwrap()
                tls.close()
            else:
                os.close(tls.detach())

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    port = postern.serve(f"localhost:{listening.getsockname()[1]}", "raw",
                         backend_settings={"tls": "implicit", "tls_ca": postern.authority.ca})
    postern.start()
    for clean in (True, False):
        sock = postern.authority.context().wrap_socket(
            socket.create_connection(("127.0.0.1", port)), server_hostname="localhost", suppress_ragged_eofs=False)
        sock.sendall(b"hello")
        assert sock.recv(100) == b"you said hello"
        if clean:
            assert sock.recv(100) == b""
        else:
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                sock.recv(100)
        sock.close()
    thread.join(10)
