"""Clients with certificates before real servers: what PROXY headers say of the certificate does them no harm, however
long it is, and Dovecot can take the user's name from it, as docs/servers.md says.

Shows parts of rows A8 and B10. What stands in the headers: test_client_facts.py.
"""

import base64
import socket

import pytest

from conftest import _temporary
from support.clients import Dialog
from support.dovecot import version
from support.servers import PASSWORD, USER, servers_at
from support.tls import openssl
from support.waiting import wait_for

# What docs/servers.md has.
FROM_CERTIFICATES = """
auth_mechanisms = plain external
auth_ssl_username_from_cert = yes
passdb {
  driver = static
  mechanisms = external
  args = nopassword=y
}
"""


@pytest.fixture(scope="module")
def servers(pair):
    settings = FROM_CERTIFICATES if version() < (2, 4) else ""
    with _temporary("e") as path, servers_at(path, pair, dovecot=settings) as made:
        yield made


class Clients:
    """An authority of clients, and certificates of theirs. The names of all have `size` octets, as RFC 4514 writes
    them, if that is more than it takes anyway."""

    def __init__(self, directory, size=0):
        self.directory = directory
        self.size = size
        self.ca = directory / "clients.crt"
        openssl("req", "-x509", *self._key("clients"), "-days", 30, "-out", self.ca, "-subj", self._name("clients"))

    def _key(self, name):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", self.directory / f"{name}.key"]

    def _name(self, common_name):
        name = f"/CN={common_name}"
        missing = self.size - len(name) + 1
        while missing > 0:
            # ",OU=" and at most 64 octets; not less than one are to be left for the next.
            part = min(missing, 68)
            part -= 5 if 0 < missing - part < 5 else 0
            assert part > 4
            name = f"/OU={'u' * (part - 4)}" + name
            missing -= part
        return name

    def issue(self, common_name):
        base = self.directory / common_name
        openssl("req", *self._key(common_name), "-subj", self._name(common_name), "-out", f"{base}.csr")
        openssl("x509", "-req", "-in", f"{base}.csr", "-CA", self.ca, "-CAkey", self.directory / "clients.key",
                "-CAcreateserial", "-days", 20, "-out", f"{base}.crt")
        return f"{base}.crt", f"{base}.key"


def context_of(authority, pair=None):
    context = authority.context()
    if pair:
        context.load_cert_chain(*pair)
    return context


def serve(postern, clients, servers, *services):
    """Listeners by service, before the server's own for PROXY headers."""
    ports = {}
    for service in services:
        postern.add_backend(service, f"127.0.0.1:{servers.port(service + '_proxied')}", proxy_protocol="v2-tls")
        ports[service] = postern.add_listener(service, service, client_certificates="optional", client_ca=clients.ca)
    postern.start()
    return ports


def connect(port, context, client, name="localhost"):
    """From an address of its own: Dovecot lets who has failed wait, by the address."""
    sock = socket.create_connection(("127.0.0.1", port), source_address=(client, 0))
    return context.wrap_socket(sock, server_hostname=name)


@pytest.mark.parametrize("size", [0, 100, 150, 200, 254, 255, 256, 500])
def test_long_names_in_a_certificate_do_servers_no_harm(postern, servers, tmp_path, size):
    """Postfix takes headers of up to 536 octets, and Postern writes no longer ones."""
    clients = Clients(tmp_path, size)
    context = context_of(postern.authority, clients.issue(USER))
    context.check_hostname = False
    ports = serve(postern, clients, servers, "imap", "lmtp", "smtp")
    # The name that is asked for is in the header, too.
    for count, name in enumerate(("localhost", ".".join(["n" * 60] * 4)), 1):
        with connect(ports["imap"], context, "127.0.5.1", name) as sock:
            dialog = Dialog(sock)
            dialog.until(b"* OK")
            dialog.ask(b"a LOGIN %b %b" % (USER.encode(), PASSWORD.encode()), b"a OK")
            dialog.ask(b"b LOGOUT", b"b OK")
            assert dialog.line() == b""
        for service, hello in (("lmtp", b"LHLO"), ("smtp", b"EHLO")):
            client = f"127.0.5.{2 if service == 'lmtp' else 3}"
            with connect(ports[service], context, client, name) as sock:
                dialog = Dialog(sock)
                dialog.until(b"220 ")
                dialog.ask(hello + b" c.example", b"250 ")
                dialog.ask(b"MAIL FROM:<a@elsewhere.example>", b"250 ")
                dialog.ask(b"RCPT TO:<%b>" % USER.encode(), b"250 ")
                dialog.ask(b"QUIT", b"221 ")
                assert dialog.line() == b""
            wait_for(lambda service=service, client=client: f"[{client}]" in servers.log(service).read_text() or
                     f"from {client}" in servers.log(service).read_text(), f"{client} in the log of {service}")
        lines = postern.wait_for_lines("connection closed", 3 * count)
        assert all(line["how"] == "server-closed" for line in lines)
        if size:  # the log has 256 octets of a name, and that there are more
            assert {len(line[key]) for line in lines for key in ("client_certificate", "client_issuer")} == {
                size if size <= 256 else 256 + len("...")}


