"""Clients that begin in plain text and ask for TLS, with real mail servers behind.

Shows rows A2 and A3: SMTP, submission, LMTP, IMAP, POP3 and ManageSieve by STARTTLS; what is refused and
what is handed over without it.
"""

import base64
import contextlib
import imaplib
import os
import poplib
import smtplib
import socket

import pytest

from support.clients import Dialog, curl, mbsync, run
from support.mailbox import body, delivered, message, wait_for_mail
from support.tls import read_to_end
from support.waiting import wait_for

SERVICES = ("imap", "pop3", "sieve", "submission", "smtp", "lmtp")


class Site:
    """For each service a listener that requires TLS, NAME, and one that does not, NAME-optional."""

    def __init__(self, postern, mail):
        self.postern, self.mail = postern, mail
        self.authority, self.ca = postern.authority, postern.authority.ca
        self.ports = {}
        dovecot, postfix = mail.dovecot, mail.postfix
        for service in SERVICES:
            server = postfix if service in ("submission", "smtp") else dovecot
            postern.add_backend(service, f"127.0.0.1:{server.port(service)}")
            self.ports[service] = self.add(service, service)
            self.ports[f"{service}-optional"] = self.add(f"{service}-optional", service, require_tls=False)
        postern.start()

    def add(self, name, service, **settings):
        return self.postern.add_listener(name, service, backend=service, tls="starttls", host_name="mx.example.test",
                                         **settings)

    @contextlib.contextmanager
    def dialog(self, name):
        """A plain connection to a listener, the greeting not read."""
        with socket.create_connection(("127.0.0.1", self.ports[name])) as sock:
            yield Dialog(sock)

    def secure(self, dialog):
        """TLS on a dialog that was told to go ahead."""
        assert dialog.pending == b""
        return Dialog(self.authority.context().wrap_socket(dialog.sock, server_hostname="localhost",
                                                           suppress_ragged_eofs=False))


@pytest.fixture(scope="module")
def site(module_postern, mail_system):
    return Site(module_postern, mail_system)


def whole(dialog):
    """All that is said until the other side ends the connection."""
    return dialog.pending + read_to_end(dialog.sock)


# --- Mail goes out ---


def send_by_curl(site, user, text, directory):
    (directory / "mail").write_bytes(text)
    curl(f"smtp://localhost:{site.ports['submission']}", "--ssl-reqd", "--user", f"{user}:{site.mail.password}",
         "--mail-from", user, "--mail-rcpt", user, "--upload-file", directory / "mail", ca=site.ca)


def send_by_swaks(site, user, text, directory):
    (directory / "mail").write_bytes(text)
    run(["swaks", "--server", "localhost", "--port", site.ports["submission"], "--tls", "--tls-verify",
         "--tls-ca-path", site.ca, "--auth", "PLAIN", "--auth-user", user, "--auth-password", site.mail.password,
         "--from", user, "--to", user, "--data", f"@{directory / 'mail'}"])


def send_by_swaks_to_smtp(site, user, text, directory):
    (directory / "mail").write_bytes(text)
    run(["swaks", "--server", "localhost", "--port", site.ports["smtp-optional"], "--tls",
         "--from", user, "--to", user, "--data", f"@{directory / 'mail'}"])


def send_by_smtplib(site, user, text, directory):
    with smtplib.SMTP("localhost", site.ports["submission"]) as client:
        client.starttls(context=site.authority.context())
        client.login(user, site.mail.password)
        client.sendmail(user, [user], text)


def send_by_msmtp(site, user, text, directory):
    configuration = directory / "msmtprc"
    configuration.write_text(f"""account default
host localhost
port {site.ports['submission']}
tls on
tls_starttls on
tls_trust_file {site.ca}
auth on
user {user}
password "{site.mail.password}"
from {user}
""")
    configuration.chmod(0o600)
    run(["msmtp", "--file", configuration, user], stdin=None, input=text.replace(b"\r\n", b"\n"))


