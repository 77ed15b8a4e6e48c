"""The demo mail server by itself: what tools/quickstart shows and other tests build on.

Not a feature row; a fault here would look like one of Postern's.
"""

import contextlib
import email
import imaplib
import os
import poplib
import resource
import smtplib
import socket
import urllib.request

import pytest

from support.clients import Dialog, curl, mbsync
from support.demo import DemoServer
from support.waiting import wait_for

MAIL = (b"From: Ann <ann@example.org>\r\nTo: demo@example.org\r\nSubject: first\r\n"
        b"Message-ID: <1@example.org>\r\n\r\nHello.\r\n.dot\r\n..two\r\nend\r\n")


def multipart_mail():
    message = email.message.EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.org", "demo@example.org", 'a "quoted" one'
    message.set_content("text\n")
    message.add_alternative("<p>html</p>\n", subtype="html")
    message.add_attachment(b"\0\1\2", maintype="application", subtype="octet-stream", filename="x.bin")
    return message.as_bytes(policy=email.policy.SMTP)


def send(demo, octets=MAIL, login=False):
    with smtplib.SMTP("127.0.0.1", demo.port("smtp")) as client:
        if login:
            client.login(demo.user, demo.password)
        client.sendmail("ann@example.org", ["demo@example.org"], octets)


@contextlib.contextmanager
def imap(demo, select=True):
    client = imaplib.IMAP4("127.0.0.1", demo.port("imap"))
    client.login(demo.user, demo.password)
    if select:
        client.select()
    try:
        yield client
    finally:
        client.logout()


def test_sends_and_reads_back_the_same_octets(demo):
    send(demo, login=True)
    with imap(demo) as client:
        octets = client.fetch("1", "(BODY.PEEK[])")[1][0][1]
        assert octets.endswith(MAIL)
        assert client.search(None, "UNSEEN", "SUBJECT", "FIRST")[1] == [b"1"]
    pop = poplib.POP3("127.0.0.1", demo.port("pop3"))
    pop.user(demo.user)
    pop.pass_(demo.password)
    assert pop.stat()[0] == 1
    assert b"\r\n".join(pop.retr(1)[1]) + b"\r\n" == octets
    assert len(pop.top(1, 1)[1]) == len(octets.split(b"\r\n\r\n")[0].split(b"\r\n")) + 2
    pop.dele(1)
    pop.quit()
    page = urllib.request.urlopen(f"http://127.0.0.1:{demo.port('http')}/count").read()
    assert page == b"0\n"


def test_wrong_password_is_refused_everywhere(demo):
    with pytest.raises(imaplib.IMAP4.error):
        imaplib.IMAP4("127.0.0.1", demo.port("imap")).login(demo.user, "wrong")
    with pytest.raises(poplib.error_proto):
        client = poplib.POP3("127.0.0.1", demo.port("pop3"))
        client.user(demo.user)
        client.pass_("wrong")
    with pytest.raises(smtplib.SMTPAuthenticationError):
        smtplib.SMTP("127.0.0.1", demo.port("smtp")).login(demo.user, "wrong")


def test_structure_of_a_multipart_mail(demo):
    send(demo, multipart_mail())
    with imap(demo) as client:
        structure = client.fetch("1", "(BODYSTRUCTURE ENVELOPE)")[1][0]
        assert b'(("text" "plain" ("charset" "utf-8") NIL NIL "7bit" 6 1 NIL NIL NIL NIL)' in structure
        assert b'"application" "octet-stream" NIL NIL NIL "base64"' in structure
        assert b'("attachment" ("filename" "x.bin"))' in structure
        assert b'"a \\"quoted\\" one"' in structure
        assert client.fetch("1", "(BODY.PEEK[1.2])")[1][0][1] == b"<p>html</p>\r\n"
        assert b"text/html" in client.fetch("1", "(BODY.PEEK[1.2.MIME])")[1][0][1]
        header = client.fetch("1", "(BODY.PEEK[HEADER.FIELDS (SUBJECT X-NONE)])")[1][0][1]
        assert header == b'Subject: a "quoted" one\r\n\r\n'
        assert client.fetch("1", "(BODY.PEEK[TEXT]<0.4>)")[1][0][1] == b"--=="
        assert client.fetch("1", "(BODY.PEEK[9])")[1][0].endswith(b"BODY[9] NIL)")


