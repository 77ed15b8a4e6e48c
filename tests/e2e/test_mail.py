"""Mail goes out and comes back through Postern, with stock clients and real mail servers behind it.

Shows row A1 (implicit TLS on its own port: SMTPS, IMAPS, POP3S, HTTPS, ManageSieve with TLS), and of
E3 that each connection leaves one line in the log.
"""

import base64
import imaplib
import poplib
import smtplib
import socket
import uuid

import pytest

from support.clients import Dialog, curl, mbsync, run
from support.demo import DemoServer
from support.ports import free_port
from support.tls import connect
from support.waiting import wait_for


class Site:
    """Postern before Dovecot, Postfix and a web server: one listener per service."""

    def __init__(self, postern, mail_system, demo):
        self.postern, self.mail, self.demo = postern, mail_system, demo
        self.authority = postern.authority
        self.ca = postern.authority.ca
        self.directory = postern.directory
        dovecot, postfix = mail_system.dovecot, mail_system.postfix
        self.ports = {}
        for service, port in (("imap", dovecot.port("imap")), ("pop3", dovecot.port("pop3")),
                              ("sieve", dovecot.port("sieve")), ("submission", postfix.port("submission")),
                              ("smtp", postfix.port("smtp")), ("http", demo.port("http"))):
            postern.add_backend(service, f"127.0.0.1:{port}")
            self.ports[service] = postern.add_listener(service, service)
        postern.add_backend("imap-unix", f"unix:{dovecot.imap_socket}")
        self.ports["unix"] = postern.add_listener("unix", "imap", backend="imap-unix")
        self.ports["v6"] = postern.add_listener("v6", "imap", backend="imap", address="::1")
        self.ports["dual"] = postern.add_listener("dual", "imap", backend="imap", address="*")
        several = free_port()
        self.ports["several"] = postern.add_listener(
            "several", "imap", backend="imap", port=several, address=["127.0.0.1", f"[::1]:{several}", "127.0.0.2"])
        postern.start()

    def mail_to(self, user):
        token = uuid.uuid4().hex
        text = (f"From: {user}\r\nTo: {user}\r\nSubject: {token}\r\n\r\n"
                f".dot\r\n{'long ' * 150}\r\nend {token}\r\n")
        return token, text.encode()

    def smtplib_send(self, user, text):
        with smtplib.SMTP_SSL("localhost", self.ports["submission"], context=self.authority.context()) as client:
            client.login(user, self.mail.password)
            client.sendmail(user, [user], text)

    def imap(self, user, service="imap", address="localhost"):
        client = imaplib.IMAP4_SSL(address, self.ports[service], ssl_context=self.authority.context())
        client.login(user, self.mail.password)
        return client

    def wait_for_mail(self, user, token):
        """Its octets, once it is in the user's INBOX."""

        def look():
            client = self.imap(user)
            try:
                client.select("INBOX", readonly=True)
                found = client.search(None, "SUBJECT", token)[1][0].split()
                return client.fetch(found[0], "(BODY.PEEK[])")[1][0][1] if found else None
            finally:
                client.logout()

        return wait_for(look, f"mail {token} to be delivered")

    def delivered(self):
        """A user with one mail in the INBOX, its token and octets as stored."""
        user = self.mail.new_user()
        token, text = self.mail_to(user)
        self.smtplib_send(user, text)
        return user, token, self.wait_for_mail(user, token)


@pytest.fixture(scope="module")
def site(module_postern, mail_system, tmp_path_factory):
    demo = DemoServer(tmp_path_factory.mktemp("demo"), services=("http",))
    try:
        yield Site(module_postern, mail_system, demo)
    finally:
        demo.stop()


def send_by_curl(site, user, text, directory):
    (directory / "mail").write_bytes(text)
    curl(f"smtps://localhost:{site.ports['submission']}", "--user", f"{user}:{site.mail.password}",
         "--mail-from", user, "--mail-rcpt", user, "--upload-file", directory / "mail", ca=site.ca)


def send_by_swaks(site, user, text, directory):
    (directory / "mail").write_bytes(text)
    run(["swaks", "--server", "localhost", "--port", site.ports["submission"], "--tls-on-connect",
         "--tls-verify", "--tls-ca-path", site.ca, "--auth", "PLAIN", "--auth-user", user,
         "--auth-password", site.mail.password, "--from", user, "--to", user,
         "--data", f"@{directory / 'mail'}"])


def send_by_swaks_to_smtp(site, user, text, directory):
    (directory / "mail").write_bytes(text)
    run(["swaks", "--server", "localhost", "--port", site.ports["smtp"], "--tls-on-connect",
         "--from", user, "--to", user, "--data", f"@{directory / 'mail'}"])


def send_by_smtplib(site, user, text, directory):
    site.smtplib_send(user, text)


@pytest.mark.parametrize("send", [send_by_curl, send_by_swaks, send_by_swaks_to_smtp, send_by_smtplib])
def test_mail_sent_over_tls_is_delivered(site, directory, send):
    user = site.mail.new_user()
    token, text = site.mail_to(user)
    send(site, user, text, directory)
    stored = site.wait_for_mail(user, token)
    assert stored.partition(b"\r\n\r\n")[2].rstrip() == text.partition(b"\r\n\r\n")[2].rstrip()


def read_by_curl_imap(site, user, directory):
    return curl(f"imaps://localhost:{site.ports['imap']}/INBOX;MAILINDEX=1",
                "--user", f"{user}:{site.mail.password}", ca=site.ca).stdout