def send_by_lmtp(site, user, text, directory):
    with smtplib.LMTP("localhost", site.ports["lmtp"]) as client:
        client.starttls(context=site.authority.context())
        client.sendmail(user, [user], text)


def send_without_tls(site, user, text, directory):
    with smtplib.SMTP("localhost", site.ports["smtp-optional"]) as client:
        client.sendmail(user, [user], text)


def send_without_tls_or_ehlo(site, user, text, directory):
    with smtplib.SMTP("localhost", site.ports["smtp-optional"]) as client:
        client.helo("client.example.test")
        client.sendmail(user, [user], text)


def send_without_tls_by_lmtp(site, user, text, directory):
    with smtplib.LMTP("localhost", site.ports["lmtp-optional"]) as client:
        client.sendmail(user, [user], text)


@pytest.mark.parametrize("send", [
    send_by_curl, send_by_swaks, send_by_swaks_to_smtp, send_by_smtplib, send_by_msmtp, send_by_lmtp,
    send_without_tls, send_without_tls_or_ehlo, send_without_tls_by_lmtp])
def test_mail_is_delivered(site, directory, send):
    user = site.mail.new_user()
    token, text = message(user)
    send(site, user, text, directory)
    assert body(wait_for_mail(site.mail, user, token)) == body(text)


# --- Mail is read ---


def read_by_curl_imap(site, user, directory):
    return curl(f"imap://localhost:{site.ports['imap']}/INBOX;MAILINDEX=1", "--ssl-reqd",
                "--user", f"{user}:{site.mail.password}", ca=site.ca).stdout


def read_by_curl_pop3(site, user, directory):
    return curl(f"pop3://localhost:{site.ports['pop3']}/1", "--ssl-reqd",
                "--user", f"{user}:{site.mail.password}", ca=site.ca).stdout


def read_by_imaplib(site, user, directory, secure=True):
    client = imaplib.IMAP4("localhost", site.ports["imap" if secure else "imap-optional"])
    if secure:
        client.starttls(ssl_context=site.authority.context())
    client.login(user, site.mail.password)
    client.select("INBOX", readonly=True)
    octets = client.fetch("1", "(BODY.PEEK[])")[1][0][1]
    client.logout()
    return octets


def read_by_poplib(site, user, directory, secure=True):
    client = poplib.POP3("localhost", site.ports["pop3" if secure else "pop3-optional"])
    if secure:
        client.stls(context=site.authority.context())
    client.user(user)
    client.pass_(site.mail.password)
    lines = client.retr(1)[1]
    client.quit()
    return b"\r\n".join(lines) + b"\r\n"


def read_by_imaplib_without_tls(site, user, directory):
    return read_by_imaplib(site, user, directory, secure=False)


def read_by_poplib_without_tls(site, user, directory):
    return read_by_poplib(site, user, directory, secure=False)


def read_by_curl_without_tls(site, user, directory):
    # curl logs in by AUTHENTICATE where it is offered and by LOGIN where not.
    return curl(f"imap://localhost:{site.ports['imap-optional']}/INBOX;MAILINDEX=1",
                "--user", f"{user}:{site.mail.password}").stdout


def from_maildir(octets):
    """A mail as a client's Maildir has it (LF, with a header of the client's own), as it was sent."""
    lines = [line for line in octets.split(b"\n") if not line.startswith(b"X-TUID:")]
    return b"\r\n".join(lines)


def read_by_mbsync(site, user, directory):
    found = mbsync(directory, site.ports["imap"], user, f'"{site.mail.password}"', ca=site.ca, tls="STARTTLS")
    assert len(found) == 1
    return from_maildir(found[0].read_bytes())


def new_maildir(directory):
    for name in ("cur", "new", "tmp"):
        (directory / "Maildir" / name).mkdir(parents=True)
    return directory / "Maildir"


