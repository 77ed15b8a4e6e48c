"""What a server is told of a client's TLS and certificate, in the extensions of a PROXY header, and what the log says.

Shows parts of rows A8 and B10. Headers in and out otherwise: test_proxy.py; XCLIENT and ID: test_identify.py.
"""

import hashlib
import ssl
import struct

import pytest

from support.backends import Backend
from support.tls import connect, openssl, read_exactly
from test_policy import Clients
from test_proxy import SIGNATURE, extensions

ALPN, AUTHORITY, CRC32C, UNIQUE_ID, SSL = 0x01, 0x02, 0x03, 0x05, 0x20
SSL_VERSION, SSL_CN, SSL_CIPHER, SSL_SIGNATURE, SSL_KEY = 0x21, 0x22, 0x23, 0x24, 0x25
SUBJECT, ISSUER, SHA256 = 0xE0, 0xE1, 0xE2  # Postern's own
# Section 2.2.6 of the specification.
CLIENT_SSL, CLIENT_CERT_CONN, CLIENT_CERT_SESS = 1, 2, 4


def crc32c(octets):
    """As RFC 3720 appendix B.4 has it, one bit after the other."""
    value = 0xFFFFFFFF
    for octet in octets:
        value ^= octet
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def read_checked(sock):
    """The extensions of the header that `sock` begins with, whose checksum is right."""
    head = read_exactly(sock, 16)
    assert head[:12] == SIGNATURE
    rest = read_exactly(sock, struct.unpack(">H", head[14:])[0])
    found = extensions(rest[{0x11: 12, 0x21: 36, 0x00: 0}[head[13]]:])
    given = struct.unpack(">L", found[CRC32C])[0]
    at = rest.rindex(b"\x03\0\x04" + found[CRC32C])
    assert crc32c(head + rest[:at + 3] + b"\0\0\0\0" + rest[at + 7:]) == given
    return found


@pytest.fixture
def clients(tmp_path):
    return Clients(tmp_path / "clients")


def listen(postern, backend, clients, mode, service="imap"):
    port = postern.serve(backend.server, service, client_certificates=mode, client_ca=clients.ca,
                         backend_settings={"proxy_protocol": "v2-tls"})
    postern.start()
    return port


def exchange(postern, backend, port, context, session=None):
    """One connection; what the server was told, the client's socket and the line in the log."""
    before = len(postern.lines("connection closed"))
    with connect(port, context, session=session) as client:
        server = backend.accept()
        found = read_checked(server)
        server.sendall(b"* OK\r\n")
        assert client.recv(100) == b"* OK\r\n"  # behind it the tickets are there
        server.close()
        while client.recv(100):
            pass
        kept = client.version(), client.cipher()[0], client.session, client.session_reused
    return found, kept, postern.wait_for_lines("connection closed", before + 1)[-1]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_certificate_is_told_of_with_a_full_and_a_resumed_handshake(postern, clients, version):
    certificate, key = clients.issue("alice")
    der = openssl("x509", "-in", certificate, "-outform", "DER")
    context = postern.authority.context(version, alpn=["imap"])
    context.load_cert_chain(certificate, key)
    with Backend() as backend:
        port = listen(postern, backend, clients, "required")
        session = None
        for resumed in (False, True):
            found, kept, line = exchange(postern, backend, port, context, session)
            session = kept[2]
            assert kept[3] == resumed
            flags, verified = struct.unpack(">BL", found[SSL][:5])
            assert flags == CLIENT_SSL | CLIENT_CERT_SESS | (0 if resumed else CLIENT_CERT_CONN)
            assert verified == 0  # that is: it is good
            told = extensions(found[SSL][5:])
            assert told[SSL_CN] == b"alice"
            assert (told[SSL_VERSION], told[SSL_CIPHER]) == (kept[0].encode(), kept[1].encode())
            assert told[SSL_SIGNATURE] == b"ecdsa-with-SHA256" and told[SSL_KEY] == b"EC256"  # of our certificate
            assert found[ALPN] == b"imap" and found[AUTHORITY] == b"localhost"
            assert found[UNIQUE_ID].decode() == line["connection_id"] and len(found[UNIQUE_ID]) == 32
            assert line["client_certificate"] == "CN=alice"
            assert line["client_issuer"] == "CN=clients"
            assert line["client_fingerprint"] == hashlib.sha256(der).hexdigest()
            assert (found[SUBJECT], found[ISSUER]) == (b"CN=alice", b"CN=clients")
            assert found[SHA256].decode() == line["client_fingerprint"]


def test_our_own_certificate_is_told_of_whatever_its_kind(postern, clients, directory):
    certificate, key = directory / "rsa.crt", directory / "rsa.key"
    openssl("req", "-x509", "-newkey", "rsa:3072", "-nodes", "-subj", "/CN=localhost", "-addext",
            "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate)
    postern.config["certificates"]["pair"] = [{"name": "localhost", "certificate": certificate, "key": key}]
    context = ssl.create_default_context(cafile=certificate)
    with Backend() as backend:
        port = listen(postern, backend, clients, "optional")
        told = extensions(exchange(postern, backend, port, context)[0][SSL][5:])
    assert (told[SSL_SIGNATURE], told[SSL_KEY]) == (b"RSA-SHA256", b"RSA3072")


def test_without_a_certificate_none_is_told_of(postern, clients):
    with Backend() as backend:
        port = listen(postern, backend, clients, "optional")
        found, _, line = exchange(postern, backend, port, postern.authority.context())
    flags, verified = struct.unpack(">BL", found[SSL][:5])
    assert (flags, verified) == (CLIENT_SSL, 1)
    assert SSL_CN not in extensions(found[SSL][5:])
    assert not {ALPN, SUBJECT, ISSUER, SHA256} & set(found)
    assert not [key for key in line if key.startswith("client_")]


def test_a_name_that_would_end_a_line_ends_none(postern, clients, tmp_path):
    """Line ends cannot be given to openssl on a command line, so the request has it as a string of UTF-8."""
    settings = tmp_path / "odd.cnf"
    settings.write_text("[req]\nprompt=no\ndistinguished_name=dn\nstring_mask=utf8only\nutf8=yes\n"
                        "[dn]\nCN=mallory\\n250 OK\\nlevel=error event=forged\n")
    base = tmp_path / "odd"
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config", settings,
            "-keyout", f"{base}.key", "-out", f"{base}.csr")
    clients._ca("-in", f"{base}.csr", "-out", f"{base}.crt")
    context = postern.authority.context()
    context.load_cert_chain(f"{base}.crt", f"{base}.key")
    with Backend() as backend:
        port = listen(postern, backend, clients, "required")
        found, _, line = exchange(postern, backend, port, context)
    # The header's own encoding is by length, and there the name stands as it is.
    assert extensions(found[SSL][5:])[SSL_CN] == b"mallory\n250 OK\nlevel=error event=forged"
    assert "mallory" in line["client_certificate"]
    assert not postern.lines("forged") and line["level"] != "error"
    assert len([text for text in postern.text().splitlines() if "mallory" in text]) == 1
