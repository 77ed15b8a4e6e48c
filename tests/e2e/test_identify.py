"""Who the client is, told to the servers behind in their own words: XCLIENT and ID.

Shows a part of row A8, against Postfix and Dovecot, whose own logs tell whom they have seen. The client's
address comes by a PROXY header in front, so that it is not that of the machine.
"""

import base64
import re
import socket
import threading

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


def connect(port, authority, client=CLIENT, tls=True):
    sock = socket.create_connection(("127.0.0.1", port))
    to = "TCP6 %s 2001:db8::2" if ":" in client else "TCP4 %s 198.51.100.2"
    sock.sendall(f"PROXY {to % client} 56324 993\r\n".encode())
    return authority.context().wrap_socket(sock, server_hostname="localhost") if tls else sock


def serve(postern, port, service, listener=None, **backend):
    listener = postern.serve(f"localhost:{port}", service, proxy_protocol="any", proxy_from=["127.0.0.0/8"],
                             backend_settings={"identify_clients": True, **backend}, **(listener or {}))
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


class PolicyService:
    """Postfix asks it about clients (SMTPD_POLICY_README), and tells what it has heard of them: `asked`."""

    def __init__(self):
        self.asked = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with sock, sock.makefile("rb") as file:
            request = {}
            for line in file:
                name, _, value = line.decode().strip().partition("=")
                if name:
                    request[name] = value
                    continue
                self.asked.append(request)
                request = {}
                sock.sendall(b"action=DUNNO\n\n")

    def of(self, client, state):
        return [request for request in self.asked
                if (request["client_address"], request["protocol_state"]) == (client, state)]

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def telling(pair):
    """A Postfix that tells all that it knows of a client, and takes every kind of address that the machine has."""
    policy = PolicyService()
    ask = f"check_policy_service inet:127.0.0.1:{policy.port}"
    settings = (f"inet_protocols = {'all' if has_ipv6() else 'ipv4'}\nsmtpd_client_port_logging = yes\n"
                f"smtpd_client_restrictions = {ask}\nsmtpd_data_restrictions = {ask}")
    with _temporary("i") as path, servers_at(path, pair, believing=True, postfix=settings) as made:
        made.policy = policy
        yield made
    policy.close()


def mails_of(believing, subject):
    mailbox = believing.directory / "mail" / USER / "new"
    texts = [mail.read_text() for mail in mailbox.glob("*")] if mailbox.exists() else []
    return [text for text in texts if f"\nSubject: {subject}\n" in text]


V6 = pytest.mark.skipif(not has_ipv6(), reason="the machine has no IPv6, and Postfix then takes no such address")


# The client's command, and what Postfix hears of it by XCLIENT. With TLS it has said none when Postfix is spoken to.
@pytest.mark.parametrize("hello, helo, protocol", [
    ("EHLO", "client.example", "ESMTP"), ("HELO", "client.example", "SMTP"), (None, "", "SMTP")],
    ids=["EHLO", "HELO", "TLS"])
@pytest.mark.parametrize("client, server", [
    ("192.0.2.78", "198.51.100.2"), pytest.param("2001:db8::78", "2001:db8::2", marks=V6)], ids=["IPv4", "IPv6"])
def test_postfix_is_told_all_that_it_takes_by_xclient(postern, telling, client, server, hello, helo, protocol):
    subject = f"{client} {hello}"
    del telling.policy.asked[:]
    listener = {"tls": "starttls", "require_tls": False} if hello else {}
    port = serve(postern, telling.port("smtp"), "smtp", listener)
    with connect(port, postern.authority, client, tls=hello is None) as sock:
        assert read_until(sock, b"\r\n").startswith(b"220 ")
        sock.sendall(f"{hello or 'EHLO'} client.example\r\n".encode())
        read_until(sock, b"250 ")
        # One at a time: behind HELO nothing may be pipelined, and Postfix 3.9 and later insist on that.
        for command, answer in (("MAIL FROM:<a@elsewhere.example>", b"250 "), (f"RCPT TO:<{USER}>", b"250 "),
                                ("DATA", b"354 ")):
            sock.sendall(f"{command}\r\n".encode())
            read_until(sock, answer)
        sock.sendall(f"Subject: {subject}\r\n\r\nbody\r\n.\r\nQUIT\r\n".encode())
        read_until(sock, b"221 ")
    told, = telling.policy.of(client, "XCLIENT")
    assert (told["helo_name"], told["protocol_name"]) == (helo, protocol)
    later, = telling.policy.of(client, "DATA")  # when the client's own EHLO has been heard
    assert (later["helo_name"], later["protocol_name"]) == ("client.example", protocol if hello else "ESMTP")
    for request in (told, later):
        assert (request["client_port"], request["server_address"], request["server_port"]) == ("56324", server, "993")
        assert (request["client_name"], request["reverse_client_name"]) == ("unknown", "unknown")
    log_has(telling.log("smtp"), "smtpd", f": client=unknown[{client}]:56324")
    mail, = wait_for(lambda: mails_of(telling, subject), "the mail")
    address = f"IPv6:{client}" if ":" in client else client
    assert re.search(rf"Received: from client.example \(unknown \[{address}\]\)\s+by mx.example.test \(Postfix\) "
                     rf"with {later['protocol_name']} id ", mail), mail


def test_a_postfix_without_ipv6_serves_the_others_as_before(postern, believing):
    """It does not understand such an address, which says nothing about the next client's."""
    ports = [believing.postfix.port("smtp"), believing.postfix.port("submission")]
    postern.config["process"]["workers"] = 1  # each knows for itself which servers have failed
    postern.add_backend("test", *[f"localhost:{port}" for port in ports], identify_clients=True)
    port = postern.add_listener("test", "smtp", proxy_protocol="any", proxy_from=["127.0.0.0/8"])
    postern.start()
    refused = ["2001:db8::91", "2001:db8::92"]
    for client in refused:
        with connect(port, postern.authority, client) as sock:
            heard = read_to_end(sock)
            assert heard.startswith(b"421 ") and heard.count(b"\n") == 1, heard
    served = ["192.0.2.91", "192.0.2.92"]
    for client in served:
        with connect(port, postern.authority, client) as sock:
            assert read_until(sock, b"\r\n").startswith(b"220 ")
            sock.sendall(b"EHLO client.example\r\nQUIT\r\n")
            read_until(sock, b"221 ")
        log_has(believing.log("smtp"), f"connect from unknown[{client}]")
    lines = postern.wait_for_lines("connection closed", 4)
    # In turn, as if nothing had been.
    assert [line["server"] for line in lines] == [f"localhost:{port}" for port in ports] * 2
    for line in lines[:2]:
        assert line["how"] == "server-closed" and "inet_protocols = ipv4" in line["reason"], line
        assert re.search('"501 5.5.4 Bad (DEST)?ADDR syntax', line["reason"]), line
    assert not any("reason" in line for line in lines[2:])