def read_by_mpop(site, user, directory):
    maildir = new_maildir(directory)
    configuration = directory / "mpoprc"
    configuration.write_text(f"""account default
host localhost
port {site.ports['pop3']}
tls on
tls_starttls on
tls_trust_file {site.ca}
user {user}
password "{site.mail.password}"
received_header off
delivery maildir {maildir}
uidls_file {directory}/uidls
keep on
""")
    configuration.chmod(0o600)
    run(["mpop", "--file", configuration])
    (found,) = (maildir / "new").iterdir()
    return from_maildir(found.read_bytes())


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_fetchmail_reads_mail(site, directory, protocol):
    user, octets = delivered(site.mail)
    configuration = directory / "fetchmailrc"
    # Without "ssl" it is STARTTLS, and a protocol version named makes it required.
    configuration.write_text(f"""poll localhost protocol {protocol} port {site.ports[protocol]}
  user "{user}" password "{site.mail.password}"
  sslproto "TLS1.2+" sslcertck sslcertfile "{site.ca}"
  no rewrite keep mda "cat > {directory}/mail"
""")
    configuration.chmod(0o600)
    run(["fetchmail", "--fetchmailrc", configuration, "--invisible", "--pidfile", directory / "pid"],
        env={**os.environ, "FETCHMAILHOME": str(directory), "HOME": str(directory)})
    found = (directory / "mail").read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    assert body(found) == body(octets)


@pytest.mark.parametrize("read", [
    read_by_curl_imap, read_by_curl_pop3, read_by_imaplib, read_by_poplib, read_by_mbsync, read_by_mpop,
    read_by_imaplib_without_tls, read_by_poplib_without_tls, read_by_curl_without_tls])
def test_mail_is_read_as_it_is_stored(site, directory, read):
    user, octets = delivered(site.mail)
    assert read(site, user, directory).rstrip() == octets.rstrip()


# --- openssl s_client knows all of them ---


@pytest.mark.parametrize("service, name, words, answer", [
    ("submission", "smtp", b"EHLO x\r\nQUIT\r\n", b"250-AUTH PLAIN"),
    ("lmtp", "lmtp", b"LHLO x\r\nQUIT\r\n", b"250"),
    ("imap", "imap", b"a CAPABILITY\r\nb LOGOUT\r\n", b"AUTH=PLAIN"),
    ("pop3", "pop3", b"CAPA\r\nQUIT\r\n", b"SASL PLAIN"),
    ("sieve", "sieve", b"CAPABILITY\r\nLOGOUT\r\n", b'"SASL" "PLAIN')])
def test_openssl_begins_tls(site, service, name, words, answer):
    out = run(["openssl", "s_client", "-quiet", "-verify_return_error", "-verify_hostname", "localhost", "-CAfile",
               site.ca, "-starttls", name, "-connect", f"localhost:{site.ports[service]}"],
              stdin=None, input=words, check=False).stdout
    assert answer in out, out


# --- ManageSieve ---


def test_sieve_connect_manages_scripts(site, directory):
    user = site.mail.new_user()
    (directory / "mine").write_bytes(b"keep;\r\n")
    read, write = os.pipe()
    os.write(write, site.mail.password.encode() + b"\n")
    os.close(write)
    try:
        common = ["sieve-connect", "--server", "localhost", "--port", site.ports["sieve"], "--user", user,
                  "--tlscafile", site.ca, "--authmech", "PLAIN", "--passwordfd", read]
        run([*common, "--localsieve", directory / "mine", "--remotesieve", "mine", "--upload"], pass_fds=[read])
    finally:
        os.close(read)
    with site.dialog("sieve") as plain:
        dialog = log_in_to_sieve(site, plain, user)
        assert dialog.ask(b"LISTSCRIPTS", b'"mine"')


def log_in_to_sieve(site, plain, user):
    """TLS and a login over a plain dialog with the sieve listener."""
    plain.until(b"OK")
    plain.ask(b"STARTTLS", b"OK")
    dialog = site.secure(plain)
    # RFC 5804 section 2.2: the capabilities come again, unasked.
    assert b"SIEVE" in dialog.until(b'"SIEVE"')
    dialog.until(b"OK")
    secret = base64.b64encode(f"\0{user}\0{site.mail.password}".encode()).decode()
    dialog.ask(f'AUTHENTICATE "PLAIN" "{secret}"'.encode(), b"OK")
    return dialog


