"""Clients that keep Postern busy for nothing: cut off, with a line that says so, and nobody else feels it."""

import contextlib
import socket
import subprocess
import threading
import time

import pytest

from support.backends import LineServer
from support.tls import Wire, connect, read_exactly
from support.waiting import wait_for

GREETING = b"* OK server\r\n"


@pytest.fixture
def port(postern):
    with LineServer() as server:
        port = postern.serve(server.server, "imap")
        postern.start()
        yield port
        # The next client is served as if nothing had been.
        with connect(port, postern.authority.context()) as client:
            assert read_exactly(client, len(GREETING)) == GREETING
        assert all(worker["restarts"] == 0 for worker in postern.workers())


def test_key_updates_without_end(postern, port):
    """`K` makes openssl s_client send a KeyUpdate that asks for one."""
    words = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_3"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:

        def cut_off():
            with contextlib.suppress(BrokenPipeError):
                client.stdin.write(b"K\n")
                client.stdin.flush()
            time.sleep(0.02)  # it takes what comes at once for one command
            return client.poll() is not None

        try:
            wait_for(cut_off, "the client to be cut off")
        finally:
            client.kill()
    assert postern.closed()["reason"] == "too many KeyUpdates"


def test_a_client_hello_without_end_in_tiny_records(postern, port):
    # A ClientHello that announces 16 MiB, in records of one octet.
    tiny = b"\x16\x03\x01\x00\x01"
    flood = tiny + b"\x01" + b"\x16\x03\x01\x00\x03\xff\xff\xff" + (tiny + b"\x00") * 40_000
    with socket.create_connection(("127.0.0.1", port)) as sock:
        with contextlib.suppress(ConnectionError):
            sock.sendall(flood)
            while sock.recv(1000):
                pass
    assert postern.closed()["failure"] in ("protocol", "too-large")


def test_tiny_records_of_data_are_passed_on_and_keep_nobody_waiting(postern, port):
    """They are legal, so all of them arrive; and others are served meanwhile."""
    lines = 200
    text = b"x" * 99 + b"\n"
    answers = (b"server " + text) * lines
    with Wire(port, postern.authority.context()) as wire:
        assert wire.recv() == GREETING
        records = b"".join(wire.sealed(bytes([octet])) for octet in text * lines)
        sending = threading.Thread(target=wire.sock.sendall, args=(records,))
        sending.start()
        for _ in range(10):
            with connect(port, postern.authority.context()) as client:
                assert read_exactly(client, len(GREETING)) == GREETING
        got = b""
        while len(got) < len(answers):
            got += wire.recv()
        sending.join()
        assert got == answers
