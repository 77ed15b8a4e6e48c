"""Who is let in: limits of client addresses and listeners, lists of networks, failures and their pause.

Shows row E7. Clients with many addresses come through PROXY headers, which make any address possible.
"""

import contextlib
import os
import pwd
import resource
import signal
import socket
import time

import pytest

from support.backends import Backend, LineServer
from support.leftovers import leaving_nothing
from support.process import alive
from support.sanitizers import needs_no_descriptors
from support.tls import Wire, connect, read_to_end
from support.waiting import scale, wait_for

PLAIN_FIRST = [("smtp", b"421 4.7.0 "), ("lmtp", b"421 4.7.0 "), ("imap", b"* BYE [UNAVAILABLE] "),
               ("pop3", b"-ERR [SYS/TEMP] "), ("sieve", b"BYE (TRYLATER) ")]


@pytest.fixture
def server():
    with LineServer() as made:
        yield made


def plain(port, address="127.0.0.1"):
    return socket.create_connection(("127.0.0.1", port), source_address=(address, 0), timeout=60)


def header(client):
    family = "TCP6" if ":" in client else "TCP4"
    here = "2001:db8::ffff" if ":" in client else "198.51.100.2"
    return f"PROXY {family} {client} {here} 56324 993\r\n".encode()


def proxied(port, client):
    """A plain connection behind a header that names `client`."""
    sock = plain(port)
    sock.sendall(header(client))
    return sock


def is_closed(sock):
    """Whether the other side has ended the connection, without a word."""
    try:
        return sock.recv(1) == b""
    except ConnectionError:
        return True


def refused(postern, reason):
    return sum(worker["refused"][reason] for worker in postern.workers())


# --- Limits, and what is said at them ---

@pytest.mark.parametrize("service, words", PLAIN_FIRST)
def test_at_an_addresss_limit_the_protocol_answers(postern, server, service, words):
    postern.config["limits"]["connections_per_address"] = 2
    port = postern.serve(server.server, service, tls="starttls")
    postern.start()
    with plain(port) as first, plain(port) as second:
        assert first.recv(1000) and second.recv(1000)
        with plain(port) as third:
            answer = read_to_end(third)
        assert answer.startswith(words) and answer.endswith(b"\r\n")
        with plain(port, "127.0.0.2") as other:  # another address is another client
            assert not other.recv(1000).startswith(words)
    wait_for(lambda: postern.total("connections") == 0, "the clients to be gone")
    with plain(port) as again:
        assert not again.recv(1000).startswith(words)
    assert refused(postern, "address-full") == 1
    line, = postern.wait_for_lines("connection refused")
    assert (line["refusal"], line["listener"]) == ("address-full", "test")
    assert line["client"].startswith("127.0.0.1:")


def test_a_web_client_gets_a_whole_503(postern, server):
    port = postern.serve(server.server, "http", tls="off", connections=1)
    postern.start()
    with plain(port):
        wait_for(lambda: postern.total("connections") == 1, "the first one to be taken")
        with plain(port) as second:
            second.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = read_to_end(second)
    assert answer.startswith(b"HTTP/1.1 503 ")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head


def test_a_refused_client_may_send_all_of_its_request(postern, server):
    """Its second half does not meet a closed connection, which would be a reset."""
    port = postern.serve(server.server, "http", tls="off", connections=1)
    postern.start()
    with plain(port) as first:
        wait_for(lambda: postern.total("connections") == 1, "the first one to be taken")
        with plain(port) as second:
            wait_for(lambda: refused(postern, "listener-full") == 1, "the second one to be refused")
            for piece in (b"GET / HTTP/1.1\r\n", b"Host: localhost\r\n", b"\r\n"):
                second.sendall(piece)
                assert refused(postern, "listener-full") == 1  # which takes a moment, too
            assert read_to_end(second).startswith(b"HTTP/1.1 503 ")
        # As many as are kept in mind, and more: nobody else waits for them.
        silent = [plain(port) for _ in range(100)]
        wait_for(lambda: refused(postern, "listener-full") == 101, "all to be refused")
        for sock in silent:
            assert read_to_end(sock).startswith(b"HTTP/1.1 503 ")
            sock.close()
        first.close()
        wait_for(lambda: postern.total("connections") == 0, "the first one to be gone")
    with plain(port):
        wait_for(lambda: postern.total("connections") == 1, "another one to be taken")


