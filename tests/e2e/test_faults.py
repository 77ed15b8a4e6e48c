"""Faults at every stage, and that nothing stays behind them: connections, descriptors, generations, processes.

Shows the fault side of rows D1, D3 and D5. (Workers that hang or die again and again: test_supervision.py;
limits, slow clients and servers that are down: test_limits.py.)
"""

import contextlib
import os
import random
import resource
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

from support.backends import Backend, LineServer
from support.leftovers import Holdings, leaving_nothing, wait_until_nothing_is_left
from support.load import Hammer, in_own_thread
from support.postern import program
from support.process import alive, descriptors, send_signal, state
from support.sanitizers import needs_no_descriptors
from support.tls import Wire, connect, read_exactly
from support.waiting import MEMORY_TELLS, scale, wait_for

GREETING = b"* OK server\r\n"


@pytest.fixture
def server():
    with LineServer() as made:
        yield made


@pytest.fixture
def serving(postern, server):
    """Postern with one listener, its port, and what it holds when nobody is there."""
    port = postern.serve(server.server)
    postern.start()
    # Contexts are made for the first client; they are no leftovers.
    for _ in range(20):
        greeted(port, postern.authority.context()).close()
    postern.wait_idle()
    yield postern, port, Holdings(postern)


def greeted(port, context):
    client = connect(port, context)
    assert read_exactly(client, len(GREETING)) == GREETING
    return client


def served(port, context, count=20):
    """`count` clients are served."""
    for _ in range(count):
        greeted(port, context).close()


