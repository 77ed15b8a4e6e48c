"""The relay: every octet, both ends, both ways, and no more memory than it should take.

Shows row D2 (io_uring everywhere in the data path) at work, with the ends of streams as TLS and TCP
have them.
"""

import contextlib
import hashlib
import os
import random
import socket
import ssl
import struct
import threading

import pytest

from support.backends import Backend, LineServer
from support.clients import run
from support.process import resident_kib
from support.tls import Wire, connect, cut_off, read_exactly, read_to_end
from support.waiting import MEMORY_TELLS, scale, wait_for

MEBI = 1024 * 1024
BLOCK = os.urandom(MEBI)


@pytest.fixture
def link(postern):
    """A started Postern with a raw listener; pairs() gives both ends of new connections."""
    with Backend() as backend:
        made = Link(postern, backend)
        yield made
        made.close()


class Link:
    def __init__(self, postern, backend):
        self.postern, self.backend = postern, backend
        self.directory = postern.directory
        self.port = postern.serve(backend.server)
        self.context = postern.authority.context()
        self._stack = contextlib.ExitStack()

    def start(self):
        self.postern.start()
        return self

    def behind(self):
        conn = self._stack.enter_context(self.backend.accept())
        conn.settimeout(socket.getdefaulttimeout())
        return conn

    def pair(self, context=None):
        client = self._stack.enter_context(connect(self.port, context or self.context))
        return client, self.behind()

    def wire(self, context=None):
        client = self._stack.enter_context(Wire(self.port, context or self.context))
        return client, self.behind()

    def close(self):
        self._stack.close()


def pour(sock, total, digest):
    """Sends `total` octets that differ from block to block."""
    sent = 0
    while sent < total:
        block = struct.pack(">Q", sent) + BLOCK[8:]
        block = block[:total - sent]
        digest.update(block)
        sock.sendall(block)
        sent += len(block)


def drain(sock, digest):
    """Reads to the end; returns how many octets there were."""
    buffer = bytearray(256 * 1024)
    view = memoryview(buffer)
    total = 0
    while count := sock.recv_into(buffer):
        digest.update(view[:count])
        total += count
    return total


def in_thread(function, *arguments):
    """Runs it beside the test; join() gives its result or raises what it raised."""

    class Running(threading.Thread):
        def __init__(self):
            super().__init__(daemon=True)
            self.result, self.error = None, None
            self.start()

        def run(self):
            try:
                self.result = function(*arguments)
            except BaseException as error:
                self.error = error

        def finish(self):
            self.join()
            if self.error is not None:
                raise self.error
            return self.result

    return Running()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("direction", ["down", "up"])
def test_1_gb_comes_through_whole(link, direction, version):
    # The gigabyte goes by TLS 1.3; a quarter of it by 1.2.
    total = scale(1000 * MEBI if version == ssl.TLSVersion.TLSv1_3 else 250 * MEBI)
    link.start()
    client, behind = link.pair(link.postern.authority.context(version))
    sent, received = hashlib.sha256(), hashlib.sha256()
    if direction == "down":
        def send():
            pour(behind, total, sent)
            behind.shutdown(socket.SHUT_WR)

        sender = in_thread(send)
        assert drain(client, received) == total
    else:
        def send():
            pour(client, total, sent)
            with contextlib.suppress(ssl.SSLError, OSError):
                client.unwrap()

        sender = in_thread(send)
        assert drain(behind, received) == total
        behind.close()
    sender.finish()
    assert sent.digest() == received.digest()
    client.close()
    behind.close()
    line = link.postern.closed()
    assert int(line["bytes_out" if direction == "down" else "bytes_in"]) == total