def test_with_tls_first_a_connection_beyond_the_limit_is_closed_before_any_handshake(postern, server):
    postern.config["limits"]["connections_per_address"] = 1
    port = postern.serve(server.server, "imap")
    postern.start()
    with connect(port, postern.authority.context()) as first:
        assert first.recv(100).startswith(b"* OK")
        with plain(port) as second:
            assert is_closed(second)
    assert postern.total("handshakes_failed") == 0
    assert postern.total("accepted") == 2


def test_a_listeners_own_limits(postern, server):
    mail = postern.serve(server.server, "imap", name="mail", connections=3, connections_per_address=2)
    other = postern.serve(server.server, "imap", name="other")
    postern.start()
    with contextlib.ExitStack() as stack:
        context = postern.authority.context()
        for _ in range(2):
            assert stack.enter_context(connect(mail, context)).recv(100)
        assert is_closed(stack.enter_context(plain(mail)))
        assert stack.enter_context(connect(other, context)).recv(100)
        assert refused(postern, "address-full-here") == 1
        raw = stack.enter_context(plain(mail, "127.0.0.2"))
        with context.wrap_socket(raw, server_hostname="localhost") as client:
            assert client.recv(100)
            assert is_closed(stack.enter_context(plain(mail, "127.0.0.3")))
        assert refused(postern, "listener-full") == 1


def test_new_connections_per_second(postern, server):
    # One in a hundred seconds would be less than one per second: a burst of two, then a long wait.
    postern.config["limits"].update({"connections_per_second_per_address": 1, "burst_per_address": 2})
    port = postern.serve(server.server, "smtp", tls="starttls")
    postern.start()
    answers = []
    for _ in range(30):
        with plain(port) as client:
            answers.append(client.recv(1000))
    served = [answer for answer in answers if answer.startswith(b"220 ")]
    assert len(served) >= 2
    assert all(answer.startswith(b"421 4.7.0 ") for answer in answers if answer not in served)
    assert refused(postern, "too-fast") == 30 - len(served) > 0
    with plain(port, "127.0.0.2") as other:
        assert other.recv(1000).startswith(b"220 ")

    def welcome():
        with plain(port) as client:
            return client.recv(1000).startswith(b"220 ")
    wait_for(welcome, "the address to be welcome again", interval=0.5)


def test_handshakes_beyond_their_limit_wait(postern, server):
    postern.config["limits"]["handshakes"] = 2  # one for each worker
    port = postern.serve(server.server, "imap", handshake_timeout="3s")
    postern.start()
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(plain(port))
        wait_for(lambda: postern.lines("handshake limit reached"), "the limit to be reached")
        assert postern.total("handshaking") <= 2
    # Their time over, who waited is served.
    with connect(port, postern.authority.context()) as client:
        assert client.recv(100).startswith(b"* OK")


# --- Networks ---

@pytest.mark.parametrize("client, let_in", [
    ("192.0.2.1", True), ("192.0.2.200", False), ("198.51.100.1", False),
    ("2001:db8:1::7", True), ("2001:db8:2::7", False)])
def test_lists_of_networks(postern, server, client, let_in):
    postern.config["limits"].update({"allow": ["192.0.2.0/24", "2001:db8:1::/48"], "deny": ["192.0.2.128/25"]})
    port = postern.serve(server.server, "smtp", tls="starttls", proxy_protocol="any", proxy_from=["127.0.0.1"])
    postern.start()
    with proxied(port, client) as sock:
        assert sock.recv(1000).startswith(b"220 " if let_in else b"554 5.7.1 ")
    assert refused(postern, "denied") == (0 if let_in else 1)


