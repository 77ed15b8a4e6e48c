"""Who the client is: the PROXY protocol in front of Postern and towards the servers behind.

Shows a part of row A8, against Dovecot and Postfix, whose own logs tell whom they have seen, with curl
and with headers made by hand.
"""

import contextlib
import imaplib
import smtplib
import socket
import struct
import time

import pytest

from conftest import _postern
from support.backends import Backend, LineServer
from support.clients import curl
from support.dovecot import version as dovecot_version
from support.tls import Wire, connect, read_exactly, read_to_end
from support.waiting import wait_for

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CLIENT, SERVICE = "192.0.2.1", "198.51.100.2"
V1 = f"PROXY TCP4 {CLIENT} {SERVICE} 56324 993\r\n".encode()
V2 = SIGNATURE + b"\x21\x11\0\x0c" + socket.inet_aton(CLIENT) + socket.inet_aton(SERVICE) + struct.pack(">HH", 56324, 993)
V6 = b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 993\r\n"
LOCAL = SIGNATURE + b"\x20\0\0\0"


def through_proxy(port, authority, header, pieces=1):
    """A TLS connection behind a header, as a proxy would make it."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    size = -(-len(header) // pieces)
    for at in range(0, len(header), size):
        sock.sendall(header[at:at + size])
        if pieces > 1:
            time.sleep(0.02)  # a segment each
    return authority.context().wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False)


def read_to_end_or_reset(sock):
    try:
        return read_to_end(sock)
    except ConnectionError:
        return b""


def read_header(sock):
    """The PROXY header of version 2 that `sock` begins with: family octet, addresses, extensions."""
    assert read_exactly(sock, 12) == SIGNATURE
    command, family, size = struct.unpack(">BBH", read_exactly(sock, 4))
    assert command == 0x21
    rest = read_exactly(sock, size)
    length = {0x11: 12, 0x21: 36, 0x00: 0}[family]
    return family, rest[:length], extensions(rest[length:])


def extensions(octets):
    found = {}
    while octets:
        kind, size = struct.unpack(">BH", octets[:3])
        found[kind] = octets[3:3 + size]
        octets = octets[3 + size:]
    return found


@pytest.fixture
def server():
    with LineServer() as made:
        yield made


def listed(**settings):
    return {"proxy_protocol": "any", "proxy_from": ["127.0.0.0/8"], **settings}


# --- in ---

@pytest.mark.parametrize("header, client", [(V1, f"{CLIENT}:56324"), (V2, f"{CLIENT}:56324"),
                                            (V6, "[2001:db8::1]:56324")])
def test_the_header_names_the_client(postern, server, header, client):
    port = postern.serve(server.server, **listed())
    postern.start()
    for pieces in (1, 3):
        with through_proxy(port, postern.authority, header, pieces) as sock:
            assert sock.recv(100).startswith(b"* OK")
    lines = postern.wait_for_lines("connection closed", 2)
    assert [line["client"] for line in lines] == [client, client]
    assert all(line["proxy"].startswith("127.0.0.1:") for line in lines)


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", LOCAL])
def test_a_header_without_a_client_leaves_the_connections_own_address(postern, server, header):
    port = postern.serve(server.server, **listed())
    postern.start()
    with through_proxy(port, postern.authority, header) as sock:
        assert sock.recv(100).startswith(b"* OK")
    line = postern.closed()
    assert line["client"].startswith("127.0.0.1:")
    assert "proxy" not in line


def test_curl_sends_the_header(postern, server):
    port = postern.serve(server.server, "http", **listed(proxy_protocol="v1"))
    postern.start()
    # The server answers lines, not HTTP; what counts is who asked.
    curl(f"https://localhost:{port}/", "--haproxy-protocol", "--interface", "127.0.0.9", "--http0.9",
         "--max-time", "2", ca=postern.authority.ca, check=False)
    line = postern.closed()
    assert line["client"].startswith("127.0.0.9:")
    assert line["tls_version"]


@pytest.mark.parametrize("octets, words", [
    (b"GET / HTTP/1.1\r\n\r\n", "no PROXY header"),
    (b"\x16\x03\x01\x02\x00\x01\x00", "no PROXY header"),  # TLS without a header
    (b"PROXY TCP4 1.2.3.4\r\n", "bad address"),
    (b"PROXY TCP4 " + b"1" * 200, "107"),
    (V2[:13] + b"\x12" + V2[14:], "transport"),
    (V2[:14] + b"\xff\xff" + V2[16:], "4,096"),
])
def test_what_is_no_header_is_closed_and_logged(postern, server, octets, words):
    port = postern.serve(server.server, **listed())
    postern.start()
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(octets)
        with pytest.raises((ConnectionResetError, EOFError)):
            read_exactly(sock, 1)
    line = postern.closed()
    assert (line["how"], line["level"]) == ("proxy-header", "warning")
    assert words in line["reason"]
    assert server.accepted == 0


@pytest.mark.parametrize("pause", [False, True], ids=["", "split"])
@pytest.mark.parametrize("second", [V1, V2], ids=["v1", "v2"])
@pytest.mark.parametrize("tls", ["implicit", "starttls", "auto", "off"])
def test_a_repeated_header_is_closed_and_logged(postern, server, tls, second, pause):
    port = postern.serve(server.server, "imap", tls=tls, **listed())
    postern.start()
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(ConnectionError):  # it may be closed before all is said
            sock.sendall(V1 + second[:5])
            if pause:
                time.sleep(0.05)  # a segment of its own
            sock.sendall(second[5:])
        read_to_end_or_reset(sock)
    line = postern.closed()
    assert (line["how"], line["reason"]) == ("proxy-header", "a second PROXY header")
    assert line["client"] == f"{CLIENT}:56324"


def test_a_late_header_is_closed_and_logged(postern, server):
    port = postern.serve(server.server, **listed(proxy_timeout="300ms"))
    postern.start()
    for begin in (b"", V1[:10]):
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(begin)
            assert read_to_end(sock) == b""
    reasons = [line["reason"] for line in postern.wait_for_lines("connection closed", 2, how="proxy-header")]
    assert reasons == ["no PROXY header came in time", "the PROXY header was not complete in time"]


def test_who_is_not_listed_is_closed_and_a_reload_lists_him(postern, server):
    port = postern.serve(server.server, **listed(proxy_from=["192.0.2.0/24", "2001:db8::/32"]))
    postern.start()
    with socket.create_connection(("127.0.0.1", port)) as sock:
        assert read_to_end(sock) == b""  # before it has said a word
    assert postern.closed()["how"] == "not-a-proxy"
    postern.config["listeners"]["test"]["proxy_from"].append("127.0.0.1")
    postern.reload()
    with through_proxy(port, postern.authority, V1) as sock:
        assert sock.recv(100).startswith(b"* OK")


def test_a_listener_with_one_version_refuses_the_other(postern, server):
    ports = {}
    postern.add_backend("b", server.server)
    for version in ("v1", "v2"):
        ports[version] = postern.add_listener(version, backend="b", **listed(proxy_protocol=version))
    postern.start()
    for version, good, bad in (("v1", V1, V2), ("v2", V2, V1)):
        with through_proxy(ports[version], postern.authority, good) as sock:
            assert sock.recv(100).startswith(b"* OK")
        with socket.create_connection(("127.0.0.1", ports[version])) as sock:
            sock.sendall(bad)
            with pytest.raises((ConnectionResetError, EOFError)):
                read_exactly(sock, 1)
        assert "asked for" in postern.wait_for_lines("connection closed", how="proxy-header",
                                                     listener=version)[0]["reason"]


# --- out ---

def test_the_server_is_told_first_and_octets_follow_untouched(postern):
    with Backend() as backend:
        port = postern.serve(backend.server, backend_settings={"proxy_protocol": "v1"})
        postern.start()
        with connect(port, postern.authority.context()) as client:
            octets = b"first\n.\n\r.\r\n\0\xff"
            client.sendall(octets)
            sock = backend.accept()
            line = f"PROXY TCP4 127.0.0.1 127.0.0.1 {client.getsockname()[1]} {port}\r\n".encode()
            assert read_exactly(sock, len(line + octets)) == line + octets
            sock.close()


def test_version_2_tells_of_tls(postern):
    with Backend() as backend:
        port = postern.serve(backend.server, backend_settings={"proxy_protocol": "v2-tls"}, **listed())
        postern.start()
        with through_proxy(port, postern.authority, V6) as client:
            sock = backend.accept()
            family, addresses, found = read_header(sock)
            version, cipher = client.version(), client.cipher()[0]
            sock.close()
    assert family == 0x21
    assert socket.inet_ntop(socket.AF_INET6, addresses[:16]) == "2001:db8::1"
    assert struct.unpack(">HH", addresses[32:]) == (56324, 993)
    assert found[2] == b"localhost"  # the name that the client asked for
    flags, verified = struct.unpack(">BL", found[0x20][:5])
    assert (flags, verified) == (1, 1)  # TLS, and no certificate that could be good
    tls = extensions(found[0x20][5:])
    assert (tls[0x21], tls[0x23]) == (version.encode(), cipher.encode())
    assert len(found[3]) == 4
    assert postern.closed()["connection_id"] == found[5].decode()


def test_unix_socket_and_dual_stack(postern, directory):
    with Backend(path=directory / "s") as backend:
        postern.add_backend("b", backend.server, proxy_protocol="v2")
        port = postern.add_listener("l", backend="b", address="*")
        postern.start()
        for address, family in (("127.0.0.1", 0x11), ("::1", 0x21)):
            with connect(port, postern.authority.context(), address=address):
                sock = backend.accept()
                # IPv4 stays IPv4, though the socket is one for both.
                got, addresses, _ = read_header(sock)
                assert got == family
                assert addresses[:4] == (b"\x7f\0\0\1" if family == 0x11 else b"\0\0\0\0")
                sock.close()


# --- real servers ---

def proxied(postern, mail_system, version, **listener):
    """Ports of listeners before Dovecot's and Postfix's services that want the header."""
    ports = {}
    for service, port in (("imap", mail_system.dovecot.port("imap_proxied")),
                          ("pop3", mail_system.dovecot.port("pop3_proxied")),
                          ("smtp", mail_system.postfix.port("smtp_proxied"))):
        postern.add_backend(service, f"127.0.0.1:{port}", proxy_protocol=version)
        ports[service] = postern.add_listener(service, service, **listener)
    postern.start()
    return ports


def wait_for_text(path, *words):
    return wait_for(lambda: any(all(word in line for word in words)
                                for line in path.read_text(errors="replace").splitlines()),
                    f"{words} in {path.name}")


def imap_login(client, mail_system, user):
    """Through a TLS socket that stands already."""
    class Client(imaplib.IMAP4):
        def open(self, *_args, **_options):
            self.sock, self.file = client, client.makefile("rb")

    imap = Client()
    imap.login(user, mail_system.password)
    imap.logout()


def pop3_login(client, mail_system, user):
    file = client.makefile("rwb")

    def say(line):
        file.write(line.encode() + b"\r\n")
        file.flush()
        answer = file.readline()
        assert answer.startswith(b"+OK"), answer

    assert file.readline().startswith(b"+OK")
    say(f"USER {user}")
    say(f"PASS {mail_system.password}")
    say("QUIT")


@pytest.mark.parametrize("version", ["v1", "v2", "v2-tls"])
def test_dovecot_logs_the_client_that_a_proxy_names(postern, mail_system, version):
    ports = proxied(postern, mail_system, version, **listed())
    for service, login in (("imap", imap_login), ("pop3", pop3_login)):
        user = mail_system.new_user()
        with through_proxy(ports[service], postern.authority, V2) as client:
            login(client, mail_system, user)
        wait_for_text(mail_system.directory / "dovecot.log", f"user=<{user}>", f"rip={CLIENT}", f"lip={SERVICE}")


@pytest.mark.parametrize("version, secured", [("v2", False), ("v2-tls", True)])
def test_dovecot_takes_a_client_for_secured_when_it_is_told_of_tls(postern, mail_system, version, secured):
    ports = proxied(postern, mail_system, version, **listed())
    header = f"PROXY TCP4 192.0.2.99 {SERVICE} 40000 993\r\n".encode()
    with through_proxy(ports["imap"], postern.authority, header) as client:
        greeting = client.recv(4096)
    assert greeting.startswith(b"* OK")
    # Dovecot 2.4 takes what comes over the loopback interface for secured, whoever the client is said to be.
    secured = secured or dovecot_version() >= (2, 4)
    assert (b"LOGINDISABLED" not in greeting) == secured
    assert (b"AUTH=PLAIN" in greeting) == secured


def test_dovecot_and_postfix_see_clients_without_a_proxy_in_front(postern, mail_system):
    ports = proxied(postern, mail_system, "v2-tls")
    user = mail_system.new_user()
    # A client on an address of its own.
    sock = socket.create_connection(("127.0.0.1", ports["imap"]), source_address=("127.0.0.77", 0))
    with postern.authority.context().wrap_socket(sock, server_hostname="localhost") as client:
        imap_login(client, mail_system, user)
    wait_for_text(mail_system.directory / "dovecot.log", f"user=<{user}>", "rip=127.0.0.77")
    with smtplib.SMTP_SSL("localhost", ports["smtp"], context=postern.authority.context(),
                          source_address=("127.0.0.78", 0)) as client:
        assert client.noop()[0] == 250
    wait_for_text(mail_system.postfix.directory / "postfix.log", "connect from", "[127.0.0.78]")


@pytest.mark.parametrize("version", ["v1", "v2", "v2-tls"])
def test_postfix_judges_the_client_that_a_proxy_names(postern, mail_system, version):
    ports = proxied(postern, mail_system, version, **listed())
    client_address = f"203.0.113.{len(version)}"
    header = f"PROXY TCP4 {client_address} {SERVICE} 40000 465\r\n".encode()
    with through_proxy(ports["smtp"], postern.authority, header) as sock:
        file = sock.makefile("rwb")

        def say(line):
            file.write(line + b"\r\n")
            file.flush()
            while (answer := file.readline())[3:4] == b"-":
                pass
            return answer

        assert file.readline().startswith(b"220 ")
        assert say(b"EHLO client.example").startswith(b"250 ")
        assert say(b"MAIL FROM:<a@example.org>").startswith(b"250 ")
        # Postfix trusts 127.0.0.0/8 to relay, and no longer takes a stranger for a neighbour.
        assert say(b"RCPT TO:<b@elsewhere.example>").startswith(b"454 4.7.1")
    wait_for_text(mail_system.postfix.directory / "postfix.log", f"connect from unknown[{client_address}]")


def test_postern_behind_postern(postern, authority, pair, server):
    """The outer one takes the client's TLS, the inner one the header and a TLS of its own within."""
    with _postern(authority, pair, workers=1) as inner:
        inner_port = inner.serve(server.server, **listed(proxy_protocol="v2"))
        inner.start()
        port = postern.serve(f"127.0.0.1:{inner_port}", backend_settings={"proxy_protocol": "v2-tls"}, **listed())
        postern.start()
        outer = through_proxy(port, authority, V1)
        with Wire(None, authority.context(), sock=outer) as client:
            client.send(b"hello\n")
            got = b""
            while b"hello" not in got:
                got += client.recv()
        line = inner.closed()
        assert line["client"] == f"{CLIENT}:56324"
        assert line["proxy"].startswith("127.0.0.1:")


# --- what is wrong ---

def test_faults_are_told_with_remedy(postern, server):
    postern.serve(server.server, proxy_protocol="any")
    postern.write()
    answer = postern.command("check")
    assert answer.status != 0
    assert "proxy_from" in answer.text and "believed" in answer.text
