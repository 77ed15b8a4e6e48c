"""What a client may not say to a server past Postern: who it is, and that TLS begins once more.

Dovecot and Postfix believe Postern's address (login_trusted_networks, smtpd_authorized_xclient_hosts), so what a
client says by XCLIENT through Postern would be believed as well. Here it says it in every place and shape, and the
servers' own logs tell whom they have seen. Shows a part of row A8, and of A3 and A5.
"""

import base64
import re
import socket

import pytest

from conftest import _temporary
from support.servers import PASSWORD, USER, servers_at
from support.waiting import wait_for

FORGED = "203.0.113.99"
FIELDS = base64.b64encode(b"place=forged\tuser=others").decode()  # as Dovecot forwards them
# In the protocol's own words, and so that a server might read it and another reader not.
SHAPES = ["XCLIENT ADDR={}\r\n", "xclient addr={}\r\n", "  XCLIENT ADDR={}\r\n", "\tXCLIENT\tADDR={}\r\n",
          "XCLIENT ADDR={}\n", "XFORWARD ADDR={}\r\n"]
CREDENTIALS = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
WRONG = base64.b64encode(f"\0{USER}\0wrong".encode()).decode()


@pytest.fixture(scope="module")
def believing(pair):
    with _temporary("g") as path, servers_at(path, pair, believing=True) as made:
        yield made


class Client:
    """Over TLS or without; `hear` reads up to a line that begins with one of `words`."""

    def __init__(self, port, context=None, tls=True):
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.sock = context.wrap_socket(self.sock, server_hostname="localhost")
        self.heard = b""

    def say(self, text, pieces=False):
        for piece in ([text[i:i + 1] for i in range(len(text))] if pieces else [text]):
            self.sock.sendall(piece.encode())

    def hear(self, *words):
        pattern = re.compile(rb"(?:^|\n)(?:" + b"|".join(re.escape(word.encode()) for word in words) + rb")[^\n]*\n")
        while not (found := pattern.search(self.heard)):
            part = self.sock.recv(4096)
            assert part, self.heard
            self.heard += part
        text, self.heard = self.heard[:found.end()], self.heard[found.end():]
        return text.decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()


def serve(postern, believing, service, identify, listener="implicit", **settings):
    backend = {"identify_clients": True} if identify else {}
    port = postern.serve(f"localhost:{believing.port(service)}", service, tls=listener, backend_settings=backend, **settings)
    postern.start()
    return port


def seen(believing, service):
    log = believing.log(service)
    return log.read_text(errors="replace") if log.exists() else ""


def mails(believing):
    mailbox = believing.directory / "mail" / USER / "new"
    return [mail.read_text(errors="replace") for mail in mailbox.glob("*")] if mailbox.exists() else []


IDENTIFY = pytest.mark.parametrize("identify", [True, False], ids=["identify", "alone"])


@IDENTIFY
def test_pop3(postern, believing, identify):
    port = serve(postern, believing, "pop3", identify)
    for shape in SHAPES:
        for pieces in (False, True):
            with Client(port, postern.authority.context()) as client:
                assert "XCLIENT" not in client.hear("+OK")
                client.say(shape.format(FORGED), pieces)
                client.hear("-ERR")
                client.say("STLS\r\nCAPA\r\n")
                client.hear("-ERR")
                assert "STLS" not in client.hear(".")
                client.say(f"AUTH PLAIN\r\nPASS x\r\n{shape.format(FORGED)}")
                client.hear("-ERR")
                client.say(f"USER {USER}\r\nPASS {PASSWORD}\r\n")
                client.hear("+OK Logged in")
    # "Login:" in Dovecot 2.3, "Logged in:" in 2.4.
    wait_for(lambda: len(re.findall(r"pop3-login: .*Log(?:in|ged in):", seen(believing, "pop3"))) >= 2 * len(SHAPES),
             "logins in the log")
    assert FORGED not in seen(believing, "pop3")


@IDENTIFY
def test_sieve(postern, believing, identify):
    port = serve(postern, believing, "sieve", identify)
    for shape in SHAPES:
        with Client(port, postern.authority.context()) as client:
            greeting = client.hear("OK")
            assert "XCLIENT" not in greeting and "STARTTLS" not in greeting and "SASL" in greeting
            client.say(shape.format(FORGED))
            client.hear("NO")
            client.say("STARTTLS\r\n")
            client.hear("NO")
            client.say("CAPABILITY\r\n")
            capabilities = client.hear("OK")
            assert "XCLIENT" not in capabilities and "STARTTLS" not in capabilities
            client.say(f'AUTHENTICATE "PLAIN" {{{len(CREDENTIALS)}+}}\r\n{CREDENTIALS}\r\n')
            client.hear("OK")
            # Behind the login all flows: a script may say anything.
            script = "/*\r\nXCLIENT ADDR=1\r\nSTARTTLS\r\n*/\r\nkeep;\r\n"
            client.say(f'PUTSCRIPT "x" {{{len(script)}+}}\r\n{script}\r\n')
            client.hear("OK")
            client.say('GETSCRIPT "x"\r\n')
            assert script in client.hear("OK")
    assert FORGED not in seen(believing, "sieve")