def test_a_listeners_own_list_stands_in_for_the_global_one(postern, server):
    postern.config["limits"]["deny"] = ["127.0.0.0/8"]
    closed = postern.serve(server.server, "imap", name="closed")
    opened = postern.serve(server.server, "imap", name="opened", deny=["127.0.0.2"])
    postern.start()
    with plain(closed) as client:
        assert is_closed(client)
    with connect(opened, postern.authority.context()) as client:
        assert client.recv(100)
    with plain(opened, "127.0.0.2") as client:
        assert is_closed(client)


def test_a_64_of_ipv6_is_one_client_and_exempt_networks_are_not_counted(postern, server):
    postern.config["limits"].update({"connections_per_address": 1, "exempt": ["2001:db8:9::/48", "127.0.0.0/8"]})
    port = postern.serve(server.server, "imap", tls="starttls", proxy_protocol="any", proxy_from=["127.0.0.1"])
    postern.start()
    with contextlib.ExitStack() as stack:
        def answer(client):
            return stack.enter_context(proxied(port, client)).recv(1000)
        assert answer("2001:db8:0:1::1").startswith(b"* OK")
        assert answer("2001:db8:0:1:ffff::2").startswith(b"* BYE")
        assert answer("2001:db8:0:2::1").startswith(b"* OK")
        assert answer("192.0.2.1").startswith(b"* OK")
        assert answer("::ffff:192.0.2.1").startswith(b"* BYE")
        for number in range(5):
            assert answer(f"2001:db8:9::{number}").startswith(b"* OK")
        # Who names nobody is not limited by an address.
        for _ in range(3):
            sock = stack.enter_context(plain(port))
            sock.sendall(b"PROXY UNKNOWN\r\n")
            assert sock.recv(1000).startswith(b"* OK")


# --- Failures ---

def test_failed_handshakes_bring_a_pause_that_grows(postern, server):
    postern.config["limits"].update({"failures_per_address": 3, "penalty": "2s", "penalty_max": "1h"})
    port = postern.serve(server.server, "imap")
    postern.start()
    context = postern.authority.context()

    def fail():
        with plain(port, "127.0.0.5") as client:
            client.sendall(b"\x16\x03\x01\x00\x05nope!")
            assert client.recv(100)  # an alert

    def served():
        raw = plain(port, "127.0.0.5")
        try:
            with context.wrap_socket(raw, server_hostname="localhost") as client:
                return client.recv(100).startswith(b"* OK")
        except OSError:
            raw.close()
            return False

    for number in (1, 2):
        for _ in range(3):
            fail()
        wait_for(lambda number=number: postern.total("penalties") == number, "the pause")
        assert not served()
        with connect(port, context) as other:
            assert other.recv(100)
        wait_for(served, "the pause to end", interval=0.5)
    pauses = [line["pause"] for line in postern.wait_for_lines("address has to pause", 2)]
    assert pauses == ["2.000", "4.000"]
    assert refused(postern, "paused") >= 2
    assert postern.total("handshakes_failed") == 6
    assert sum(worker["faults"]["handshake"] for worker in postern.workers()) == 6
    # One line about refusals, though there were several: once a minute is enough.
    assert len(postern.lines("connection refused")) == 1


