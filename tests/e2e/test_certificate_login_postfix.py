"""Clients with a certificate are logged in at Postfix without a password, by XCLIENT's LOGIN.

Shows parts of rows A8 and B10. At Dovecot: test_certificate_login_dovecot.py. Other ways to tell servers of clients: test_identify.py.
"""

import smtplib
import socket
import struct

import pytest

from conftest import _temporary
from support.servers import USER, servers_at
from support.tls import openssl
from support.waiting import wait_for
from test_policy import Clients
from test_proxy import SIGNATURE

# As a submission service has it: who is not logged in may send nothing.
SETTINGS = """
smtpd_sasl_auth_enable = yes
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_sender_login_maps = inline:{{alice@example.test = alice}, {carol@example.test = carol@example.test}}
smtpd_sender_restrictions = reject_sender_login_mismatch"""


@pytest.fixture(scope="module")
def servers(pair):
    with _temporary("l") as path, servers_at(path, pair, believing=True, postfix=SETTINGS) as made:
        yield made


@pytest.fixture
def clients(tmp_path):
    return Clients(tmp_path / "clients")


def listen(postern, servers, clients, login, mode="optional"):
    port = postern.serve(f"localhost:{servers.port('smtp')}", "submission", client_certificates=mode,
                         client_ca=clients.ca,
                         backend_settings={"identify_clients": True, "identify_login": login})
    postern.start()
    return port


def with_email(clients, name, alternative_names):
    """A pair of one of `clients` with e-mail addresses in it."""
    base, extensions = clients.directory / name, clients.directory / f"{name}.ext"
    extensions.write_text(f"subjectAltName={alternative_names}\n")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-keyout", f"{base}.key", "-out", f"{base}.csr")
    openssl("x509", "-req", "-in", f"{base}.csr", "-CA", clients.ca, "-CAkey", clients.key, "-CAcreateserial",
            "-extfile", extensions, "-days", 5, "-out", f"{base}.crt")
    return f"{base}.crt", f"{base}.key"


def send(postern, port, pair, sender):
    """What Postfix answers, to the recipient or to the sender already."""
    context = postern.authority.context()
    if pair:
        context.load_cert_chain(*pair)
    with smtplib.SMTP_SSL("localhost", port, context=context) as client:
        client.ehlo("client.example")
        answer = client.mail(sender)
        return client.rcpt(USER) if answer[0] == 250 else answer


def test_the_common_name_is_the_login(postern, servers, clients):
    port = listen(postern, servers, clients, "common-name")
    alice, bob = clients.issue("alice"), clients.issue("bob")
    assert send(postern, port, alice, "alice@example.test")[0] == 250
    log = servers.log("smtp")
    wait_for(lambda: "sasl_username=alice" in log.read_text(), "alice in Postfix's log")
    # Postfix knows who may write as whom.
    code, words = send(postern, port, bob, "alice@example.test")
    assert code == 553 and b"not owned by user bob" in words, words


def test_without_a_certificate_nobody_is_logged_in(postern, servers, clients):
    port = listen(postern, servers, clients, "common-name")
    assert send(postern, port, None, "someone@elsewhere.example")[0] == 554


def test_the_email_address_is_the_login(postern, servers, clients):
    port = listen(postern, servers, clients, "email")
    carol = with_email(clients, "carol", "DNS:host.example,email:carol@example.test,email:other@example.test")
    assert send(postern, port, carol, "carol@example.test")[0] == 250
    wait_for(lambda: "sasl_username=carol@example.test" in servers.log("smtp").read_text(), "carol in Postfix's log")
    # Without an address in it, the name alone does not log anybody in.
    assert send(postern, port, clients.issue("dave"), "dave@elsewhere.example")[0] == 554


def test_a_login_with_a_line_end_is_none(postern, servers, clients):
    port = listen(postern, servers, clients, "common-name")
    settings = clients.directory / "odd.cnf"
    settings.write_text("[req]\nprompt=no\ndistinguished_name=dn\nstring_mask=utf8only\nutf8=yes\n"
                        "[dn]\nCN=mallory\\nXCLIENT LOGIN=alice\n")
    base = clients.directory / "odd"
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config", settings,
            "-keyout", f"{base}.key", "-out", f"{base}.csr")
    clients._ca("-in", f"{base}.csr", "-out", f"{base}.crt")
    assert send(postern, port, (f"{base}.crt", f"{base}.key"), "mallory@elsewhere.example")[0] == 554


def test_the_certificate_of_a_proxy_in_front_logs_nobody_in(postern, servers, clients):
    """A proxy that says the client's TLS ended there has shown its own certificate; one that only passes TLS on has
    not."""
    port = postern.serve(f"localhost:{servers.port('smtp')}", "submission", client_certificates="required",
                         client_ca=clients.ca, proxy_protocol="v2", proxy_from=["127.0.0.0/8"],
                         backend_settings={"identify_clients": True, "identify_login": "common-name"})
    postern.start()
    context = postern.authority.context()
    context.load_cert_chain(*clients.issue("alice"))
    addresses = socket.inet_aton("192.0.2.1") + socket.inet_aton("192.0.2.2") + struct.pack(">HH", 40000, 465)
    for extension, code in ((b"", 250), (b"\x20\0\x05\x01\0\0\0\x01", 553)):
        header = SIGNATURE + b"\x21\x11" + struct.pack(">H", len(addresses + extension)) + addresses + extension
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(header)
        with context.wrap_socket(sock, server_hostname="localhost") as tls, tls.makefile("rb") as file:
            for command in (b"", b"EHLO client.example\r\n", b"MAIL FROM:<alice@example.test>\r\n"):
                tls.sendall(command)
                while (line := file.readline())[3:4] == b"-":
                    pass
            assert line.startswith(b"%d" % code), line


def test_dovecot_takes_the_login_and_asks_for_a_password_all_the_same(postern, servers, clients):
    """As docs/servers.md says: it is of use before Postfix."""
    port = postern.serve(f"localhost:{servers.port('submission')}", "submission", client_certificates="optional",
                         client_ca=clients.ca,
                         backend_settings={"identify_clients": True, "identify_login": "common-name"})
    postern.start()
    assert send(postern, port, clients.issue("alice"), "alice@example.test")[0] == 530
