"""Mail passes octet by octet as it came, however its lines end.

Mail servers do not agree about what ends a line or a message; a relay that mends what it passes on lets one
message become two (SMTP smuggling, CVE-2023-51764 to 51766). Here 10,000 messages of all the shapes that were used go
through Postern, and come back; and a mail whose lines begin with the words that Postern keeps from servers elsewhere.

Shows a part of row A5.
"""

import contextlib
import random
import select
import socket
import ssl
import threading

import pytest

from support.backends import Backend
from support.clients import Dialog
from support.tls import Wire, read_exactly
from support.waiting import DEADLINE_S, scale

EHLO, ANSWER = b"EHLO c.example\r\n", b"250-server\r\n250 PIPELINING\r\n"
GREETING = b"220 server ESMTP\r\n"
# What a mail server offers to Postern and not to clients.
FULL_ANSWER = b"250-server\r\n250-STARTTLS\r\n250-XCLIENT NAME ADDR PORT\r\n250 PIPELINING\r\n"
MAIL, FINE = b"MAIL FROM:<a@b.example>\r\n", b"250 fine\r\n"
DATA, GO_AHEAD = b"DATA\r\n", b"354 go\r\n"
# What has ended a line or a message for some server, and not for another.
ODD = [b"\r\n", b"\n", b"\r", b"\n.\n", b"\r.\r", b"\r.\r\n", b"\n.\r\n", b"\r\n.\r", b"\r\n.\n", b"\r\r\n", b"\r\n.\r\r\n",
       b"\n\n.\r\n", b"\r\n\0.\r\n", b"\0", b"\r\n.\0\r\n", b"\r\n..\r\n", b".", b"\r\n. \r\n", b"\xff\xfe", b"\x85", b"\xe2\x80\xa8",
       b"\x1a", b"\x0b", b"\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n", b"QUIT\r\n", b"\r\n.STARTTLS\r\n",
       b"\x16\x03\x01\x00\x05", b"\x15\x03\x03\x00\x02\x01\x00"]
# Words that are kept from servers, at the beginning of what some take for a line.
WORDS = [word + behind + end for word in (b"STARTTLS", b"XCLIENT", b"xforward") for behind in (b"", b" ADDR=192.0.2.1")
         for end in (b"\r\n", b"\n", b"\r")] + [b"..\r\n", b".\0\r\n", b". \r\n"]
MESSAGES = 10_000


def message(chance):
    """About 300 octets, now and then a line that no standard allows."""
    parts = []
    for _ in range(chance.randrange(3, 12)):
        parts.append(chance.choice(ODD))
        parts.append(chance.randbytes(chance.randrange(40)))
    if chance.random() < 0.02:
        parts.append(chance.randbytes(1).replace(b"\n", b"x").replace(b"\r", b"x") * chance.randrange(998, 20_000))
    return b"".join(parts) + b"\r\n.\r\n"


def messages():
    chance = random.Random(20231218)
    return b"".join(message(chance) for _ in range(scale(MESSAGES)))


def mail_of_words():
    """One mail, so that nothing of it is a command to anybody."""
    chance = random.Random(20231218)
    return b"".join(chance.choice(WORDS) + chance.randbytes(20).replace(b".", b"") for _ in range(scale(MESSAGES))) + b"\r\n.\r\n"


class Mirror:
    """A server that takes a mail and then sends back all that it hears, which it writes down. It speaks TLS if it has a
    `pair`: at once or, with `tls` "starttls", when it is asked. Answers EHLO with `answer`."""

    def __init__(self, expected, answer, tls="off", pair=None):
        self.backend = Backend()
        self.server = self.backend.server
        self.heard = bytearray()
        self.commands = []  # those before DATA
        self._expected = expected
        self._answer = answer
        self._tls = tls
        if pair:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(pair.certificate, pair.key)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        sock = self.backend.accept()
        try:
            if self._tls == "implicit":
                sock = self._context.wrap_socket(sock, server_side=True)
            sock.sendall(GREETING)
            while self._obey(sock, command := self._line(sock)):
                if command == b"STARTTLS\r\n":
                    sock = self._context.wrap_socket(sock, server_side=True)
            while len(self.heard) < self._expected:
                octets = sock.recv(65536)
                if not octets:
                    return
                self.heard += octets
                sock.sendall(octets)
            if isinstance(sock, ssl.SSLSocket):  # else what it has said last may be taken for cut off
                with contextlib.suppress(OSError):
                    sock.unwrap()
        finally:
            sock.close()

    def _obey(self, sock, command):
        """False: the mail begins."""
        self.commands.append(command)
        answers = {b"EHLO": self._answer, b"XCLIENT": GREETING, b"STARTTLS": b"220 go\r\n", b"MAIL": FINE, b"DATA": GO_AHEAD}
        sock.sendall(answers[command.split()[0]])
        return command != DATA

    def _line(self, sock):
        line = b""
        while not line.endswith(b"\n"):
            line += read_exactly(sock, 1)
        return line

    def close(self):
        self._thread.join(60)
        self.backend.close()