def test_both_directions_at_once(link):
    total = scale(128 * MEBI)
    link.start()
    client, behind = link.wire()
    up_sent, up_received, down_sent, down_received = (hashlib.sha256() for _ in range(4))

    def server_sends():
        pour(behind, total, down_sent)
        behind.shutdown(socket.SHUT_WR)

    threads = [in_thread(server_sends), in_thread(drain, behind, up_received)]
    # One thread serves both directions of the client: an SSL object is not for two.
    sent, received, ended = 0, 0, False
    client.sock.setblocking(False)
    out = b""
    while sent < total or out or not ended:
        if not out and sent < total:
            block = (struct.pack(">Q", sent) + BLOCK[8:65536])[:total - sent]
            up_sent.update(block)
            out = client.sealed(block)
            sent += len(block)
            if sent == total:
                with contextlib.suppress(ssl.SSLWantReadError):
                    client.tls.unwrap()
                out += client.outgoing.read()
        with contextlib.suppress(BlockingIOError):
            while out:
                out = out[client.sock.send(out):]
        with contextlib.suppress(BlockingIOError):
            octets = client.sock.recv(256 * 1024)
            client.incoming.write(octets) if octets else client.incoming.write_eof()
        while not ended:
            try:
                octets = client.tls.read(MEBI)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                octets = b""
            ended = not octets
            received += len(octets)
            down_received.update(octets)
    assert received == total
    assert threads[1].finish() == total
    threads[0].finish()
    assert up_sent.digest() == up_received.digest()
    assert down_sent.digest() == down_received.digest()


def echo(sock):
    with sock, contextlib.suppress(OSError):
        while octets := sock.recv(65536):
            sock.sendall(octets)


def exchange(client, seed, pieces):
    """Sends pieces of all sizes and reads each back."""
    dice = random.Random(seed)
    for _ in range(pieces):
        octets = dice.randbytes(dice.choice([1, 2, 100, 4095, 16384, 16385, 40000, 70001]))
        client.sendall(octets)
        assert read_exactly(client, len(octets)) == octets


def test_any_octets_in_pieces_of_any_size(link):
    link.start()
    client, behind = link.pair()
    in_thread(echo, behind)
    everything = bytes(range(256)) + b"\r\n.\r\n\n.\n\r.\r\n" + b"\0" * 100
    client.sendall(everything)
    assert read_exactly(client, len(everything)) == everything
    exchange(client, 1, 60)


def test_many_connections_share_few_buffers(link):
    """Far more connections in transfer than buffer slots: everybody waits in turn, nobody starves."""
    link.postern.config["limits"]["buffers"] = 16
    link.start()
    pairs = [link.pair() for _ in range(scale(80, 40))]
    for _, behind in pairs:
        in_thread(echo, behind)
    exchanges = [in_thread(exchange, client, number, 25) for number, (client, _) in enumerate(pairs)]
    for one in exchanges:
        one.finish()
    assert link.postern.total("connections") == len(pairs)


def test_client_ends_its_direction_and_the_server_goes_on(link):
    link.start()
    client, behind = link.wire()
    client.send(b"request")
    client.close_notify()
    assert read_to_end(behind) == b"request"
    answer = os.urandom(3 * MEBI)
    sender = in_thread(behind.sendall, answer)
    received = b""
    while len(received) < len(answer):
        received += client.recv()
    sender.finish()
    assert received == answer
    behind.close()
    assert client.recv() == b""
    assert link.postern.closed()["how"] == "client-closed"


def test_server_ends_its_direction_and_the_client_goes_on(link):
    link.start()
    client, behind = link.wire()
    behind.sendall(b"greeting")
    behind.shutdown(socket.SHUT_WR)
    assert client.recv() == b"greeting"
    assert client.recv() == b""
    octets = os.urandom(3 * MEBI)
    reader = in_thread(read_to_end, behind)
    client.send(octets)
    client.close_notify()
    assert reader.finish() == octets
    assert link.postern.closed()["how"] == "server-closed"


@pytest.mark.parametrize("partial", [False, True])
def test_cut_off_client_stream_is_a_reset_for_the_server(link, partial):
    """A mail that stops in the middle must not look whole (RFC 8446 section 6.1)."""
    link.start()
    client, behind = link.wire()
    client.send(b"half a mail")
    assert read_exactly(behind, 11) == b"half a mail"
    if partial:
        client.sock.sendall(client.sealed(b"more")[:10])
    client.sock.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionResetError):
        behind.recv(100)
    assert link.postern.closed()["how"] == "client-truncated"


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_reset_by_the_client_is_a_reset_for_the_server(link):
    link.start()
    client, behind = link.wire()
    client.send(b"x")
    assert behind.recv(1) == b"x"
    reset(client.sock)
    with pytest.raises(ConnectionResetError):
        behind.recv(100)
    assert link.postern.closed()["how"] == "client-reset"