FROM_23 = pytest.mark.skipif("version() >= (2, 4)", reason="the settings are those of Dovecot 2.3")
EXTERNAL = {  # with %b for the name that is asked for
    "imap": (b"* OK", b"a AUTHENTICATE EXTERNAL %b", b"a OK", b"a NO"),
    "pop3": (b"+OK", b"AUTH EXTERNAL %b", b"+OK", b"-ERR"),
    "sieve": (b"OK", b'AUTHENTICATE "EXTERNAL" "%b"', b"OK", b"NO"),
    "submission": (b"220 ", b"AUTH EXTERNAL %b", b"235 ", b"535 "),
}
PROCESS = {"sieve": "managesieve-login"}


@FROM_23
@pytest.mark.parametrize("service", sorted(EXTERNAL))
def test_a_certificate_logs_its_user_in(postern, servers, tmp_path, service):
    clients = Clients(tmp_path)
    mine = context_of(postern.authority, clients.issue(USER))
    port = serve(postern, clients, servers, service)[service]
    greeting, command, good, bad = EXTERNAL[service]
    number = 1 + sorted(EXTERNAL).index(service)

    def login(context, asked_for, client):
        name = base64.b64encode(asked_for.encode()) or (b"" if service == "sieve" else b"=")
        with connect(port, context, client) as sock:
            dialog = Dialog(sock)
            dialog.until(greeting)
            if service == "submission":
                dialog.ask(b"EHLO c.example", b"250 ")
            return dialog.ask(command % name, good, bad).startswith(good)

    for i, name in enumerate(("", USER)):
        client = f"127.0.6.{number}{i}"
        assert login(mine, name, client)
        wait_for(lambda client=client: any(
            f"{PROCESS.get(service, service + '-login')}: " in line and f"user=<{USER}>, method=EXTERNAL" in line and
            f"rip={client}" in line for line in servers.log(service).read_text().splitlines()), "the login in the log")
    # In the name of nobody else, and without a certificate of nobody.
    assert not login(mine, f"x{USER}", f"127.0.6.{number}2")
    assert not login(context_of(postern.authority), USER, f"127.0.6.{number}3")
    assert not login(context_of(postern.authority), "", f"127.0.6.{number}4")


@FROM_23
def test_passwords_go_with_the_user_of_the_certificate(postern, servers, tmp_path):
    """Dovecot then takes the certificate's name whatever name comes with the password."""
    clients = Clients(tmp_path)
    port = serve(postern, clients, servers, "imap")["imap"]
    for client, certificate, user, good in (("127.0.7.1", None, USER, True), ("127.0.7.2", USER, "nobody", True),
                                            ("127.0.7.3", "nobody", USER, False)):
        context = context_of(postern.authority, certificate and clients.issue(certificate))
        with connect(port, context, client) as sock:
            dialog = Dialog(sock)
            dialog.until(b"* OK")
            answer = dialog.ask(b"a LOGIN %b %b" % (user.encode(), PASSWORD.encode()), b"a OK", b"a NO")
            assert answer.startswith(b"a OK") == good, (certificate, user)
