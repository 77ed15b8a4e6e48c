"""What docs/servers.md tells administrators to set in Dovecot and Postfix, where no other test shows it."""

import base64
import smtplib
import socket

import pytest

from conftest import _temporary
from support.servers import PASSWORD, USER, servers_at
from support.waiting import wait_for


CREDENTIALS = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode())
# For each service what a client says, how the answer begins that it waits for, and words of the log.
SESSIONS = {
    "imap": ([(b"", b"* OK"), (b"a LOGIN %b %b\r\n" % (USER.encode(), PASSWORD.encode()), b"a OK")], "imap-login"),
    "pop3": ([(b"", b"+OK"), (b"USER %b\r\n" % USER.encode(), b"+OK"), (b"PASS %b\r\n" % PASSWORD.encode(), b"+OK")],
             "pop3-login"),
    "sieve": ([(b"", b"OK"), (b'AUTHENTICATE "PLAIN" "%b"\r\n' % CREDENTIALS, b"OK")], "managesieve-login"),
    "submission": ([(b"", b"220 "), (b"EHLO c.example\r\n", b"250 "), (b"AUTH PLAIN %b\r\n" % CREDENTIALS, b"235 ")],
                   "submission-login"),
    "lmtp": ([(b"", b"220 "), (b"LHLO c.example\r\n", b"250 ")], "lmtp"),
}


@pytest.mark.parametrize("version", ["v1", "v2", "v2-tls"])
@pytest.mark.parametrize("service", sorted(SESSIONS))
def test_each_service_of_dovecot_takes_the_header(postern, careful, service, version):
    client = f"127.0.4.{len(version)}{sorted(SESSIONS).index(service)}"
    port = postern.serve(f"127.0.0.1:{careful.port(service + '_proxied')}", service,
                         backend_settings={"proxy_protocol": version})
    postern.start()
    said, log = SESSIONS[service]
    sock = socket.create_connection(("127.0.0.1", port), source_address=(client, 0))
    with postern.authority.context().wrap_socket(sock, server_hostname="localhost") as tls:
        with tls.makefile("rb") as file:
            for words, answer in said:
                tls.sendall(words)
                while not (line := file.readline()).startswith(answer):
                    assert line, words
    wait_for(lambda: any(log in line and client in line for line in careful.log(service).read_text().splitlines()),
             f"{client} in Dovecot's log")


@pytest.fixture(scope="module")
def careful(pair):
    """A Postfix that takes passwords over TLS alone."""
    settings = "smtpd_sasl_auth_enable = yes\nsmtpd_tls_auth_only = yes"
    with _temporary("c") as path, servers_at(path, pair, postfix=settings) as made:
        yield made


def test_postfix_takes_passwords_from_clients_with_tls_alone(postern, careful):
    """It does not read what a PROXY header says of TLS: a service for those that came with TLS keeps them apart."""
    ports = {}
    for name, server, settings in (("secured", "smtp_secured", {"tls": "implicit"}),
                                   ("open", "smtp_proxied", {"tls": "starttls", "require_tls": False})):
        postern.add_backend(name, f"127.0.0.1:{careful.port(server)}", proxy_protocol="v2")
        ports[name] = postern.add_listener(name, "smtp", name, **settings)
    postern.start()
    with smtplib.SMTP_SSL("localhost", ports["secured"], context=postern.authority.context(),
                          source_address=("127.0.0.81", 0)) as client:
        assert client.login(USER, PASSWORD)[0] == 235
    with smtplib.SMTP("127.0.0.1", ports["open"], source_address=("127.0.0.82", 0)) as client:
        client.ehlo("client.example")
        assert client.mail("a@elsewhere.example")[0] == 250  # from here on it is Postfix who answers
        client.rset()
        client.ehlo("client.example")
        assert not client.has_extn("auth")
        assert client.docmd("AUTH", "PLAIN")[0] != 334
    log = careful.log("smtp")
    wait_for(lambda: "postfix/secured/smtpd" in log.read_text() and "[127.0.0.81]" in log.read_text() and
             "connect from localhost[127.0.0.82]" in log.read_text().replace("unknown[", "localhost["),
             "both clients in Postfix's log")
