"""Limits and timeouts: what Postern does when there is too much, too little, or nobody there.

Shows, with support for rows A1 and D2: the protocol's own reply when no back end can be had, fail
over, the connection limit, used-up descriptors, idle connections by the thousand.
"""

import contextlib
import os
import resource
import signal
import socket
import threading

import pytest

from support.backends import Backend, Deaf, LineServer, closed_port
from support.clients import Dialog, curl
from support.demo import DemoServer
from support.leftovers import leaving_nothing
from support.process import alive, resident_kib
from support.sanitizers import needs_no_descriptors
from support.tls import connect, cut_off, read_exactly, read_to_end
from support.waiting import scale, wait_for


def raise_descriptor_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


UNAVAILABLE = [("imap", b"* BYE "), ("pop3", b"-ERR "), ("smtp", b"421 "), ("submission", b"421 "),
               ("sieve", b"BYE "), ("http", b"HTTP/1.1 502 ")]


@pytest.mark.parametrize("service, reply", UNAVAILABLE)
def test_back_end_down_is_told_in_the_clients_protocol(postern, service, reply):
    down = closed_port()
    port = postern.serve(f"127.0.0.1:{down}", service)
    postern.start()
    with connect(port, postern.authority.context()) as client:
        octets = read_to_end(client)  # with an orderly end
    assert octets.startswith(reply) and octets.endswith(b"\n")
    line = postern.closed()
    assert (line["how"], line["level"]) == ("backend-unreachable", "warning")
    assert line["server"] == f"127.0.0.1:{down}" and "refused" in line["reason"]
    assert postern.total("backend_failed") == 1


def test_raw_client_of_a_dead_back_end_gets_no_clean_end(postern):
    port = postern.serve(f"127.0.0.1:{closed_port()}", "raw")
    postern.start()
    with connect(port, postern.authority.context()) as client, cut_off():
        client.recv(100)


def test_web_client_gets_a_whole_502(postern):
    port = postern.serve(f"127.0.0.1:{closed_port()}", "http")
    postern.start()
    out = curl(f"https://localhost:{port}/", "--include", ca=postern.authority.ca).stdout
    assert out.startswith(b"HTTP/1.1 502 ")


def test_missing_unix_socket_is_told_with_its_path(postern):
    path = postern.directory / "nobody.sock"
    port = postern.serve(f"unix:{path}", "imap")
    postern.start()
    with connect(port, postern.authority.context()) as client:
        assert read_to_end(client).startswith(b"* BYE ")
    line = postern.closed()
    assert str(path) in line["server"] and line["reason"]


def test_name_that_does_not_resolve_is_a_fault_of_that_back_end_only(postern):
    with LineServer() as server:
        good = postern.serve(server.server, "imap", name="good")
        bad = postern.serve("no-such-host.invalid:143", "imap", name="bad")
        postern.start()
        with connect(good, postern.authority.context()) as client:
            assert client.recv(1000) == b"* OK server\r\n"
        with connect(bad, postern.authority.context()) as client:
            assert read_to_end(client).startswith(b"* BYE ")
        line = postern.closed(listener="bad")
        assert line["how"] == "backend-unreachable" and "no-such-host.invalid" in line["reason"]


def test_server_that_never_answers_is_given_up(postern):
    with Deaf() as deaf:
        port = postern.serve(deaf.server, "smtp", backend_settings={"connect_timeout": "500ms"})
        postern.start()
        with connect(port, postern.authority.context()) as client:
            assert read_to_end(client).startswith(b"421 ")
        line = postern.closed()
        assert line["how"] == "backend-unreachable" and "timeout" in line["reason"]


def test_second_server_takes_over(postern):
    with LineServer("second") as second, Deaf() as deaf:
        postern.add_backend("test", f"127.0.0.1:{closed_port()}", deaf.server, second.server,
                            connect_timeout="1s")
        port = postern.add_listener("test", "imap")
        postern.start()
        for _ in range(10):
            with connect(port, postern.authority.context()) as client:
                assert client.recv(1000) == b"* OK second\r\n"
        assert {line["server"] for line in postern.wait_for_lines("connection closed", 10)} == {second.server}