def read_by_curl_pop3(site, user, directory):
    return curl(f"pop3s://localhost:{site.ports['pop3']}/1",
                "--user", f"{user}:{site.mail.password}", ca=site.ca).stdout


def read_by_poplib(site, user, directory):
    client = poplib.POP3_SSL("localhost", site.ports["pop3"], context=site.authority.context())
    client.user(user)
    client.pass_(site.mail.password)
    lines = client.retr(1)[1]
    client.quit()
    return b"\r\n".join(lines) + b"\r\n"


def read_by_mbsync(site, user, directory):
    found = mbsync(directory, site.ports["imap"], user, f'"{site.mail.password}"', ca=site.ca)
    assert len(found) == 1
    # mbsync writes LF, and marks the mail with a header of its own.
    lines = [line for line in found[0].read_bytes().split(b"\n") if not line.startswith(b"X-TUID:")]
    return b"\r\n".join(lines)


def read_by_s_client(site, user, directory):
    dialog = (f'a LOGIN {user} "{site.mail.password}"\r\nb SELECT INBOX\r\n'
              "c FETCH 1 (BODY.PEEK[])\r\nd LOGOUT\r\n")
    out = run(["openssl", "s_client", "-quiet", "-verify_return_error", "-verify_hostname", "localhost",
               "-CAfile", site.ca, "-connect", f"localhost:{site.ports['imap']}"],
              stdin=None, input=dialog.encode()).stdout
    head, _, rest = out.partition(b"* 1 FETCH (BODY[] {")
    assert head and rest, out
    size, _, rest = rest.partition(b"}\r\n")
    return rest[:int(size)]


@pytest.mark.parametrize("read", [read_by_curl_imap, read_by_curl_pop3, read_by_poplib, read_by_mbsync,
                                  read_by_s_client])
def test_mail_is_read_as_it_is_stored(site, directory, read):
    user, _, stored = site.delivered()
    assert read(site, user, directory).rstrip() == stored.rstrip()


def test_idle_tells_of_new_mail(site):
    user = site.mail.new_user()
    with connect(site.ports["imap"], site.authority.context()) as client:
        dialog = Dialog(client)
        dialog.ask(f'a LOGIN {user} "{site.mail.password}"'.encode(), b"a OK")
        dialog.ask(b"b SELECT INBOX", b"b OK")
        dialog.ask(b"c IDLE", b"+ ")
        site.smtplib_send(user, site.mail_to(user)[1])
        dialog.until(b"* 1 EXISTS")
        dialog.ask(b"DONE", b"c OK")


def test_sieve_scripts_are_managed(site):
    user = site.mail.new_user()
    with connect(site.ports["sieve"], site.authority.context()) as client:
        dialog = Dialog(client)
        dialog.until(b"OK")
        secret = base64.b64encode(f"\0{user}\0{site.mail.password}".encode()).decode()
        assert dialog.ask(f'AUTHENTICATE "PLAIN" "{secret}"'.encode(), b"OK", b"NO").startswith(b"OK")
        assert dialog.ask(b'PUTSCRIPT "mine" {5+}\r\nkeep;', b"OK", b"NO").startswith(b"OK")
        assert dialog.ask(b"LISTSCRIPTS", b'"mine"')


def test_web_page_is_served(site):
    url = f"https://localhost:{site.ports['http']}/"
    # The second request goes over the connection of the first.
    out = curl(url, url + "count", "--write-out", "%{num_connects}\\n", ca=site.ca).stdout
    assert out.startswith(b"0\n1\n<!DOCTYPE html>")
    assert out.endswith(b"</html>\n0\n")


@pytest.mark.parametrize("service, addresses", [
    ("unix", ["127.0.0.1"]), ("v6", ["::1"]), ("dual", ["127.0.0.1", "::1", "127.0.0.9"]),
    ("several", ["127.0.0.1", "::1", "127.0.0.2"])])
def test_listeners_and_back_ends_of_every_kind_of_address(site, service, addresses):
    user = site.mail.new_user()
    for address in addresses:
        with connect(site.ports[service], site.authority.context(), address=address) as client:
            dialog = Dialog(client)
            dialog.until(b"* OK")
            dialog.ask(f'a LOGIN {user} "{site.mail.password}"'.encode(), b"a OK")
            # Postern logs the client as it is, an IPv4 one of a dual-stack socket included.
            mine = client.getsockname()
        shown = f"[{mine[0]}]:{mine[1]}" if ":" in mine[0] else f"{mine[0]}:{mine[1]}"
        assert site.postern.closed(client=shown, listener=service)


def test_address_that_is_not_listened_on_is_refused(site):
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.3", site.ports["several"]))


def test_each_connection_leaves_one_line(site):
    user = site.mail.new_user()
    client = site.imap(user)
    host, port = client.sock.getsockname()[:2]
    client.logout()
    line = site.postern.closed(listener="imap", client=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    expected = {"level": "info", "listener": "imap", "service": "imap", "sni": "localhost",
                "tls_version": "TLSv1.3", "resumed": "false", "certificate": "localhost", "backend": "imap",
                "server": f"127.0.0.1:{site.mail.dovecot.port('imap')}", "generation": "1"}
    assert expected.items() <= line.items()
    # Python's client goes without close_notify; who is first is the machine's affair.
    assert line["how"] in ("server-closed", "client-closed", "client-truncated")
    assert line["cipher"].startswith("TLS_") and line["process"].startswith("worker/")
    assert int(line["bytes_in"]) > 20 and int(line["bytes_out"]) > 100 and float(line["duration"]) >= 0
