"""What comes to a TLS port and is not TLS: closed soon, one line that says what came, nothing leaks.

Shows the "what bad input gets" side of row A1.
"""

import os
import socket
import struct

import pytest

from support.backends import LineServer
from support.process import descriptors
from support.tls import connect
from support.waiting import wait_for

SSLV2_HELLO = bytes.fromhex("802e0100020015000000100700c00300800100800600400400800200800000") + os.urandom(17)
SSLV2_FORMAT_TLS = bytes.fromhex("802e0103010015000000100700c00300800100800600400400800200800000") + os.urandom(17)

# name, what is sent, the line's `failure`, a word of its reason
REFUSED = [
    ("smtp", b"EHLO client.example\r\n", "plain-text", "EHLO"),
    ("imap", b"a1 LOGIN ann geheim123\r\n", "plain-text", "LOGIN"),
    ("pop3", b"USER ann\r\nPASS geheim123\r\n", "plain-text", "USER"),
    ("http", b"GET /inbox?token=geheim123 HTTP/1.1\r\nHost: x\r\n\r\n", "plain-http", "GET /inbox"),
    ("http2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "plain-http", "PRI"),
    ("sslv2", SSLV2_HELLO, "sslv2", "SSLv2"),
    ("sslv2-format", SSLV2_FORMAT_TLS, "sslv2", "SSLv2"),
    ("zeros", bytes(100), "not-tls", "00 00"),
    ("garbage", b"\x01\xfe\xfd\xfc\x00" * 50, "not-tls", "01 fe"),
    ("ssh", b"SSH-2.0-OpenSSH_9.2\r\n", "plain-text", "SSH"),
    ("no-hello", b"\x16\x03\x01\x00\x05hello", "protocol", ""),
    ("data-first", b"\x17\x03\x03\x00\x05hello", "protocol", ""),
    ("huge-record", b"\x16\x03\x01\xff\xff" + b"x" * 2000, "protocol", ""),
    ("huge-hello", b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + b"x" * 16380, None, ""),
]


@pytest.fixture
def port(postern):
    with LineServer() as server:
        port = postern.serve(server.server, "imap", handshake_timeout="3s")
        postern.start()
        with connect(port, postern.authority.context()) as client:
            client.recv(1000)
        postern.closed()
        postern.wait_idle()
        held = [descriptors(pid) for pid in postern.worker_pids()]
        yield port
        # Whatever was sent: it left one line, holds nothing, and the next client is served.
        postern.wait_idle()
        assert postern.total("handshaking") == 0
        assert len(postern.wait_for_lines("connection closed", 2)) == 2
        wait_for(lambda: [descriptors(pid) for pid in postern.worker_pids()] == held, "the descriptors")
        assert server.accepted == 1, "no back end is bothered before the handshake is over"
        with connect(port, postern.authority.context()) as client:
            assert client.recv(1000) == b"* OK server\r\n"
        assert all(worker["restarts"] == 0 for worker in postern.workers())


def read_until_closed(sock):
    out = b""
    try:
        while octets := sock.recv(65536):
            out += octets
    except ConnectionResetError:
        pass
    return out


@pytest.mark.parametrize("octets, failure, word", [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_no_tls_is_refused_and_named(postern, port, octets, failure, word):
    with socket.create_connection(("127.0.0.1", port)) as sock:
        mine = f"127.0.0.1:{sock.getsockname()[1]}"
        sock.sendall(octets)
        answer = read_until_closed(sock)
    # At most an alert comes back.
    assert not answer or answer[:2] == b"\x15\x03"
    line = postern.closed(client=mine)
    assert line["how"] in (("handshake-failed",) if failure else ("handshake-failed", "handshake-timeout"))
    assert failure is None or line["failure"] == failure
    assert word in line["reason"]
    assert "geheim123" not in postern.text(), "what may be a password is not logged"


@pytest.mark.parametrize("octets", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
                         ids=["nothing", "one-octet", "part-of-a-hello"])
def test_client_that_falls_silent_is_closed_at_the_handshake_timeout(postern, port, octets):
    with socket.create_connection(("127.0.0.1", port)) as sock:
        mine = f"127.0.0.1:{sock.getsockname()[1]}"
        sock.sendall(octets)
        read_until_closed(sock)
    line = postern.closed(client=mine)
    assert line["how"] == "handshake-timeout"
    assert ("nothing" in line["reason"]) == (not octets)


def test_slow_drip_does_not_extend_the_handshake(postern, port):
    """Each octet in time, the handshake as a whole not."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        mine = f"127.0.0.1:{sock.getsockname()[1]}"
        sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        sock.settimeout(0.2)
        for _ in range(600):
            try:
                sock.sendall(b"\x00")
                if not sock.recv(100):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
    assert postern.closed(client=mine)["how"] == "handshake-timeout"


def test_client_that_hangs_up_at_once_leaves_a_line(postern, port):
    with socket.create_connection(("127.0.0.1", port)) as sock:
        mine = f"127.0.0.1:{sock.getsockname()[1]}"
    line = postern.closed(client=mine)
    assert line["how"] == "handshake-failed" and "closed" in line["reason"]


def test_client_that_resets_in_the_handshake_leaves_a_line(postern, port):
    sock = socket.create_connection(("127.0.0.1", port))
    mine = f"127.0.0.1:{sock.getsockname()[1]}"
    sock.sendall(b"\x16\x03\x01")
    wait_for(lambda: postern.total("handshaking") == 1, "the connection to be taken")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    assert postern.closed(client=mine)["how"] == "client-reset"
