"""What EHLO offers before TLS is what the server behind offers, from the first client on."""

import contextlib
import re
import signal
import smtplib
import socket
import ssl
import threading

import pytest

from conftest import _temporary
from support.backends import Backend
from support.ports import free_port
from support.servers import servers_at
from support.tls import read_to_end
from support.waiting import wait_for

MANY_TURNS = 40  # so many connections reach both workers


class Server:
    """Speaks as much SMTP as a probe asks for; `said` is what it has heard. Answers EHLO while `answers` is set."""

    def __init__(self, keywords=("SIZE 1234", "AUTH PLAIN"), port=None):
        self.keywords = list(keywords)
        self.said = []
        self.answers = threading.Event()
        self.answers.set()
        self.listener = socket.create_server(("127.0.0.1", port or 0))
        self.server = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with sock, sock.makefile("rb") as file:
            sock.sendall(b"220 server ESMTP\r\n")
            for line in file:
                self.said.append(line)
                verb = line.split()[0].upper()
                if verb in (b"EHLO", b"LHLO"):
                    self.answers.wait()
                    lines = ["server", *self.keywords]
                    sock.sendall("".join(f"250{'-' if line is not lines[-1] else ' '}{line}\r\n"
                                         for line in lines).encode())
                elif verb == b"QUIT":
                    return sock.sendall(b"221 bye\r\n")
                else:
                    sock.sendall(b"250 fine\r\n")

    def close(self):
        self.answers.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture
def server():
    made = Server()
    yield made
    made.close()


def read_to_end_or_reset(sock):
    try:
        return read_to_end(sock)
    except ConnectionResetError:
        return b""


def offered(port, lmtp=False):
    with (smtplib.LMTP if lmtp else smtplib.SMTP)("127.0.0.1", port) as client:
        client.ehlo("client.example.test")
        return {word.upper() for word in client.esmtp_features}


def test_the_first_client_of_each_worker_hears_what_the_server_offers(postern, server):
    port = postern.serve(server.server, "smtp", tls="starttls")
    postern.start()
    for _ in range(MANY_TURNS):
        assert offered(port) == {"SIZE", "STARTTLS"}
    assert len(postern.lines("keywords learned")) == 2  # workers
    wait_for(lambda: server.said.count(b"QUIT\r\n") == 2, "both probes to say goodbye")
    assert len(server.said) == 4, server.said
    # A reload asks anew.
    server.keywords = ["HELP"]
    postern.reload()
    # What was known before serves until the answer is there.
    postern.wait_for_lines("keywords learned", 4)
    for _ in range(MANY_TURNS):
        assert offered(port) == {"HELP", "STARTTLS"}


def test_a_server_that_is_not_there_costs_nothing_and_is_found_when_it_is(postern):
    place = free_port()
    port = postern.serve(f"127.0.0.1:{place}", "smtp", tls="starttls")
    postern.start()
    for _ in range(MANY_TURNS):
        assert offered(port) == {"STARTTLS"}
    assert len(postern.lines("keywords not learned", level="warning")) == 2  # once for each worker
    late = Server(port=place)
    wait_for(lambda: offered(port) == {"SIZE", "STARTTLS"}, "the server's own keywords")
    late.close()


def test_a_silent_server_keeps_neither_clients_nor_a_reload_nor_an_end(postern):
    with Backend() as silent:
        port = postern.serve(silent.server, "smtp", tls="starttls")
        postern.start()
        assert offered(port) == {"STARTTLS"}
        postern.reload()
        assert offered(port) == {"STARTTLS"}
        # In less than the 30 s that the probe would wait for a greeting.
        assert postern.stop(signal.SIGTERM) == 0


HELLO, STARTTLS = b"EHLO client.example.test\r\n", b"STARTTLS\r\n"
INJECTED = [b"NOOP INJECTED\r\n", b"MAIL FROM:<INJECTED@x>\r\nRCPT TO:<y@z>\r\nDATA\r\n",
            b"STARTTLS\r\nEHLO INJECTED\r\n"]


def say_while_asked(postern, server, all_said):
    """Clients who say each its own, a pair of pieces, while the server lets Postern wait for an answer to EHLO: their
    own EHLO waits, too. What each has heard at the end."""
    server.answers.clear()
    port = postern.serve(server.server, "smtp", tls="starttls", require_tls=False, handshake_timeout="5s")
    postern.start()
    wait_for(lambda: len(server.said) == 2, "both workers to ask")
    with contextlib.ExitStack() as stack:
        clients = []
        for first, second in all_said:
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.sendall(first)
            clients.append((client, second))
        for client, second in clients:
            with contextlib.suppress(ConnectionError):
                client.sendall(second)
        server.answers.set()
        return [read_to_end_or_reset(client) for client, _ in clients]


