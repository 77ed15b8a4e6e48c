"""What docs/servers.md tells administrators to set in Postfix, where the other tests do not show it already."""

import smtplib

import pytest

from conftest import _temporary
from support.servers import PASSWORD, USER, servers_at
from support.waiting import wait_for


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