def test_sieve_without_tls(site):
    user = site.mail.new_user()
    with site.dialog("sieve-optional") as dialog:
        dialog.until(b"OK")
        secret = base64.b64encode(f"\0{user}\0{site.mail.password}".encode()).decode()
        assert dialog.ask(f'AUTHENTICATE "PLAIN" "{secret}"'.encode(), b"OK", b"NO", b'"').startswith(b"OK")
        assert dialog.ask(b'PUTSCRIPT "mine" {5+}\r\nkeep;', b"OK", b"NO").startswith(b"OK")


# --- What is offered ---


def keywords(client):
    client.ehlo("client.example.test")
    return {word.upper() for word in client.esmtp_features}


@pytest.mark.parametrize("service", ["submission", "smtp"])
def test_ehlo_offers_what_the_server_offers(site, service):
    with smtplib.SMTP("127.0.0.1", site.mail.postfix.port(service)) as client:
        servers = keywords(client)
    assert ("AUTH" in servers) == (service == "submission")
    with smtplib.SMTP("localhost", site.ports[service]) as client:
        # Before TLS no more than that, and no AUTH; as long as the server's are not known, less.
        plain = keywords(client)
        assert "STARTTLS" in plain and plain <= servers - {"AUTH"} | {"STARTTLS"}
        client.starttls(context=site.authority.context())
        assert keywords(client) == servers

    def offered_before_tls():
        with smtplib.SMTP("localhost", site.ports[service]) as client:
            plain = keywords(client)
            client.starttls(context=site.authority.context())
            keywords(client)  # from which this worker learns
            return plain

    wait_for(lambda: offered_before_tls() == servers - {"AUTH"} | {"STARTTLS"}, "a worker that has learned")


# --- What is refused ---


@pytest.mark.parametrize("service, said, answer", [
    ("submission", b"EHLO x\r\nAUTH PLAIN AHgAeQ==\r\nQUIT\r\n", b"530 5.7.0"),
    ("smtp", b"EHLO x\r\nMAIL FROM:<>\r\nQUIT\r\n", b"530 5.7.0"),
    ("lmtp", b"LHLO x\r\nMAIL FROM:<>\r\nQUIT\r\n", b"530 5.7.0"),
    ("imap", b"a LOGIN x y\r\nb LOGOUT\r\n", b"a NO [PRIVACYREQUIRED]"),
    ("imap", b"a AUTHENTICATE PLAIN AHgAeQ==\r\nb LOGOUT\r\n", b"a NO [PRIVACYREQUIRED]"),
    ("pop3", b"USER x\r\nQUIT\r\n", b"-ERR [AUTH]"),
    ("sieve", b'AUTHENTICATE "PLAIN" {8+}\r\nAHgAeQ==\r\nLOGOUT\r\n', b"NO (ENCRYPT-NEEDED)"),
    ("submission-optional", b"EHLO x\r\nAUTH PLAIN AHgAeQ==\r\nQUIT\r\n", b"538 5.7.11"),
])
def test_no_password_in_the_clear(site, service, said, answer):
    with site.dialog(service) as dialog:
        dialog.sock.sendall(said)
        assert b"\r\n" + answer in whole(dialog)


def test_browser_is_not_served(site):
    for service in SERVICES:
        with site.dialog(service) as dialog:
            dialog.sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n\r\nEHLO x\r\n")
            assert b"not a web server" in whole(dialog)


# --- TLS itself ---


def test_ticket_resumes_after_starttls(site):
    context, session = site.authority.context(), None
    for resumed in (False, True):
        with site.dialog("imap") as plain:
            plain.until(b"* OK")
            plain.ask(b"a STARTTLS", b"a OK")
            sock = context.wrap_socket(plain.sock, server_hostname="localhost", session=session)
            assert sock.session_reused == resumed
            dialog = Dialog(sock)
            dialog.ask(b"b CAPABILITY", b"b OK")
            session = sock.session
            dialog.ask(b"c LOGOUT", b"c OK")
