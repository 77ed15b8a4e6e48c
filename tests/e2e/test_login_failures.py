"""Failed logins, as the servers behind tell of them: a log line each, and a pause for whoever has too many.

Shows the part of row E7 that is about logins, with Dovecot's IMAP, POP3, ManageSieve and submission, and Postfix. That no
mail is taken for a failed login, and no successful login for one, is shown as well.
"""

import base64
import imaplib
import poplib
import smtplib
import socket
import ssl

import pytest

from conftest import _temporary
from support.servers import PASSWORD, USER, servers_at
from support.tls import connect, read_to_end
from support.waiting import wait_for


@pytest.fixture(scope="module")
def servers(pair):
    with _temporary("l") as path, servers_at(path, pair, believing=True) as made:
        yield made


def plain(password):
    return base64.b64encode(f"\0{USER}\0{password}".encode()).decode()


def imap_logins(port, context, passwords):
    with imaplib.IMAP4_SSL("127.0.0.1", port, ssl_context=context) as client:
        for password in passwords:
            if password == PASSWORD:
                client.login(USER, password)
            else:
                with pytest.raises(imaplib.IMAP4.error):
                    client.login(USER, password)


def pop3_logins(port, context, passwords):
    client = poplib.POP3_SSL("127.0.0.1", port, context=context)
    client.capa()
    for password in passwords:
        client.user(USER)
        if password == PASSWORD:
            client.pass_(password)
        else:
            with pytest.raises(poplib.error_proto):
                client.pass_(password)
    client.quit()


def smtp_logins(port, context, passwords):
    with smtplib.SMTP_SSL("127.0.0.1", port, context=context) as client:
        for password in passwords:
            if password == PASSWORD:
                client.login(USER, password)
                client.sendmail(USER, [USER], "Subject: 535 5.7.8 no\r\n\r\n535 5.7.8 no\r\na NO no\r\n")
            else:
                with pytest.raises(smtplib.SMTPAuthenticationError):
                    client.login(USER, password)


def sieve_logins(port, context, passwords):
    with connect(port, context) as client, client.makefile("rwb") as file:
        def answer():
            while True:
                line = file.readline()
                if line.split(b" ")[0].strip() in (b"OK", b"NO", b"BYE"):
                    return line

        assert answer().startswith(b"OK")
        for password in passwords:
            file.write(f'AUTHENTICATE "PLAIN" "{plain(password)}"\r\n'.encode())
            file.flush()
            assert answer().startswith(b"OK" if password == PASSWORD else b"NO")


LOGINS = {"imap": imap_logins, "pop3": pop3_logins, "submission": smtp_logins, "sieve": sieve_logins}


def unverified():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def faults(postern):
    return sum(worker["faults"]["login"] for worker in postern.workers())


# One login that fails on each connection: servers let the second one wait, longer each time.
@pytest.mark.parametrize("told", [False, True], ids=["", "told-who-the-client-is"])
@pytest.mark.parametrize("service", LOGINS)
def test_failed_logins_are_counted_and_told(postern, servers, service, told):
    settings = {"identify_clients": True} if told else {}
    port = postern.serve(f"localhost:{servers.port(service)}", service, backend_settings=settings)
    postern.start()
    LOGINS[service](port, unverified(), ["wrong", PASSWORD])
    (line,) = postern.wait_for_lines("login failed")
    assert line["service"] == service and line["client"].startswith("127.0.0.1:")
    assert line["server"] == f"localhost:{servers.port(service)}"
    LOGINS[service](port, unverified(), [PASSWORD])
    postern.wait_idle()
    assert faults(postern) == len(postern.lines("login failed")) == 1


def test_behind_starttls_too(postern, servers):
    port = postern.serve(f"localhost:{servers.port('imap')}", "imap", tls="starttls",
                         backend_settings={"tls": "starttls", "tls_ca": postern.authority.ca})
    postern.start()
    with imaplib.IMAP4("127.0.0.1", port) as client:
        client.starttls(unverified())
        with pytest.raises(imaplib.IMAP4.error):
            client.login(USER, "wrong")
        client.login(USER, PASSWORD)
    postern.wait_for_lines("login failed")
    assert faults(postern) == 1


def test_postfix_and_who_sends_without_logging_in(postern, servers):
    mx = postern.serve(f"localhost:{servers.port('smtps')}", "smtp",
                       backend_settings={"tls": "implicit", "tls_ca": postern.authority.ca})
    submission = postern.serve(f"localhost:{servers.postfix.port('submission')}", "submission", name="submission")
    postern.start()
    with smtplib.SMTP_SSL("127.0.0.1", mx, context=unverified()) as client:
        client.sendmail("a@elsewhere.example", [USER], "Subject: x\r\n\r\nAUTH PLAIN AGEAYg==\r\n535 5.7.8 no\r\n")
    postern.wait_idle()
    assert faults(postern) == 0
    smtp_logins(submission, unverified(), ["wrong", PASSWORD])
    (line,) = postern.wait_for_lines("login failed")
    assert line["listener"] == "submission"
    assert faults(postern) == 1


def test_too_many_failed_logins_bring_a_pause(postern, servers):
    postern.config["limits"].update({"failures_per_address": 3, "penalty": "1h", "penalty_max": "1h"})
    imap = postern.serve(f"localhost:{servers.port('imap')}", "imap", tls="starttls", require_tls=False)
    pop3 = postern.serve(f"localhost:{servers.port('pop3')}", "pop3", name="pop3")
    postern.start()
    with connect(pop3, postern.authority.context()) as held:
        assert held.recv(100).startswith(b"+OK")
        for number in range(3):
            with imaplib.IMAP4("127.0.0.1", imap) as client:
                with pytest.raises(imaplib.IMAP4.error):
                    client.login(USER, "wrong")
            wait_for(lambda number=number: faults(postern) == number + 1, "the failed login to be counted")
        (line,) = postern.wait_for_lines("address has to pause")
        assert line["fault"] == "login" and line["client"] == "127.0.0.1"
        with socket.create_connection(("127.0.0.1", imap)) as refused:
            assert read_to_end(refused).startswith(b"* BYE [UNAVAILABLE]")
        # Who is here is served on.
        held.sendall(b"QUIT\r\n")
        assert held.recv(100).startswith(b"+OK")