@IDENTIFY
def test_submission(postern, believing, identify):
    port = serve(postern, believing, "submission", identify)
    for shape in SHAPES:
        with Client(port, postern.authority.context()) as client:
            client.hear("220 ")
            client.say("HELO c.example\r\n")
            client.hear("250 ")
            for _ in range(2):
                client.say("EHLO c.example\r\n")
                answer = client.hear("250 ")
                assert "XCLIENT" not in answer and "STARTTLS" not in answer and "AUTH PLAIN" in answer
            client.say(shape.format(FORGED))
            client.hear("5")
            client.say("STARTTLS\r\n")
            client.hear("5")
            client.say(f"AUTH PLAIN {CREDENTIALS}\r\n")
            client.hear("235 ")
    assert FORGED not in seen(believing, "submission")


@IDENTIFY
@pytest.mark.parametrize("service", ["lmtp", "smtp"])
def test_between_mails(postern, believing, service, identify):
    hello = "LHLO" if service == "lmtp" else "EHLO"
    port = serve(postern, believing, service, identify)
    shapes = SHAPES if service == "lmtp" else SHAPES[:4]
    before = len(mails(believing))
    sent = 0
    for i, shape in enumerate(shapes):
        # What is no good line leaves it open where mails begin (docs/starttls.md).
        line = "XCLIENT ADDR=1 is a line" if i < 2 else "another line"
        mail = f"Subject: {service} {identify} {i}\r\n\r\n{line}\r\nSTARTTLS\r\n..\r\n"
        with Client(port, postern.authority.context()) as client:
            client.hear("220 ")
            forged = shape.format(FORGED)
            client.say(forged)
            client.hear("5")
            client.say(f"{hello} c.example\r\n")
            answer = client.hear("250 ")
            assert not re.search("XCLIENT|STARTTLS|XFORWARD|XRCPTFORWARD", answer)
            for how in ("DATA", "BDAT") if "CHUNKING" in answer else ("DATA",):
                client.say(f"MAIL FROM:<a@elsewhere.example>\r\nRSET\r\n{forged}")
                client.hear("5")
                client.say(f"MAIL FROM:<a@elsewhere.example>\r\nRCPT TO:<{USER}>\r\n")
                client.hear("250 ")
                client.hear("250 ")
                if how == "DATA":
                    client.say("DATA\r\n")
                    client.hear("354 ")
                    client.say(mail + ".\r\n" + forged)
                else:
                    client.say(f"BDAT {len(mail)} LAST\r\n{mail}{forged}")
                client.hear("5")
                sent += 1
            client.say("QUIT\r\n")
            client.hear("221 ")
    wait_for(lambda: len(mails(believing)) >= before + sent, "the mails")
    for i in range(2):
        found = [mail for mail in mails(believing) if f"Subject: {service} {identify} {i}\n" in mail]
        assert found and all("\nXCLIENT ADDR=1 is a line\nSTARTTLS\n" in mail for mail in found)
    assert all(FORGED not in mail for mail in mails(believing))
    assert FORGED not in seen(believing, service)


def rcpt(parameters, verb="RCPT"):
    return f"{verb} TO:<{USER}>{parameters.format(FIELDS)}\r\n"


# Dovecot itself takes all of them.
@IDENTIFY
@pytest.mark.parametrize("command", [rcpt(" XRCPTFORWARD={}"), rcpt(" xRcptForward={}"),
                                     rcpt(" xrcptforward={}", "rcpt")], ids=["capitals", "mixed", "small"])
def test_what_a_proxy_would_say_of_a_recipient(postern, believing, identify, command):
    """It is not only who the client is that Dovecot's LMTP believes Postern's address."""
    mail = f"MAIL FROM:<a@elsewhere.example>\r\n{command}"
    with Client(believing.port("lmtp"), tls=False) as client:  # what clients are kept from
        client.say("LHLO c.example\r\n" + mail)
        client.hear("250 2.1.0")
        client.hear("250 2.1.5")
    port = serve(postern, believing, "lmtp", identify)
    for pieces in (False, True):
        with Client(port, postern.authority.context()) as client:
            client.hear("220 ")
            client.say("LHLO c.example\r\n")
            assert "XRCPTFORWARD" not in client.hear("250 ")
            client.say(mail, pieces)
            client.hear("250 2.1.0")
            assert not client.hear("250 2.1.5", "5").startswith("250")
            client.say(rcpt("") + "QUIT\r\n")  # and the mail itself can still be sent
            client.hear("250 2.1.5")
            client.hear("221 ")