def cuts(said, step=1):
    return [(said[:cut], said[cut:]) for cut in range(1, len(said) + 1, step)]


def test_what_is_injected_while_a_client_waits_reaches_nobody(postern, server, authority):
    before = HELLO + STARTTLS
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        authority.context().wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    hello = outgoing.read()
    all_said = [pair for injected in INJECTED for pair in cuts(before + injected)]
    all_said += cuts(before + INJECTED[0] + hello, 11)
    # A handshake behind STARTTLS is no less injected; cut right there it may be the client's own.
    all_said += [pair for pair in cuts(before + hello, 11) if pair[0] != before]
    for (first, _), heard in zip(all_said, say_while_asked(postern, server, all_said)):
        assert b"220 2.0.0" not in heard or first == before, (first, heard)
        assert heard.count(b"\n250 STARTTLS") <= 1
    postern.stop()
    lines = postern.wait_for_lines("connection closed", len(all_said))
    assert sum(line.get("dialog") == "injection" for line in lines) == sum(first != before for first, _ in all_said)
    assert not [line for line in server.said if b"INJECTED" in line], server.said


def test_nothing_that_a_client_says_while_it_waits_is_lost(postern, server):
    mail = b"NOOP\r\nMAIL FROM:<a-%d@b.example>\r\nRCPT TO:<c-%d@d.example>\r\nQUIT\r\n"
    all_said = []
    for cut in range(1, len(HELLO + mail) + 1):
        said = HELLO + mail % (cut, cut)
        all_said.append((said[:cut], said[cut:]))
    for heard in say_while_asked(postern, server, all_said):
        # Postern's greeting, its answers to EHLO and NOOP, and the server's.
        assert re.fullmatch(rb"220 [^\n]*\n(250-[^\n]*\n)*250 STARTTLS\r\n250 2.0.0 OK\r\n(250 fine\r\n){2}221 bye\r\n",
                            heard), heard
    for number in range(1, len(all_said) + 1):
        for line in (b"MAIL FROM:<a-%d@b.example>\r\n", b"RCPT TO:<c-%d@d.example>\r\n"):
            assert server.said.count(line % number) == 1
    assert server.said.count(HELLO) == len(all_said)


def test_nobody_is_asked_who_need_not_be(postern, server):
    postern.add_backend("quiet", server.server, ehlo_probe=False)
    postern.add_backend("other", server.server)
    port = postern.add_listener("quiet", "smtp", tls="starttls")
    postern.add_listener("implicit", "smtp", "other")
    postern.add_listener("imap", "imap", "other", tls="starttls")
    postern.start()
    assert offered(port) == {"STARTTLS"}
    postern.stop()
    assert server.said == []


@pytest.fixture(scope="module")
def servers(pair):
    with _temporary("s") as path, servers_at(path, pair) as made:
        yield made


@pytest.mark.parametrize("service, port, settings, word", [
    ("smtp", "smtp", {}, "PIPELINING"),
    ("smtp", "smtp", {"tls": "starttls"}, "PIPELINING"),
    ("smtp", "smtps", {"tls": "implicit"}, "PIPELINING"),
    ("smtp", "smtp_proxied", {"proxy_protocol": "v1"}, "PIPELINING"),
    ("smtp", "smtp_proxied", {"proxy_protocol": "v2"}, "PIPELINING"),
    ("smtp", "smtp_proxied", {"proxy_protocol": "v2-tls"}, "PIPELINING"),
    ("submission", "submission", {"tls": "starttls"}, "CHUNKING"),
    ("submission", "submissions", {"tls": "implicit"}, "CHUNKING"),
    ("lmtp", "lmtp", {"tls": "starttls"}, "CHUNKING"),
    ("lmtp", "lmtps", {"tls": "implicit"}, "CHUNKING"),
])
def test_real_servers_are_asked(postern, servers, service, port, settings, word):
    if "tls" in settings:
        settings = {**settings, "tls_ca": postern.authority.ca}
    listener = postern.serve(f"localhost:{servers.port(port)}", service, tls="starttls", backend_settings=settings)
    postern.start()
    first = offered(listener, service == "lmtp")
    assert word in first and "STARTTLS" in first
    assert not first & {"AUTH", "XCLIENT"}
    assert not postern.lines("keywords not learned")
