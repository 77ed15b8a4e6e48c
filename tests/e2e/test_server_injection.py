"""Octets that somebody puts behind a server's answer to STARTTLS reach no client (CVE-2021-38371 and its kin).

Who sits between Postern and a server can add to what the server says in plain text. Taken for the first words
inside TLS, that would be the server's greeting, capabilities or answers. Here the server says all that an attacker
would like, in every cut.

Shows row A5, towards servers.
"""

import contextlib
import socket
import ssl
import threading

import pytest

from support.tls import read_exactly, read_to_end

INJECTED = b"INJECTED"
GREETINGS = {"smtp": b"220 server ESMTP\r\n", "lmtp": b"220 server LMTP\r\n",
             "imap": b"* OK [CAPABILITY IMAP4rev1 STARTTLS] server\r\n", "pop3": b"+OK server\r\n",
             "sieve": b'"IMPLEMENTATION" "server"\r\n"SASL" ""\r\n"STARTTLS"\r\nOK "server"\r\n'}
# What is said in plain text, by the command's last word (without a tag), and inside TLS by any command.
OFFERS = {"smtp": b"250-server\r\n250 STARTTLS\r\n", "lmtp": b"250-server\r\n250 STARTTLS\r\n",
          "imap": b"* CAPABILITY IMAP4rev1 STARTTLS\r\n%s OK done\r\n", "pop3": b"+OK\r\nSTLS\r\n.\r\n",
          "sieve": GREETINGS["sieve"]}
GO_AHEAD = {"smtp": b"220 go\r\n", "lmtp": b"220 go\r\n", "imap": b"%s OK go\r\n", "pop3": b"+OK go\r\n",
            "sieve": b'OK "go"\r\n'}
INJECTIONS = {
    "smtp": [b"220 INJECTED\r\n", b"250-INJECTED\r\n250 AUTH PLAIN\r\n", b"421 INJECTED\r\n", b"INJECTED"],
    "lmtp": [b"250 INJECTED\r\n"],
    "imap": [b"* OK INJECTED\r\n", b"* PREAUTH INJECTED\r\n", b"* CAPABILITY IMAP4rev1 AUTH=INJECTED\r\n",
             b"* BYE INJECTED\r\n", b"* OK {8}\r\nINJECTED\r\n"],
    "pop3": [b"+OK INJECTED\r\n", b"-ERR INJECTED\r\n"],
    "sieve": [b'"SASL" "INJECTED"\r\nOK\r\n', b'BYE "INJECTED"\r\n'],
}
CARRIERS = [b"", b"\r\n", b"\n", b"\0", b"\x16\x03\x03\x00\x10"]
UNAVAILABLE = {"smtp": b"421 ", "lmtp": b"421 ", "imap": b"* BYE ", "pop3": b"-ERR ", "sieve": b"BYE "}


class Server:
    """Speaks one protocol up to STARTTLS; with its answer comes `injected`, cut after `cut` octets. Then TLS."""

    def __init__(self, service, pair):
        self.service = service
        self.injected, self.cut = b"", 0
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pair.certificate, pair.key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                with sock:
                    self._serve(sock)
            except OSError:
                pass  # Postern has gone, as it should

    def _serve(self, sock):
        sock.sendall(GREETINGS[self.service])
        while (words := self._line(sock).split()):
            if words[-1].upper() in (b"STARTTLS", b"STLS"):
                answer = self._tagged(GO_AHEAD, words) + self.injected
                sock.sendall(answer[:self.cut])
                sock.sendall(answer[self.cut:])
                break
            sock.sendall(self._tagged(OFFERS, words))
        with self._context.wrap_socket(sock, server_side=True) as tls:
            if self.service == "sieve":
                tls.sendall(GREETINGS["sieve"].replace(b'"STARTTLS"\r\n', b""))
            while (words := self._line(tls).split()):
                tls.sendall(self._tagged(OFFERS, words).replace(b" STARTTLS", b" HELP"))

    def _tagged(self, answers, words):
        return answers[self.service].replace(b"%s", words[0])

    def _line(self, sock):
        line = b""
        while not line.endswith(b"\n"):
            octet = sock.recv(1)
            if not octet:
                break
            line += octet
        return line

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture(params=sorted(GREETINGS))
def server(request, pair):
    made = Server(request.param, pair)
    yield made
    made.close()


# By service: what a client says for TLS, and how the last line of each answer begins.
ASK_FOR_TLS = {"smtp": [(b"", b"220 "), (b"EHLO c\r\n", b"250 "), (b"STARTTLS\r\n", b"220 ")],
               "lmtp": [(b"", b"220 "), (b"LHLO c\r\n", b"250 "), (b"STARTTLS\r\n", b"220 ")],
               "imap": [(b"", b"* OK"), (b"a STARTTLS\r\n", b"a OK")],
               "pop3": [(b"", b"+OK"), (b"STLS\r\n", b"+OK")],
               "sieve": [(b"", b"OK"), (b"STARTTLS\r\n", b"OK")]}


@contextlib.contextmanager
def client_of(port, service, tls, context):
    """A client's socket, in which the server's first words come next."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        if tls == "off":
            yield sock
            return
        for command, last in ASK_FOR_TLS[service] if tls == "starttls" else ():
            sock.sendall(command)
            heard = b""
            while not (heard.endswith(b"\r\n") and heard.split(b"\r\n")[-2].startswith(last)):
                heard += read_exactly(sock, 1)
        with context.wrap_socket(sock, server_hostname="localhost") as wrapped:
            yield wrapped


@pytest.mark.parametrize("tls", ["off", "implicit", "starttls"])
def test_what_is_behind_the_servers_answer_reaches_nobody(postern, server, tls):
    service = server.service
    settings = {"tls": "starttls", "tls_ca": postern.authority.ca}
    if service in ("smtp", "lmtp"):
        settings["ehlo_probe"] = False  # what it finds would be one client more
    port = postern.serve(f"localhost:{server.port}", service, tls=tls, backend_settings=settings)
    postern.start()
    context = postern.authority.context()

    def attacked():
        with client_of(port, service, tls, context) as sock:
            heard = read_to_end(sock)
        assert INJECTED not in heard and heard.startswith(UNAVAILABLE[service]), heard

    count = 0
    for injection in INJECTIONS[service]:
        for carrier in CARRIERS:
            server.injected, server.cut = carrier + injection, 0
            attacked()
            count += 1
    server.injected = INJECTIONS[service][0]
    for cut in range(1, len(GO_AHEAD[service] + server.injected)):
        server.cut = cut
        attacked()
        count += 1
    lines = postern.wait_for_lines("connection closed", count)
    assert {line["how"] for line in lines} == {"backend-unreachable"}
    assert any("octets behind its answer to STARTTLS" in line["reason"] for line in lines)
    # Or all this would show nothing.
    server.injected, server.cut = b"", 0
    with client_of(port, service, tls, context) as sock:
        if tls == "starttls" and service != "sieve":  # it has been greeted
            sock.sendall({"smtp": b"EHLO c\r\n", "lmtp": b"LHLO c\r\n", "imap": b"b NOOP\r\n"}.get(service, b"NOOP\r\n"))
        greeting = sock.recv(4096)
    assert greeting and not greeting.startswith(UNAVAILABLE[service]), greeting