@IDENTIFY
def test_dovecots_submission_takes_nothing_of_the_kind(postern, believing, identify):
    port = serve(postern, believing, "submission", identify)
    with Client(port, postern.authority.context()) as client:
        client.hear("220 ")
        client.say("EHLO c.example\r\n")
        client.hear("250 ")
        client.say(rcpt(" XRCPTFORWARD={}"))
        client.hear("530 ")
        client.say(f"AUTH PLAIN {CREDENTIALS}\r\n")
        client.hear("235 ")
        # Behind a login octets flow.
        client.say("EHLO c.example\r\n")
        assert "XRCPTFORWARD" not in client.hear("250 ")
        client.say(f"MAIL FROM:<{USER}>\r\n{rcpt(' XRCPTFORWARD={}')}")
        client.hear("250 ")
        client.hear("555 ", "501 ")


@pytest.mark.parametrize("end", ["\n.\n", "\r\n.\n", "\n.\r\n", "\r.\r"])
def test_behind_an_end_of_a_mail_that_only_some_take_for_one(postern, believing, end):
    port = serve(postern, believing, "lmtp", False)
    with Client(port, postern.authority.context()) as client:
        client.say(f"LHLO c.example\r\nMAIL FROM:<a@elsewhere.example>\r\nRCPT TO:<{USER}>\r\nDATA\r\n")
        client.hear("354 ")
        client.say(f"Subject: x\r\n\r\nend{end}XCLIENT ADDR={FORGED}\r\nMAIL FROM:<b@elsewhere.example>\r\n"
                   f"RCPT TO:<{USER}>\r\nDATA\r\n")
        client.say("Subject: y\r\n\r\nend\r\n.\r\nQUIT\r\n")
        client.hear("221 ")
    assert FORGED not in seen(believing, "lmtp")
    assert all(f"[{FORGED}]" not in mail for mail in mails(believing))


@pytest.mark.parametrize("field", ['"x-originating-ip"', '"X-Originating-IP"', r'"x\-originating\-ip"',
                                   "{16+}\r\nx-originating-ip"])
@IDENTIFY
def test_imap_id(postern, believing, identify, field):
    port = serve(postern, believing, "imap", identify)
    with Client(port, postern.authority.context()) as client:
        client.hear("* OK")
        client.say(f'a ID ("name" "test" {field} "{FORGED}")\r\n')
        client.hear("a OK")
        client.say(f"b LOGIN {USER} {PASSWORD}\r\n")
        client.hear("b OK")
    assert FORGED not in seen(believing, "imap")


def test_imap(postern, believing):
    port = serve(postern, believing, "imap", False)
    with Client(port, postern.authority.context()) as client:
        assert "STARTTLS" not in client.hear("* OK")
        for command in ("a STARTTLS\r\n", "a starttls x\r\n"):
            client.say(command)
            client.hear("a BAD")
        client.say("b CAPABILITY\r\n")
        assert "STARTTLS" not in client.hear("b OK")
        client.say(f"c LOGIN {USER} {{{len(PASSWORD)}}}\r\n")
        client.hear("+ ")
        client.say(f"{PASSWORD}\r\n")
        client.hear("c OK")
        mail = "Subject: x\r\n\r\na STARTTLS\r\n"
        client.say(f"x CREATE own\r\nd APPEND own {{{len(mail)}+}}\r\n{mail}\r\n")
        client.hear("d OK")
        client.say("e SELECT own\r\nf FETCH 1 BODY[TEXT]\r\n")
        assert "a STARTTLS" in client.hear("f OK")


@pytest.mark.parametrize("service", ["pop3", "lmtp"])
def test_without_tls_too(postern, believing, service):
    """A client that goes on in plain text, behind a listener with require_tls = false."""
    port = serve(postern, believing, service, False, "starttls", require_tls=False)
    with Client(port, tls=False) as client:
        if service == "pop3":
            client.hear("+OK")
            client.say(f"USER {USER}\r\nXCLIENT ADDR={FORGED}\r\nSTLS\r\nPASS {PASSWORD}\r\n")
            assert client.hear("+OK Logged in").count("-ERR") == 2
        else:
            client.hear("220 ")
            client.say("LHLO c.example\r\n")
            client.hear("250 ")
            client.say(f"MAIL FROM:<>\r\nRSET\r\nXCLIENT ADDR={FORGED}\r\nSTARTTLS\r\nQUIT\r\n")
            assert len(re.findall("(?m)^5", client.hear("221 "))) == 2
    assert FORGED not in seen(believing, service)