def test_flags_copies_and_expunge(demo):
    for _ in range(3):
        send(demo)
    with imap(demo) as client:
        assert client.create("Archive/2026")[0] == "OK"
        assert [row.split()[-1] for row in client.list()[1]] == [b'"Archive/2026"', b'"INBOX"']
        assert client.store("2", "+FLAGS", r"(\seen $Label)")[1] == [rb"2 (FLAGS (\Seen $Label \Recent))"]
        assert client.copy("2:3", "Archive/2026")[0] == "OK"
        assert client.copy("1", "Nowhere")[0] == "NO"
        client.store("1:2", "+FLAGS.SILENT", r"\Deleted")
        assert client.expunge()[1] == [b"2", b"1"]
        assert client.uid("SEARCH", "UID", "1:*")[1] == [b"3"]
        assert client.status("Archive/2026", "(MESSAGES UIDNEXT UNSEEN)")[1] == \
            [b'"Archive/2026" (MESSAGES 2 UIDNEXT 3 UNSEEN 1)']
        status = client.append("Archive/2026", r"(\Draft)", '"01-Feb-2026 10:20:30 +0100"', MAIL)
        assert status[0] == "OK" and b"APPENDUID" in status[1][0]
        client.select("Archive/2026")
        assert b'"01-Feb-2026 10:20:30 +0100"' in client.fetch("3", "INTERNALDATE")[1][0].replace(b'" 1', b'"01')


def test_idle_is_told_of_new_mail(demo):
    with socket.create_connection(("127.0.0.1", demo.port("imap"))) as client:
        dialog = Dialog(client)
        dialog.ask(f"a LOGIN {demo.user} {demo.password}\r\nb SELECT INBOX\r\nc IDLE".encode(), b"+ ")
        send(demo)
        assert dialog.line() == b"* 1 EXISTS\r\n"
        assert dialog.ask(b"DONE", b"c ") == b"c OK IDLE done\r\n"


def test_only_crlf_dot_crlf_ends_a_mail(demo):
    with socket.create_connection(("127.0.0.1", demo.port("smtp"))) as client:
        dialog = Dialog(client)
        dialog.until(b"220 ")
        for command in (b"EHLO me", b"MAIL FROM:<a@b>", b"RCPT TO:<c@d>"):
            dialog.ask(command, b"250 ")
        dialog.ask(b"DATA", b"354 ")
        dialog.ask(b"one\n.\nMAIL FROM:<smuggled@b>\r\n.", b"250 ")
        assert dialog.ask(b"QUIT", b"2").startswith(b"221 ")
    with imap(demo) as client:
        assert client.search(None, "ALL")[1] == [b"1"]
        assert client.fetch("1", "(BODY.PEEK[])")[1][0][1].endswith(b"one\r\n\r\nMAIL FROM:<smuggled@b>\r\n")


@pytest.mark.parametrize("service", ["smtp", "imap", "pop3", "http"])
def test_bad_input_ends_only_its_own_connection(demo, service):
    for octets in (b"\0\xff" * 40000, b"a" * 200_000 + b"\r\n", b"\r\n" * 1000,
                   b"a LOGIN {99999999+}\r\n", b"a FETCH (((((((\r\n" * 100,
                   b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 500):
        with socket.create_connection(("127.0.0.1", demo.port(service))) as client:
            with contextlib.suppress(OSError):
                client.sendall(octets)
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass
    send(demo)
    with imap(demo) as client:
        assert client.search(None, "ALL")[1] == [b"1"]
    assert "Traceback" not in demo.process.text()


def test_message_beyond_the_limit_is_refused(directory):
    demo = DemoServer(directory, extra=["--message-limit", "10000", "--total-limit", "15000"])
    try:
        with smtplib.SMTP("127.0.0.1", demo.port("smtp")) as client:
            client.ehlo()
            client.does_esmtp = False  # so that the limit is not seen in SIZE beforehand
            with pytest.raises(smtplib.SMTPDataError):
                client.sendmail("a@b", ["c@d"], MAIL + b"x" * 70 + b"\r\n" + b"line\r\n" * 2000)
            client.sendmail("a@b", ["c@d"], MAIL + b"line\r\n" * 1500)
            with pytest.raises(smtplib.SMTPDataError):
                client.sendmail("a@b", ["c@d"], MAIL + b"line\r\n" * 1500)
        with imap(demo) as client:
            assert client.append("INBOX", None, None, b"x" * 20000)[0] == "NO"
            assert client.noop()[0] == "OK"
    finally:
        demo.stop()


def test_mbsync_fetches_and_curl_reads(demo, directory):
    send(demo)
    send(demo, multipart_mail())
    found = mbsync(directory, demo.port("imap"), demo.user, demo.password, host="127.0.0.1")
    assert sorted(path.read_bytes().count(b"first") for path in found) == [0, 1]
    read = curl(f"imap://127.0.0.1:{demo.port('imap')}/INBOX;MAILINDEX=1", "--user", f"{demo.user}:{demo.password}")
    assert read.stdout.endswith(MAIL)


def test_holds_5000_idle_connections(demo):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(5000, hard - 500)
    assert count > 1000, "the limit of open files is too low for this test"
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", demo.port("imap"))))
                   for _ in range(count)]
        for client in clients:
            assert client.recv(4096).startswith(b"* OK ")
        send(demo)
    wait_for(lambda: len(os.listdir(f"/proc/{demo.process.pid}/fd")) < 100, "the descriptors to be given back")


def test_ends_cleanly_on_sigterm_with_clients_connected(demo):
    with socket.create_connection(("127.0.0.1", demo.port("imap"))) as client:
        client.recv(4096)
        assert demo.stop() == 0
    assert "Traceback" not in demo.process.text()