def test_server_that_comes_back_is_used_again(postern):
    port_behind = closed_port()
    port = postern.serve(f"127.0.0.1:{port_behind}", "imap")
    postern.start()
    with connect(port, postern.authority.context()) as client:
        assert read_to_end(client).startswith(b"* BYE ")
    with socket.create_server(("127.0.0.1", port_behind)) as server:
        with connect(port, postern.authority.context()) as client:
            behind, _ = server.accept()
            with behind:
                behind.sendall(b"* OK back\r\n")
                assert client.recv(100) == b"* OK back\r\n"


@pytest.mark.parametrize("service, goodbye", [("imap", b"* BYE "), ("smtp", b"421 "), ("raw", b"")])
def test_idle_connection_is_ended_with_the_protocols_words(postern, service, goodbye):
    with LineServer(greeting=False) as server:
        port = postern.serve(server.server, service, idle_timeout="1s")
        postern.start()
        with connect(port, postern.authority.context()) as client:
            if goodbye:
                assert read_to_end(client).startswith(goodbye)
            else:  # nothing to say, so nothing that looks like the server's own end
                with cut_off():
                    client.recv(100)
        assert postern.closed()["how"] == "idle-timeout"
        wait_for(lambda: server.held == 0, "the server's side to be closed")


def test_traffic_in_either_direction_keeps_a_connection(postern):
    """Exchanges for longer than the idle time of 3 s, none of them so long apart."""
    with Backend() as backend:
        port = postern.serve(backend.server, idle_timeout="3s")
        postern.start()
        with connect(port, postern.authority.context()) as client:
            behind = backend.accept()
            pause = threading.Event()
            for number in range(9):
                here, there = (client, behind) if number % 2 else (behind, client)
                here.sendall(b"x")
                assert there.recv(1) == b"x"
                pause.wait(0.5)
            behind.close()
    assert postern.closed()["how"] != "idle-timeout"


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        words = stat.read().rpartition(")")[2].split()
    return int(words[11]) + int(words[12])


def test_at_the_connection_limit_accepting_stops_and_resumes(postern):
    limit, clients = 10, 40
    postern.config["limits"]["connections"] = limit
    with LineServer() as server:
        port = postern.serve(server.server, handshake_timeout="200s")
        postern.start()
        context = postern.authority.context()
        leave = threading.Event()
        greeted, failures = [], []

        def visit():
            try:
                with connect(port, context, timeout=200) as client:
                    greeted.append(client.recv(1000))
                    leave.wait()
            except OSError as error:
                failures.append(error)

        threads = [threading.Thread(target=visit, daemon=True) for _ in range(clients)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(greeted) == limit, "the limit to be reached")
        assert postern.total("accept_paused") >= 2
        # Who waits costs nothing: a spinning worker would use the whole second.
        workers = postern.worker_pids()
        before = [cpu_ticks(pid) for pid in workers]
        threading.Event().wait(1)
        used = [after - b for after, b in zip([cpu_ticks(pid) for pid in workers], before)]
        assert max(used) < os.sysconf("SC_CLK_TCK") / 2
        assert postern.total("connections") == server.accepted == len(greeted) == limit
        leave.set()
        for thread in threads:
            thread.join()
        assert not failures and greeted == [b"* OK server\r\n"] * clients
        postern.wait_idle()


def test_the_connection_limit_is_exact_over_the_workers(postern):
    """Whichever of them the clients come to: none waits while there is room, and none is too many."""
    limit = 5
    postern.config["limits"]["connections"] = limit
    with LineServer() as server:
        port = postern.serve(server.server, handshake_timeout="200s")
        postern.start()
        context = postern.authority.context()
        for _ in range(scale(10, 4)):
            with contextlib.ExitStack() as stack:
                for _ in range(limit):
                    client = stack.enter_context(connect(port, context))
                    assert client.recv(1000) == b"* OK server\r\n"
                waiting = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(6)]
                wait_for(lambda: postern.lines("connection limit reached"), "the limit to be noticed")
                assert postern.total("connections") == limit
                # With one place more there is one connection more, wherever it is.
                client.close()
                wait_for(lambda: server.accepted and postern.total("handshaking") == 1, "the next one to be taken")
                assert postern.total("connections") == limit
                for sock in waiting:
                    sock.close()
            postern.wait_idle()


