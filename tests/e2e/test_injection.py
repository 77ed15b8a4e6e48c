"""Octets that somebody put behind STARTTLS reach nobody (RFC 3207 section 6, CVE-2011-0411).

Who sits on the way of a connection can add octets to what the client says in plain text. If they were kept and
taken for the beginning of what comes over TLS, the attacker's commands would be the client's. Here the attacker
says all he likes, in every cut, and then lets the client's handshake through.

Shows row A5, towards clients.
"""

import contextlib
import socket
import ssl
import threading

import pytest

from support.backends import Backend
from support.clients import Dialog
from support.tls import Wire, read_to_end

INJECTED = b"INJECTED"

GREETINGS = {"smtp": b"220 server ESMTP\r\n", "lmtp": b"220 server LMTP\r\n", "imap": b"* OK server\r\n",
             "pop3": b"+OK server\r\n", "sieve": b'"IMPLEMENTATION" "server"\r\nOK "server"\r\n'}
HELLO = {"smtp": b"EHLO client.example.test\r\n", "lmtp": b"LHLO client.example.test\r\n", "imap": b"0 CAPABILITY\r\n",
         "pop3": b"CAPA\r\n", "sieve": b"CAPABILITY\r\n"}
STARTTLS = {"smtp": b"STARTTLS\r\n", "lmtp": b"STARTTLS\r\n", "imap": b"1 STARTTLS\r\n", "pop3": b"STLS\r\n",
            "sieve": b"STARTTLS\r\n"}
GO_AHEAD = {"smtp": b"220 2.0.0", "lmtp": b"220 2.0.0", "imap": b"1 OK", "pop3": b"+OK Begin TLS",
            "sieve": b'OK "Begin TLS'}
# What an attacker would say in the client's name; each has the word in it.
COMMANDS = {
    "smtp": [b"NOOP INJECTED\r\n", b"EHLO INJECTED\r\n", b"MAIL FROM:<INJECTED@x>\r\nRCPT TO:<y@z>\r\nDATA\r\n",
             b"STARTTLS\r\nNOOP INJECTED\r\n", b"AUTH PLAIN INJECTED\r\n"],
    "lmtp": [b"NOOP INJECTED\r\n", b"LHLO INJECTED\r\n"],
    "imap": [b"2 LOGIN INJECTED x\r\n", b"2 NOOP INJECTED\r\n", b"2 LOGIN {8+}\r\nINJECTED x\r\n", b"INJECTED"],
    "pop3": [b"USER INJECTED\r\n", b"USER INJECTED\r\nPASS x\r\n"],
    "sieve": [b'AUTHENTICATE "PLAIN" "INJECTED"\r\n', b'NOOP "INJECTED"\r\n', b"NOOP {8+}\r\nINJECTED\r\n"],
}
# Ends of lines and beginnings of TLS, before the word.
CARRIERS = [b"", b"\r\n", b"\n", b"\0", b" ", b"\x16\x03\x01"]


class Recorder:
    """A mail server that writes down all that it hears and answers every line with a good word."""

    ANSWERS = {"smtp": b"250 fine\r\n", "lmtp": b"250 fine\r\n", "imap": b"* OK fine\r\n", "pop3": b"+OK fine\r\n",
               "sieve": b'OK "fine"\r\n'}

    def __init__(self, service):
        self.service = service
        self.backend = Backend(backlog=1024)
        self.server = self.backend.server
        self.heard = bytearray()
        self._threads = []
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    def _listen(self):
        while True:
            try:
                client = self.backend.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _serve(self, client):
        with client:
            try:
                client.sendall(GREETINGS[self.service])
                while octets := client.recv(65536):
                    self.heard += octets
                    client.sendall(self.ANSWERS[self.service] * octets.count(b"\n"))
            except OSError:
                pass  # the other side has gone; what it said is written down

    def close(self):
        """Waits until all connections are over, so that `heard` is all there is."""
        self.backend.listener.shutdown(socket.SHUT_RDWR)
        self.backend.close()
        for thread in [self._listening, *self._threads]:
            thread.join(timeout=60)
            assert not thread.is_alive()