def test_dialogs_that_break_the_protocol_count_and_checks_do_not(postern, server):
    postern.config["limits"].update({"failures_per_address": 2, "penalty": "1h", "penalty_max": "1h"})
    port = postern.serve(server.server, "smtp", tls="starttls")
    postern.start()
    for _ in range(10):  # so balancers look whether somebody is there
        plain(port).close()
    for _ in range(10):
        with plain(port) as client:
            client.sendall(b"QUIT\r\n")
            assert read_to_end(client).startswith(b"220 ")
    for _ in range(2):
        with plain(port) as client:
            assert client.recv(1000).startswith(b"220 ")
            client.sendall(b"EHLO x\r\nSTARTTLS\r\nRCPT TO:<injected@example.com>\r\n")
            with contextlib.suppress(ConnectionError):
                read_to_end(client)
    wait_for(lambda: postern.total("penalties") == 1, "the pause")
    with plain(port) as client:
        assert read_to_end(client).startswith(b"421 4.7.0 ")
    assert sum(worker["faults"]["dialog"] for worker in postern.workers()) == 2
    assert postern.status()["addresses"]["paused"] == 1


# --- Faults ---

def test_counts_are_right_after_a_worker_was_killed(postern, server):
    limit = 20
    postern.config["limits"]["connections_per_address"] = limit
    port = postern.serve(server.server, "imap")
    postern.start()
    context = postern.authority.context()
    with contextlib.ExitStack() as stack:
        for _ in range(limit):
            assert stack.enter_context(connect(port, context)).recv(100)
        with plain(port) as beyond:
            assert is_closed(beyond)
        victim = max(postern.workers(), key=lambda worker: worker["connections"])
        lost = victim["connections"]
        assert lost > 0
        os.kill(victim["pid"], signal.SIGKILL)
        wait_for(lambda: not alive(victim["pid"]), "the worker to be gone")
        wait_for(lambda: all(worker["state"] == "serving" for worker in postern.workers()), "its successor")
        # As many as it had held may come again, and not one more.
        for _ in range(lost):
            assert stack.enter_context(connect(port, context)).recv(100)
        with plain(port) as beyond:
            assert is_closed(beyond)
        assert postern.total("connections") == limit