def client_hello(context):
    """A ClientHello's record."""
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def with_reset(sock):
    """Closes with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def accepting(port, context, stack):
    """Connections that have not said a word."""
    for _ in range(40):
        stack.enter_context(socket.create_connection(("127.0.0.1", port)))


def in_mid_handshake(port, context, stack):
    """Half of a ClientHello, or a whole one and no answer to the server's part."""
    hello = client_hello(context)
    for number in range(40):
        sock = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        if number % 2:
            sock.sendall(hello[:len(hello) // 2])
        else:
            sock.sendall(hello)
            assert sock.recv(5)


def in_mid_record(port, context, stack):
    """Half of a record on established connections."""
    for _ in range(40):
        wire = stack.enter_context(Wire(port, context))
        record = wire.sealed(b"x" * 5000)
        wire.sock.sendall(record[:len(record) // 2])


@pytest.mark.parametrize("stage", [accepting, in_mid_handshake, in_mid_record])
def test_worker_killed_in_any_stage_of_its_connections_leaves_nothing(serving, stage):
    postern, port, before = serving
    context = postern.authority.context()
    with contextlib.ExitStack() as stack:
        stage(port, context, stack)
        wait_for(lambda: postern.total("connections") == 40, "the connections to be there")
        victim = max(postern.workers(), key=lambda worker: worker["connections"])
        send_signal(victim["pid"], signal.SIGKILL)
        wait_for(lambda: postern.workers()[victim["id"]]["pid"] not in (0, victim["pid"]), "a replacement")
        assert postern.total("connections") == 40 - victim["connections"], "the other's stay"
        in_own_thread(served, port, context)
    wait_until_nothing_is_left(postern, before)


def reload_in_background(postern):
    return subprocess.Popen([program(), "reload", "-c", postern.path], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def mapped_parts(pid):
    """The parts of generations that a worker has in memory."""
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as maps:
        return {line.split()[5] for line in maps if "/memfd:postern-settings" in line}


def test_worker_killed_while_it_prepares_refuses_the_reload_and_leaves_nothing(serving):
    postern, port, before = serving
    victim = postern.workers()[1]["pid"]
    os.kill(victim, signal.SIGSTOP)
    wait_for(lambda: state(victim) == "T", "the worker to be stopped")
    with reload_in_background(postern) as reload:
        wait_for(lambda: postern.status()["reload_running"], "the reload to begin")
        # The other one has prepared; this one will never.
        wait_for(lambda: len(Holdings(postern).generations) == 2, "the new generation to be there")
        send_signal(victim, signal.SIGKILL)
        assert reload.wait(60) == 1
        assert "worker 1 was killed by signal 9 (SIGKILL) while it prepared" in reload.stdout.read()
    assert postern.status()["generation"] == 1
    wait_for(lambda: all(worker["state"] == "serving" for worker in postern.workers()), "a replacement")
    served(port, postern.authority.context())
    wait_until_nothing_is_left(postern, before)
    postern.reload()
    wait_until_nothing_is_left(postern, before)


def test_worker_killed_between_being_ready_and_switching_changes_nothing_for_the_others(serving):
    postern, port, before = serving
    late, victim = (worker["pid"] for worker in postern.workers())
    os.kill(late, signal.SIGSTOP)
    wait_for(lambda: state(late) == "T", "the worker to be stopped")
    with reload_in_background(postern) as reload:
        # The victim has prepared, and sleeps until it is told to switch.
        wait_for(lambda: len(mapped_parts(victim)) > len(mapped_parts(late)), "the other one to have the new settings")
        for _ in range(20):
            wait_for(lambda: state(victim) == "S", "it to have answered")
            time.sleep(0.01)
        os.kill(victim, signal.SIGSTOP)
        wait_for(lambda: state(victim) == "T", "the victim to be stopped")
        os.kill(late, signal.SIGCONT)
        wait_for(lambda: postern.status()["generation"] == 2, "the generation to be published")
        assert postern.status()["reload_running"]
        send_signal(victim, signal.SIGKILL)
        assert reload.wait(60) == 0, reload.stdout.read()
    wait_for(lambda: [worker["generation"] for worker in postern.workers()] == [2, 2], "all to be on the new one")
    assert postern.workers()[0]["pid"] == late
    served(port, postern.authority.context())
    wait_until_nothing_is_left(postern, before)


def test_workers_killed_at_any_moment_of_reloads_leave_one_generation_on_all(serving):
    """Some die before they have prepared, some between that and the switch, some after it."""
    postern, port, before = serving
    context = postern.authority.context()
    draw = random.Random(7)
    for number in range(scale(12, least=4)):
        workers = wait_for(lambda: all(w["state"] == "serving" for w in postern.workers()) and postern.workers(),
                           "all workers to serve")
        with reload_in_background(postern) as reload:
            time.sleep(draw.uniform(0, 0.06))  # no matter where it hits
            send_signal(workers[number % 2]["pid"], signal.SIGKILL)
            status, text = reload.wait(60), reload.stdout.read()
        assert status == 0 or "while it prepared" in text or "is starting" in text, text
        wait_for(lambda: len({worker["generation"] for worker in postern.workers()}) == 1
                 and all(worker["state"] == "serving" for worker in postern.workers()),
                 "all workers on one generation")
        assert postern.workers()[0]["generation"] == postern.status()["generation"]
    in_own_thread(served, port, context)
    wait_until_nothing_is_left(postern, before)


def test_master_killed_in_the_midst_of_a_reload_is_replaced(serving):
    postern, port, before = serving
    orphans = postern.worker_pids()
    os.kill(orphans[0], signal.SIGSTOP)
    with reload_in_background(postern) as reload:
        wait_for(lambda: postern.status()["reload_running"], "the reload to begin")
        postern.process.popen.kill()
        postern.process.wait()
        assert reload.wait(60) == 1
    os.kill(orphans[0], signal.SIGCONT)
    for pid in orphans:
        wait_for(lambda pid=pid: not alive(pid), f"the orphaned worker {pid} to end")
    postern.start()
    served(port, postern.authority.context())
    wait_until_nothing_is_left(postern, before)


@pytest.mark.parametrize("limit, reason", [
    (resource.RLIMIT_FSIZE, "memory"),
    pytest.param(resource.RLIMIT_NOFILE, "Too many open files", marks=needs_no_descriptors)])
def test_no_memory_or_descriptors_for_a_new_generation_refuses_the_reload(serving, limit, reason):
    postern, port, before = serving
    context = postern.authority.context()
    allowed = resource.prlimit(postern.process.pid, limit)
    # No file, and no memfd, may have more than one octet; no descriptor more than there are.
    least = 1 if limit == resource.RLIMIT_FSIZE else descriptors(postern.process.pid)
    with Hammer(port, context) as hammer:
        resource.prlimit(postern.process.pid, limit, (least, allowed[1]))
        if limit == resource.RLIMIT_FSIZE:  # which keeps the master from its log, too
            answer = postern.command("reload")
            assert answer.status == 1 and reason in answer.text
        else:  # which keeps it from control clients
            postern.send(signal.SIGHUP)
            assert reason in postern.wait_for_lines("reload refused")[0]["reason"]
        hammer.wait_for_more(30)
        resource.prlimit(postern.process.pid, limit, allowed)
        assert not hammer.failures
    assert postern.status()["generation"] == 1
    wait_until_nothing_is_left(postern, before)
    postern.reload()
    wait_until_nothing_is_left(postern, before)


def test_full_disk_under_the_log_is_survived_and_left_behind(postern, server, directory):
    """A file system of 64 KiB, which is emptied again."""
    place = directory / "full"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0755", "tmpfs", place],
                             stderr=subprocess.DEVNULL, check=False).returncode == 0
    if not mounted:
        pytest.skip("a file system can be mounted by root alone, and not in every container")
    try:
        log = place / "p.log"
        postern.config["log"]["destination"] = str(log)
        port = postern.serve(server.server)
        postern.start()
        context = postern.authority.context()
        with leaving_nothing(postern), Hammer(port, context) as hammer:
            wait_for(lambda: os.statvfs(place).f_bavail == 0, "the disk to be full")
            hammer.wait_for_more(100)
            postern.reload()
            # What waits for room is bounded; beyond that lines are counted and gone.
            wait_for(lambda: postern.total("log_lines_dropped") > 0, "lines to be dropped")
            log.unlink()
            postern.send(signal.SIGUSR1)
            wait_for(lambda: log.exists() and "connection closed" in log.read_text(), "lines in the new file")
            assert not hammer.failures
        assert postern.stop() == 0
    finally:
        subprocess.run(["umount", "-l", place], check=False)


def test_back_end_that_takes_connections_and_never_says_a_word_holds_up_nobody_else(postern, server):
    with Backend(backlog=256) as silent:
        mute = postern.serve(silent.server, "raw", name="mute")
        port = postern.serve(server.server)
        postern.start()
        context = postern.authority.context()
        served(port, context)
        postern.wait_idle()
        before = Holdings(postern)
        with contextlib.ExitStack() as stack:
            for _ in range(100):
                stack.enter_context(connect(mute, context)).sendall(b"anybody there?\n")
            wait_for(lambda: postern.total("connections") == 100, "all to be held")
            with Hammer(port, context) as hammer:
                hammer.wait_for_more(100)
            assert not hammer.failures
        wait_until_nothing_is_left(postern, before)


def garbage(draw, hello):
    """Octets that are no handshake, in one of many ways."""
    kind = draw.randrange(5)
    if kind == 0:
        return draw.randbytes(draw.randrange(1, 400))
    if kind == 1:  # a ClientHello with an octet turned
        spoilt = bytearray(hello)
        spoilt[draw.randrange(len(spoilt))] ^= 1 << draw.randrange(8)
        return bytes(spoilt)
    if kind == 2:  # cut off
        return hello[:draw.randrange(1, len(hello))]
    if kind == 3:  # another protocol
        return draw.choice([b"GET / HTTP/1.1\r\n\r\n", b"EHLO x\r\n", b"\x80\x2e\x01\x03\x01", b"\0" * 64])
    return hello + draw.randbytes(50)  # nonsense where the second flight belongs


def throw(port, hello, count, seed, ending):
    """`count` connections with garbage, each ended as `ending` says."""
    draw = random.Random(seed)
    for _ in range(count):
        try:
            sock = socket.create_connection(("127.0.0.1", port))
            with sock:
                sock.sendall(garbage(draw, hello))
                ending(sock, draw)
        except ConnectionError:
            pass  # closed while it was sent: what else


def end_of_sending(sock, _):
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(65536):
        pass


def reset(sock, draw):
    if draw.random() < 0.5:
        sock.settimeout(0.02)
        with contextlib.suppress(TimeoutError):  # half of a ClientHello has no answer
            sock.recv(1)  # in the midst of it
    with_reset(sock)


@pytest.mark.parametrize("ending, count", [(end_of_sending, 20_000), (reset, 4_000)],
                         ids=["20000-garbage-handshakes", "resets-in-mid-handshake"])
def test_garbage_handshakes_leave_nothing(serving, ending, count):
    postern, port, before = serving
    context = postern.authority.context()
    hello = client_hello(context)
    each = scale(count, least=400) // 4
    threads = [threading.Thread(target=throw, args=(port, hello, each, seed, ending), daemon=True)
               for seed in range(4)]
    with Hammer(port, context, threads=1) as hammer:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        hammer.wait_for_more(5)
    assert not hammer.failures
    wait_until_nothing_is_left(postern, before)
    assert sum(worker["restarts"] for worker in postern.workers()) == 0
    # Several thousand failures cost no memory: what is kept is bounded.
    if MEMORY_TELLS:
        assert Holdings(postern).memory_kib < before.memory_kib + 32 * 1024
