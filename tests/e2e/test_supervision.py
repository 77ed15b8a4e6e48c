"""Workers that die, a master that dies, and how it all ends.

Shows rows D1 (a dead worker is replaced at once and its listen queue is not lost), D3 (SO_REUSEPORT
listeners made by the master), and of D6 that SIGTERM drains and SIGUSR1 reopens logs.
"""

import contextlib
import os
import signal
import socket

import pytest

from support.backends import LineServer
from support.load import Hammer, in_own_thread
from support.process import alive, send_signal, state
from support.tls import connect, cut_off, read_exactly, read_to_end
from support.waiting import wait_for


@pytest.fixture
def server():
    with LineServer() as made:
        yield made


@contextlib.contextmanager
def held_connections(port, context, count):
    """`count` greeted connections."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(greeted(port, context)) for _ in range(count)]


def greeted(port, context):
    client = connect(port, context)
    assert client.recv(1000) == b"* OK server\r\n"
    return client


def lives(client):
    """Whether a held connection still carries an answer."""
    return in_own_thread(answers, client)


def answers(client):
    try:
        client.sendall(b"ping\n")
        return read_exactly(client, 12) == b"server ping\n"
    except (OSError, EOFError):
        return False


def test_killed_worker_loses_only_its_own_connections(postern, server):
    port = postern.serve(server.server)
    postern.start()
    context = postern.authority.context()
    with held_connections(port, context, 60) as clients:
        victim = max(postern.workers(), key=lambda worker: worker["connections"])
        assert 0 < victim["connections"] < 60, "the kernel spreads connections over both workers"
        # Under load: somebody's handshake may be cut off, but only while the worker dies.
        with Hammer(port, context) as hammer:
            send_signal(victim["pid"], signal.SIGKILL)
            wait_for(lambda: postern.workers()[victim["id"]]["pid"] not in (0, victim["pid"]), "a replacement")
            hammer.wait_for_more(30)
        assert sum(not lives(client) for client in clients) == victim["connections"]
        assert len(hammer.failures) <= 2, "one per hammering thread"
    replaced = postern.workers()[victim["id"]]
    assert (replaced["restarts"], replaced["state"]) == (1, "serving")

    def replacement_serves():
        greeted(port, context).close()
        return postern.workers()[victim["id"]]["accepted"] > victim["accepted"] + 3

    wait_for(replacement_serves, "the replacement to take connections")
    postern.wait_idle()
    assert any("SIGKILL" in str(line) for line in postern.lines() if "worker" in line.get("event", ""))


def queued(port):
    """Connections that wait in the listening sockets' queues (the receive queue of /proc/net/tcp)."""
    total = 0
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in table.read().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and int(words[1].partition(":")[2], 16) == port:
                total += int(words[4].partition(":")[2], 16)
    return total


def test_connections_waiting_for_a_dead_worker_are_served(postern, server):
    port = postern.serve(server.server, handshake_timeout="120s")
    postern.start()
    context = postern.authority.context()
    victim = postern.workers()[0]
    os.kill(victim["pid"], signal.SIGSTOP)
    # What it takes before it stands still is its own, and dies with it.
    wait_for(lambda: state(victim["pid"]) == "T", "the worker to be stopped")
    with contextlib.ExitStack() as stack:
        raw = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(40)]
        wait_for(lambda: queued(port) > 0, "connections to wait in the stopped worker's queue")
        send_signal(victim["pid"], signal.SIGKILL)
        for sock in raw:
            with context.wrap_socket(sock, server_hostname="localhost") as client:
                assert client.recv(1000) == b"* OK server\r\n"
    assert postern.workers()[0]["restarts"] == 1


def test_worker_that_hangs_is_replaced(postern, server):
    port = postern.serve(server.server)
    postern.start()
    stopped, other = (worker["pid"] for worker in postern.workers())
    os.kill(stopped, signal.SIGSTOP)
    # It is asked every 5 s, and given 20 s to answer.
    wait_for(lambda: not alive(stopped), "the hanging worker to be killed", deadline=60)
    wait_for(lambda: postern.workers()[0]["state"] == "serving", "its successor to serve")
    assert postern.workers()[1]["pid"] == other, "who answers is left alone"
    assert "hangs" in postern.wait_for_lines("worker killed")[0]["reason"]
    with greeted(port, postern.authority.context()) as client:
        assert lives(client)


def test_worker_that_dies_again_and_again_is_started_more_and_more_slowly(postern, server):
    port = postern.serve(server.server)
    postern.start()
    for number in range(1, 5):
        pid = postern.workers()[0]["pid"]
        send_signal(pid, signal.SIGKILL)
        wait_for(lambda pid=pid: postern.workers()[0]["pid"] not in (0, pid), "a replacement")
        assert postern.workers()[0]["restarts"] == number
    pauses = [float(line["restart_in"]) for line in postern.wait_for_lines("worker died", 4, worker="0")]
    assert pauses[0] == 0, "one death alone is answered at once"
    assert pauses == sorted(pauses) and pauses[-1] > pauses[1] > 0
    wait_for(lambda: postern.workers()[0]["state"] == "serving", "the worker to serve again")
    for _ in range(20):
        greeted(port, postern.authority.context()).close()


def test_reload_works_after_a_worker_was_replaced(postern, server):
    port = postern.serve(server.server)
    postern.start()
    postern.reload()
    pid = postern.workers()[1]["pid"]
    send_signal(pid, signal.SIGKILL)

    def replaced():
        worker = postern.workers()[1]  # looked at once: between two looks it may have died
        return worker["state"] == "serving" and worker["pid"] != pid

    wait_for(replaced, "a replacement")
    assert postern.workers()[1]["generation"] == 2
    postern.reload()
    assert [worker["generation"] for worker in postern.workers()] == [3, 3]
    greeted(port, postern.authority.context()).close()