class Setting:
    def __init__(self, postern, service, require_tls):
        self.service = service
        self.postern = postern
        self.recorder = Recorder(service)
        # Octets that look like the start of a long record keep a handshake waiting.
        self.port = postern.serve(self.recorder.server, service, tls="starttls", require_tls=require_tls,
                                  handshake_timeout="1s")
        self.context = postern.authority.context()
        self.before = HELLO[service] + STARTTLS[service]
        postern.start()

    def open(self):
        sock = socket.create_connection(("127.0.0.1", self.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def inject_with_starttls(self, said, cut=0):
        """Octets that come with STARTTLS: in two segments, not cut right behind it."""
        with self.open() as sock:
            sock.sendall(said[:cut])
            sock.sendall(said[cut:])
            assert GO_AHEAD[self.service] not in read_to_end_or_reset(sock)

    def inject_before_the_handshake(self, octets):
        """Octets that come when the client has been told to go ahead, and before its ClientHello."""
        with self.open() as sock:
            self.begin(sock)
            sock.sendall(octets)
            with pytest.raises((ssl.SSLError, ConnectionError)):
                Wire(self.port, self.context, sock=sock)

    def inject_with_the_clients_handshake(self, octets, cut):
        """The same, and the client's own ClientHello comes in one segment with them, or with the rest of them."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        with pytest.raises(ssl.SSLWantReadError):
            self.context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
        with self.open() as sock:
            self.begin(sock)
            with contextlib.suppress(ConnectionError):  # the first octets may have ended it
                sock.sendall(octets[:cut])
                sock.sendall(octets[cut:] + outgoing.read())
            assert not read_to_end_or_reset(sock).startswith(b"\x16")  # nobody takes it for a ClientHello

    def begin(self, sock):
        """What a client says until it is told to go ahead."""
        sock.sendall(self.before)
        dialog = Dialog(sock)
        while not (line := dialog.line()).startswith(GO_AHEAD[self.service]):
            assert line
        # What stood behind it would be the server's word, in plain text.
        assert dialog.pending == b""

    def go_unharmed(self):
        """A client that nobody attacks."""
        with self.open() as sock:
            self.begin(sock)
            with Wire(self.port, self.context, sock=sock) as client:
                client.send(b"REACHED\r\n")
                while b"fine" not in client.recv():
                    pass
                client.close_notify()


def read_to_end_or_reset(sock):
    try:
        return read_to_end(sock)
    except ConnectionResetError:
        return b""


@pytest.fixture(params=[(service, require_tls) for service in GREETINGS for require_tls in (True, False)],
                ids=lambda param: f"{param[0]}-{'required' if param[1] else 'optional'}")
def setting(request, postern):
    made = Setting(postern, *request.param)
    try:
        yield made
    finally:
        made.recorder.backend.close()


def test_injected_octets_reach_nobody(setting):
    named, late = 0, 0
    for command in COMMANDS[setting.service]:
        for carrier in CARRIERS:
            setting.inject_with_starttls(setting.before + carrier + command)
            setting.inject_before_the_handshake(carrier + command)
            named, late = named + 1, late + 1
    for carrier in CARRIERS:
        octets = carrier + COMMANDS[setting.service][0]
        for cut in (0, 1, len(octets)):
            setting.inject_with_the_clients_handshake(octets, cut)
            late += 1
    said = setting.before + COMMANDS[setting.service][0]
    for cut in range(1, len(said)):
        if cut != len(setting.before):
            setting.inject_with_starttls(said, cut)
            named += 1
    # Or all this would show nothing.
    setting.go_unharmed()
    lines = setting.postern.wait_for_lines("connection closed", named + late + 1)
    assert len(lines) == named + late + 1
    assert sum("injection" in line.values() for line in lines) == named
    setting.postern.stop()
    setting.recorder.close()
    assert b"REACHED" in setting.recorder.heard
    assert INJECTED not in setting.recorder.heard