def test_places_of_a_killed_worker_are_free_again(postern):
    limit = 6
    postern.config["limits"].update({"connections": limit, "handshakes": limit})
    with LineServer() as server:
        port = postern.serve(server.server, handshake_timeout="200s")
        postern.start()
        context = postern.authority.context()
        with contextlib.ExitStack() as stack:
            for _ in range(limit):
                assert stack.enter_context(connect(port, context)).recv(1000)
            victim = max(postern.workers(), key=lambda worker: worker["connections"])
            os.kill(victim["pid"], signal.SIGKILL)
            wait_for(lambda: not alive(victim["pid"]), "the worker to be gone")
            wait_for(lambda: all(worker["state"] == "serving" for worker in postern.workers()), "its successor")
            for _ in range(victim["connections"]):
                assert stack.enter_context(connect(port, context)).recv(1000)
            assert postern.total("connections") == limit
        postern.wait_idle()


@needs_no_descriptors
@pytest.mark.parametrize("files", [128, 400])
def test_used_up_descriptors_are_survived(postern, files):
    """More come than there are descriptors for: who waits is served later, and all is well behind it."""
    postern.preexec = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    with LineServer() as server:
        port = postern.serve(server.server, handshake_timeout="200s")
        postern.start()
        context = postern.authority.context()
        with leaving_nothing(postern), contextlib.ExitStack() as stack:
            raw = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(500)]
            wait_for(lambda: all(worker["accept_paused"] > 0 for worker in postern.workers()),
                     "the descriptors to be used up")
            # Most give up, unserved; those that stay are served.
            for sock in raw[:440]:
                sock.close()
            for sock in raw[440:]:
                with context.wrap_socket(sock, server_hostname="localhost") as client:
                    assert client.recv(1000) == b"* OK server\r\n"
        postern.wait_idle()
        assert all(worker["restarts"] == 0 for worker in postern.workers())


def test_5000_idle_connections(postern, directory, capsys):
    hard = raise_descriptor_limit()
    assert hard >= 12_000, f"this test needs 12,000 open files, the hard limit here is {hard}"
    count = scale(5000, 200)
    demo = DemoServer(directory, services=("imap",))
    with contextlib.ExitStack() as stack:
        stack.callback(demo.stop)
        port = postern.serve(demo.addresses["imap"], "imap")
        postern.start()
        context = postern.authority.context()
        workers = postern.worker_pids()

        def memory():
            return sum(resident_kib(pid) for pid in workers)

        def hold(more):
            for _ in range(more):
                client = stack.enter_context(connect(port, context))
                assert client.recv(4096).startswith(b"* OK")
                clients.append(client)

        clients = []
        hold(100)  # what is used once is not counted
        first = memory()
        hold(count - 100)
        each = (memory() - first) / (count - 100)
        with capsys.disabled():
            print(f"\n{count} idle IMAP connections: {each:.1f} KiB of worker memory each", end=" ")
        assert postern.total("connections") == count
        for client in clients[:: max(1, count // 100)]:
            dialog = Dialog(client)
            dialog.ask(f"a LOGIN {demo.user} {demo.password}".encode(), b"a OK")
        postern.reload()
        assert postern.total("connections") == count
        for client in clients[:: max(1, count // 50)]:
            assert Dialog(client).ask(b"b NOOP", b"b OK")
    postern.wait_idle()
    assert len(postern.wait_for_lines("connection closed", count)) == count


def test_connection_is_closed_behind_when_it_is_closed_before(postern):
    with LineServer() as server:
        port = postern.serve(server.server)
        postern.start()
        clients = [connect(port, postern.authority.context()) for _ in range(50)]
        wait_for(lambda: server.held == 50, "the connections behind")
        for client in clients:
            assert read_exactly(client, 13) == b"* OK server\r\n"
            client.close()
        wait_for(lambda: server.held == 0, "the connections behind to be closed")