def test_workers_outlive_a_dead_master_only_for_their_connections(postern, server):
    port = postern.serve(server.server)
    postern.start()
    context = postern.authority.context()
    orphans = postern.worker_pids()
    assert len(orphans) == 2
    with held_connections(port, context, 10) as clients:
        postern.process.popen.kill()
        postern.process.wait()
        # A new master starts at once, on the same ports, pid file and control socket.
        postern.start()
        for _ in range(10):
            greeted(port, context).close()
        assert all(lives(client) for client in clients)
        assert not set(orphans) & set(postern.worker_pids())
    for pid in orphans:
        wait_for(lambda pid=pid: not alive(pid), f"the orphaned worker {pid} to end")


def test_sigterm_drains(postern, server):
    port = postern.serve(server.server, "imap")
    postern.config["timeouts"]["drain"] = "600s"
    postern.start()
    context = postern.authority.context()
    with held_connections(port, context, 20) as clients:
        postern.send(signal.SIGTERM)
        wait_for(lambda: refuses(port), "new connections to be refused")
        assert all(lives(client) for client in clients)
        assert postern.status()["state"] == "draining"
        for client in clients:
            client.unwrap()
    assert postern.process.wait() == 0
    assert not postern.pid_file.exists()
    closed = postern.lines("connection closed", sni="localhost")
    assert [line["how"] for line in closed] == ["client-closed"] * 20


def refuses(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
        return False
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        return False


@pytest.mark.parametrize("service, goodbye", [
    ("imap", b"* BYE "), ("pop3", b"-ERR "), ("smtp", b"421 "), ("submission", b"421 "), ("sieve", b"BYE "),
    ("http", b""), ("raw", b"")])
def test_at_the_drain_limit_the_client_gets_its_protocols_goodbye(postern, server, service, goodbye):
    port = postern.serve(server.server, service)
    postern.config["timeouts"]["drain"] = "1s"
    postern.start()
    with greeted(port, postern.authority.context()) as client:
        postern.send(signal.SIGTERM)
        if goodbye:
            assert read_to_end(client).startswith(goodbye)
        else:  # nothing to say, so nothing that looks like the server's own end
            with cut_off():
                client.recv(100)
    assert postern.process.wait() == 0
    assert postern.closed()["how"] == "drained"


@pytest.mark.parametrize("signals", [[signal.SIGTERM, signal.SIGTERM], [signal.SIGINT]])
def test_second_sigterm_and_sigint_end_at_once(postern, server, signals):
    port = postern.serve(server.server)
    postern.config["timeouts"]["drain"] = "3600s"
    postern.start()
    workers = postern.worker_pids()
    with greeted(port, postern.authority.context()):
        for number in signals:
            postern.send(number)
            if len(signals) > 1:
                wait_for(lambda: not postern.process.running() or refuses(port), "the drain to begin")
        assert postern.process.wait() == 0
    for pid in workers:
        wait_for(lambda pid=pid: not alive(pid), "the workers to be gone")


def test_stop_command_drains_and_now_does_not(postern, server):
    port = postern.serve(server.server)
    postern.config["timeouts"]["drain"] = "3600s"
    postern.start()
    with greeted(port, postern.authority.context()):
        postern.send(signal.SIGTERM)
        wait_for(lambda: refuses(port), "the drain to begin")
        assert postern.command("stop", "--now").status == 0
        assert postern.process.wait() == 0


def test_sigusr1_reopens_the_log(postern, server, directory):
    log = postern.directory / "p.log"
    postern.config["log"]["destination"] = str(log)
    port = postern.serve(server.server)
    postern.start()
    context = postern.authority.context()
    with connect(port, context) as client:
        first = client.getsockname()[1]
    wait_for(lambda: f"127.0.0.1:{first}" in log.read_text(), "the first connection's line")
    moved = log.with_suffix(".old")
    log.rename(moved)
    postern.send(signal.SIGUSR1)
    wait_for(log.exists, "the new file")

    def in_new_file_from_every_worker():
        with connect(port, context) as client:
            client.recv(1000)
        text = log.read_text()
        return all(f"process=worker/{number}" in text for number in (0, 1))

    wait_for(in_new_file_from_every_worker, "lines of both workers in the new file")
    # Nobody writes to the old one any more.
    size = moved.stat().st_size
    for _ in range(20):
        connect(port, context).close()
    postern.wait_idle()
    assert moved.stat().st_size == size


def test_full_disk_under_the_log_does_not_stop_service(postern, server):
    postern.config["log"]["destination"] = "/dev/full"
    port = postern.serve(server.server)
    postern.start()
    with Hammer(port, postern.authority.context()) as hammer:
        hammer.wait_for_more(200)
        postern.reload()
        hammer.wait_for_more(50)
    assert not hammer.failures
    assert postern.stop() == 0


def test_reader_of_the_log_that_is_stuck_does_not_stop_service(postern, server):
    """The log is a pipe that nobody reads."""
    fifo = postern.directory / "log.fifo"
    os.mkfifo(fifo)
    keep = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    try:
        postern.config["log"]["destination"] = str(fifo)
        port = postern.serve(server.server)
        postern.start()
        with Hammer(port, postern.authority.context(), threads=4) as hammer:
            hammer.wait_for_more(600)
        assert not hammer.failures
        assert postern.status()["state"] == "serving"
        assert postern.stop() == 0
    finally:
        os.close(keep)