def test_slow_clients_are_ended_in_time_while_others_are_served(postern, server):
    """A drip of octets extends neither the time of the handshake nor that of the first octet."""
    count = scale(500, 50)
    port = postern.serve(server.server, "imap", handshake_timeout="6s", first_byte_timeout="3s")
    postern.start()
    context = postern.authority.context()
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)
    with leaving_nothing(postern), contextlib.ExitStack() as stack:
        slow = [stack.enter_context(plain(port)) for _ in range(count)]
        silent = slow[: count // 5]
        dripping = slow[count // 5:]
        at = 0
        while postern.total("handshaking") > 0:
            for sock in dripping:
                with contextlib.suppress(OSError):
                    sock.send(hello[at:at + 1])
            at += 1
            assert at < 200, "the slow clients are still there"
            with connect(port, context) as client:
                assert client.recv(100).startswith(b"* OK")
            time.sleep(0.2)
    lines = postern.wait_for_lines("connection closed", count, how="handshake-timeout")
    assert len(lines) == count
    assert sum("sent nothing" in line["reason"] for line in lines) == len(silent)


def test_a_reader_that_never_reads_is_cut_off(postern):
    with Backend() as backend:
        port = postern.serve(backend.server, "imap", unread_timeout="2s", idle_timeout="1h")
        postern.start()
        with leaving_nothing(postern), connect(port, postern.authority.context()) as client:
            client.sendall(b"a FETCH\r\n")
            behind = backend.accept()
            assert behind.recv(100)
            behind.settimeout(60)
            with behind, contextlib.suppress(ConnectionError):
                while True:  # until Postern has had enough of it
                    behind.sendall(bytes(65536))
            line = postern.closed()
            assert (line["how"], line["reason"]) == ("unread", "the client does not read")
    assert postern.total("unread") == 1


def test_a_reader_that_pauses_for_less_than_that_is_not(postern):
    size = 8 << 20
    with Backend() as backend:
        port = postern.serve(backend.server, "imap", unread_timeout="30s")
        postern.start()
        with Wire(port, postern.authority.context()) as client:
            client.send(b"a FETCH\r\n")
            behind = backend.accept()
            with behind:
                behind.setblocking(False)
                left = size
                got = 0
                while got < size:
                    with contextlib.suppress(BlockingIOError):
                        left -= behind.send(bytes(min(left, 1 << 20))) if left else 0
                    if got == 0:
                        time.sleep(1)
                    got += len(client.recv())
    assert postern.closed()["how"] != "unread"


def limit_descriptors(pid, soft):
    """Open descriptors stay open; whatever would need another one fails."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


@needs_no_descriptors
def test_without_descriptors_accepting_stops_is_told_once_and_begins_again(postern, server):
    postern.config["process"]["user"] = pwd.getpwuid(os.getuid()).pw_name  # whose limits we may set
    # With so little room connections are accepted one by one, each by the limit of its moment; a multishot
    # accept keeps the one it was armed with.
    postern.config["limits"]["connections"] = 1000
    port = postern.serve(server.server, "imap", handshake_timeout="200s")
    postern.start()
    context = postern.authority.context()
    before, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    with leaving_nothing(postern), connect(port, context) as held:
        assert held.recv(100)
        workers = postern.worker_pids()
        for pid in workers:
            limit_descriptors(pid, 4)
        with contextlib.ExitStack() as stack:
            waiting = [stack.enter_context(plain(port)) for _ in range(40)]
            wait_for(lambda: sum(line["event"] == "accepting paused" for line in postern.lines()) == len(workers),
                     "both workers to have noticed")
            wait_for(lambda: postern.total("accept_paused") >= 20, "some more attempts")
            held.sendall(b"still here\n")
            assert held.recv(100) == b"server still here\n"
            for pid in workers:
                limit_descriptors(pid, max(before, 1024))
            for sock in waiting:
                with context.wrap_socket(sock, server_hostname="localhost") as client:
                    assert client.recv(100).startswith(b"* OK")
        postern.wait_for_lines("accepting again", len(workers))
    assert len(postern.lines("accepting paused")) == len(workers)
    assert all(worker["restarts"] == 0 for worker in postern.workers())


def test_short_of_memory_accepting_stops_is_told_once_and_begins_again(postern, server):
    postern.config["limits"]["memory_reserve_mib"] = 0
    port = postern.serve(server.server, "imap")
    postern.start()
    context = postern.authority.context()
    with connect(port, context) as held:
        assert held.recv(100)
        postern.config["limits"]["memory_reserve_mib"] = 1 << 20  # a terabyte: more than is left
        postern.reload()
        with contextlib.ExitStack() as stack:
            waiting = [stack.enter_context(plain(port)) for _ in range(20)]
            wait_for(lambda: postern.lines("accepting paused"), "the lack to be noticed")
            held.sendall(b"still here\n")
            assert held.recv(100) == b"server still here\n"
            assert postern.total("connections") == 1
            postern.config["limits"]["memory_reserve_mib"] = 1
            postern.reload()
            for sock in waiting:
                with context.wrap_socket(sock, server_hostname="localhost") as client:
                    assert client.recv(100).startswith(b"* OK")
    lines = postern.lines("accepting paused")
    assert {line["reason"] for line in lines} == {"memory runs short"}
    assert len(lines) == len({line["worker"] for line in lines})
    postern.wait_for_lines("accepting again", len(lines))


def test_limits_follow_a_reload_and_count_who_is_here_already(postern, server):
    port = postern.serve(server.server, "imap")
    postern.start()
    context = postern.authority.context()
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            assert stack.enter_context(connect(port, context)).recv(100)
        postern.config["limits"]["connections_per_address"] = 3
        postern.reload()
        with plain(port) as beyond:
            assert is_closed(beyond)
        assert stack.enter_context(contextlib.closing(plain(port, "127.0.0.2"))).fileno() > 0
        postern.config["limits"].clear()
        postern.reload()
        with connect(port, context) as client:
            assert client.recv(100)