def test_reset_by_the_server_is_no_clean_end_for_the_client(link):
    link.start()
    client, behind = link.wire()
    behind.sendall(b"half an answer")
    assert client.recv() == b"half an answer"
    reset(behind)
    with cut_off():
        client.recv()
    line = link.postern.closed()
    assert line["how"] == "server-reset"
    assert "reset" in line["reason"]


def test_forged_record_ends_the_connection(link):
    link.start()
    client, behind = link.wire()
    client.send(b"good")
    assert behind.recv(4) == b"good"
    record = bytearray(client.sealed(b"evil"))
    record[-1] ^= 1
    client.sock.sendall(record)
    with pytest.raises(ConnectionResetError):
        behind.recv(100)
    with pytest.raises(ssl.SSLError, match="(?i)bad.record.mac"):
        client.recv()
    line = link.postern.closed()
    assert line["how"] == "error" and line["reason"]


def test_client_speaks_first_and_at_once(link):
    """Octets in the packet that ends the handshake, before there is a back end to send them to."""
    link.start()
    client, behind = link.wire()
    client.send(b"early " * 20000)
    assert read_exactly(behind, 120000) == b"early " * 20000


def test_clients_key_update_is_followed(postern):
    with LineServer() as server:
        port = postern.serve(server.server)
        postern.start()
        out = postern.directory / "s_client.out"
        out.write_bytes(b"")
        # One letter at the start of a read is a command to s_client: K asks for new keys both ways.
        script = """
            wait_for() { while ! grep -q "$1" "$0"; do sleep 0.05; done; }
            (echo one; wait_for "server one"; echo K; wait_for KEYUPDATE; sleep 0.3
             echo two; wait_for "server two") | "$@" >"$0" 2>&1
        """
        run(["bash", "-c", script, out, "openssl", "s_client", "-tls1_3", "-connect", f"127.0.0.1:{port}",
             "-CAfile", postern.authority.ca])
        assert b"server two" in out.read_bytes()


def test_slow_readers_hold_little_memory(link):
    """Servers pour, clients do not read: reading from the servers stops, and memory with it."""
    link.postern.config["limits"]["buffers"] = 64  # so that the pool itself is small
    link.start()
    count = scale(60, 20)
    pairs = [link.pair() for _ in range(count)]
    workers = link.postern.worker_pids()
    before = sum(resident_kib(pid) for pid in workers)
    sent = [0] * count

    def flood(number, behind):
        behind.settimeout(None)
        with contextlib.suppress(OSError):
            while True:
                sent[number] += behind.send(BLOCK)

    threads = [in_thread(flood, number, behind) for number, (_, behind) in enumerate(pairs)]
    seen = []

    def stands_still():
        seen.append(list(sent))
        return len(seen) > 50 and seen[-1] == seen[-50] and min(sent) > 0

    wait_for(stands_still, "the servers to be held back")
    grown = sum(resident_kib(pid) for pid in workers) - before
    print(f"slow readers: {grown / count:.1f} KiB each, servers held back after {max(sent) / MEBI:.1f} MiB")
    # What the kernel's socket buffers take comes on top of what Postern queues.
    assert max(sent) < 64 * MEBI
    if MEMORY_TELLS:
        pool = 2 * 2 * 64 * 17  # workers, sides, slots, KiB of a slot
        assert grown < pool + count * 256 + 8 * 1024
    # Once they read, all comes.
    client, _ = pairs[0]
    goal = sent[0] + MEBI
    received = 0
    while received < goal:
        received += len(client.recv(65536))
    for client, behind in pairs:
        with contextlib.suppress(OSError):
            behind.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.finish()