class Plain:
    """What a `Wire` has, without TLS."""

    def __init__(self, sock):
        self.sock = sock
        self.incoming = self.tls = self
        self._read = b""

    def sealed(self, octets):
        return octets

    def write(self, octets):
        self._read += octets

    def read(self, _):
        read, self._read = self._read, b""
        return read

    def send(self, octets):
        self.sock.sendall(octets)

    def recv(self, size):
        return self.sock.recv(size)


def begin(sock, authority, listener):
    """Up to and with the server's answer to DATA."""
    if listener in ("starttls", "handover"):
        dialog = Dialog(sock)
        assert dialog.line().startswith(b"220 ")
        sock.sendall(EHLO)
        while dialog.line()[3:4] == b"-":
            pass
    if listener == "starttls":
        sock.sendall(b"STARTTLS\r\n")
        assert dialog.line().startswith(b"220 ")
    client = Plain(sock) if listener in ("off", "handover") else Wire(None, authority.context(), sock=sock)
    hear(client, GREETING if listener in ("implicit", "off") else b"")
    for command, answer in ((EHLO, ANSWER), (MAIL, FINE), (DATA, GO_AHEAD)):
        if command == EHLO and listener == "handover":
            continue  # Postern says it
        client.send(command)
        hear(client, answer)
    return client


def hear(client, words):
    got = b""
    while len(got) < len(words):
        got += client.recv(len(words) - len(got))
    assert got == words


def exchange(client, said):
    """Says it in pieces of all sizes; what comes back meanwhile."""
    chance = random.Random(1)
    at, records, back = 0, b"", bytearray()
    client.sock.setblocking(False)
    while len(back) < len(said):
        if not records and at < len(said):
            size = chance.choice((1, 2, 3, 17, 100, 1000, 5000, 16_384, 40_000))
            records = client.sealed(said[at:at + size])
            at += size
        readable, writable, _ = select.select([client.sock], [client.sock] if records else [], [], DEADLINE_S)
        assert readable or writable, f"{len(back)} of {len(said)} octets came back"
        if writable:
            records = records[client.sock.send(records):]
        if readable:
            octets = client.sock.recv(65536)
            assert octets, "the connection ended"
            client.incoming.write(octets)
            with contextlib.suppress(ssl.SSLWantReadError):
                while plain := client.tls.read(65536):
                    back += plain
    return bytes(back)


# Service, how clients come, what is said to the server before.
WAYS = [("smtp", "implicit", "off"), ("smtp", "starttls", "off"), ("smtp", "off", "off"), ("smtp", "handover", "off"),
        ("raw", "implicit", "off"),
        ("smtp", "implicit", "implicit"), ("smtp", "handover", "starttls-identify"),
        ("smtp", "implicit", "starttls"), ("smtp", "implicit", "identify"), ("smtp", "off", "implicit-identify")]
WITH_WORDS = 7  # of them


@pytest.mark.parametrize("service, listener, server, said",
                         [(*way, messages) for way in WAYS] + [(*way, mail_of_words) for way in WAYS[:WITH_WORDS]])
def test_every_octet_arrives_as_it_was_sent(postern, pair, service, listener, server, said):
    said = said()
    tls = server.removesuffix("identify").removesuffix("-") or "off"
    mirror = Mirror(len(said), ANSWER if service == "raw" else FULL_ANSWER, tls, pair)
    settings = {"tls": "starttls", "require_tls": False} if listener == "handover" else {"tls": listener}
    backend = {"ehlo_probe": False, "identify_clients": server.endswith("identify")}
    if tls != "off":
        backend |= {"tls": tls, "tls_ca": postern.authority.ca}
    port = postern.serve(mirror.server, service, **settings, backend_settings=backend)
    postern.start()
    with socket.create_connection(("127.0.0.1", port)) as sock:
        back = exchange(begin(sock, postern.authority, listener), said)
    mirror.close()
    assert bytes(mirror.heard) == said
    assert back == said
    # The way was the one that was meant.
    verbs = [command.split()[0] for command in mirror.commands]
    assert (b"STARTTLS" in verbs, b"XCLIENT" in verbs) == (tls == "starttls", server.endswith("identify")), verbs
