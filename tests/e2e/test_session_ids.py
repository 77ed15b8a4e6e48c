"""Coming back without a full handshake: sessions by ID, and tickets through reloads and deaths.

Shows of row D4 that clients of TLS 1.2 without tickets resume by session ID on any worker, across reloads and killed
workers, bound as tickets are; how many tickets there are; and that who has lost the keys just shakes hands in full.
"""

import os
import re
import signal
import socket
import ssl
import subprocess

import pytest

from support.backends import LineServer
from support.clients import run
from support.leftovers import Holdings, wait_until_nothing_is_left
from support.sanitizers import SANITIZED
from support.tls import connect, read_exactly
from support.waiting import wait_for

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
GREETING = b"* OK server\r\n"


@pytest.fixture
def server():
    with LineServer() as made:
        yield made


def ticketless(authority):
    context = authority.context(V12)
    context.options |= ssl.OP_NO_TICKET
    return context


def visit(port, context, session=None, name="localhost"):
    """Whether a connection resumed, and its session."""
    with connect(port, context, session=session, name=name) as client:
        assert read_exactly(client, len(GREETING)) == GREETING  # TLS 1.3's tickets have come before
        return client.session_reused, client.session


def counts(postern):
    return postern.status()["session_ids"]


def resumes_on_every_worker(postern, port, context, session):
    before = {worker["id"]: worker["handshakes_resumed"] for worker in postern.workers()}

    def seen():
        assert visit(port, context, session)[0]
        return all(worker["handshakes_resumed"] > before[worker["id"]] for worker in postern.workers())

    wait_for(seen, "a resumed handshake on every worker")


def kill_worker(postern):
    victim = postern.workers()[0]
    os.kill(victim["pid"], signal.SIGKILL)
    wait_for(lambda: all(w["pid"] not in (0, victim["pid"]) and w["state"] == "serving" for w in postern.workers()),
             "a successor to serve", deadline=60)


def test_session_id_resumes_on_every_worker(postern, authority, server):
    port = postern.serve(server.server)
    postern.start()
    context = ticketless(authority)
    resumed, session = visit(port, context)
    assert not resumed and not session.has_ticket and len(session.id) == 32
    resumes_on_every_worker(postern, port, context, session)
    found = counts(postern)
    assert (found["stores"], found["misses"]) == (1, 0)
    assert found["hits"] >= 2
    assert "sessions by ID (room for 8192): 1 kept" in postern.command("status").text


def test_session_id_outlives_reloads_and_workers(postern, authority, server):
    port = postern.serve(server.server)
    postern.start()
    context = ticketless(authority)
    session = visit(port, context)[1]
    for _ in range(2):
        postern.reload()
        kill_worker(postern)
        resumes_on_every_worker(postern, port, context, session)
    assert counts(postern)["stores"] == 1


def test_session_id_outlives_upgrades(postern, authority, server):
    port = postern.serve(server.server)
    postern.start()
    context = ticketless(authority)
    session = visit(port, context)[1]
    for _ in range(2):
        postern.upgrade()
        resumes_on_every_worker(postern, port, context, session)
        # The old master ends, and leaves the sessions to the new one.
        postern.retired[-1].wait()
        resumes_on_every_worker(postern, port, context, session)
    assert counts(postern)["stores"] == 1
    assert not postern.lines("sessions by ID not inherited")


def test_session_ids_outlive_an_upgrade_that_fails(postern, authority, server):
    port = postern.serve(server.server)
    postern.start()
    context = ticketless(authority)
    session = visit(port, context)[1]
    with socket.create_server(("127.0.0.1", 0)) as other:
        # The new process gets as far as to have the sessions: addresses come after them.
        postern.add_listener("busy", backend="test", port=other.getsockname()[1])
        postern.write()
        answer = postern.command("upgrade")
        assert answer.status == 1 and "nothing has changed" in answer.text
    resumes_on_every_worker(postern, port, context, session)


def test_another_size_makes_a_new_cache_at_an_upgrade(postern, authority, server):
    port = postern.serve(server.server)
    postern.start()
    context = ticketless(authority)
    session = visit(port, context)[1]
    postern.config["session_cache"] = {"entries": 64}
    postern.write()
    postern.upgrade()
    assert counts(postern)["slots"] == 64
    assert postern.wait_for_lines("sessions by ID not inherited")
    resumed, fresh = visit(port, context, session)
    assert not resumed
    resumes_on_every_worker(postern, port, context, fresh)


def test_killing_workers_at_work_leaves_the_cache_good(postern, authority, server):
    port = postern.serve(server.server)
    postern.start()
    context = ticketless(authority)
    before = Holdings(postern)
    for _ in range(3):
        victim = postern.workers()[0]["pid"]
        for i in range(20):
            if i == 10:
                os.kill(victim, signal.SIGKILL)
            try:
                visit(port, context)
            except OSError:
                assert i >= 10  # the killed worker's own connections
        wait_for(lambda: victim not in postern.worker_pids() and all(
            w["state"] == "serving" for w in postern.workers()), "a successor", deadline=60)
    session = visit(port, context)[1]
    resumes_on_every_worker(postern, port, context, session)
    wait_until_nothing_is_left(postern, before)


def test_clients_with_tickets_do_not_use_the_cache(postern, authority, server):
    port = postern.serve(server.server)
    postern.start()
    for version in (V12, V13):
        context = authority.context(version)
        session = visit(port, context)[1]
        assert visit(port, context, session)[0]
    assert counts(postern) == {"slots": 8192, "stores": 0, "hits": 0, "misses": 0, "evictions": 0, "refused": 0}


def test_without_tickets_session_ids_remain(postern, authority, server):
    postern.config["tickets"] = {"enabled": False}
    port = postern.serve(server.server)
    postern.start()
    context = authority.context(V12)
    session = visit(port, context)[1]
    assert not session.has_ticket
    assert visit(port, context, session)[0]
    assert not visit(port, authority.context(V13))[1].has_ticket


def test_session_id_is_good_for_one_listener_and_certificate_only(postern, authority, server):
    postern.add_pair("other", authority.issue("other", names=["other.example.test"]))
    one = postern.serve(server.server, name="one")
    other = postern.add_listener("other", backend="one")
    looser = postern.add_listener("looser", backend="one", policy="old")
    postern.start()
    context = ticketless(authority)
    session = visit(one, context)[1]
    assert not visit(other, context, session)[0]
    assert not visit(looser, context, session)[0]
    assert not visit(one, context, session, name="other.example.test")[0]
    assert visit(one, context, session)[0]


def test_no_cache(postern, authority, server):
    postern.config["session_cache"] = {"entries": 0}
    port = postern.serve(server.server)
    postern.start()
    context = ticketless(authority)
    session = visit(port, context)[1]
    assert not visit(port, context, session)[0]
    assert counts(postern)["slots"] == 0


def test_small_cache_evicts_and_its_size_waits_for_a_restart(postern, authority, server):
    postern.config["session_cache"] = {"entries": 4}
    port = postern.serve(server.server)
    postern.start()
    context = ticketless(authority)
    sessions = [visit(port, context)[1] for _ in range(6)]
    assert visit(port, context, sessions[-1])[0]
    assert counts(postern)["evictions"] == 2
    postern.config["session_cache"] = {"entries": 8}
    postern.write()
    assert "[session_cache] entries was changed" in postern.command("reload").text
    assert counts(postern)["slots"] == 4


def test_openssl_resumes_by_session_id(postern, authority, server, directory):
    port = postern.serve(server.server)
    postern.start()
    kept = directory / "session.pem"

    def s_client(*options):
        done = run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_2", "-no_ticket", "-CAfile",
                    authority.ca, "-servername", "localhost", *options])
        return re.search(rb"^(New|Reused), ", done.stdout, re.MULTILINE)[1]

    assert s_client("-sess_out", kept) == b"New"
    assert s_client("-sess_in", kept) == b"Reused"


@pytest.mark.parametrize("version", [V12, V13])
def test_tickets_outlive_reloads_and_killed_workers(postern, authority, server, version):
    port = postern.serve(server.server)
    postern.start()
    context = authority.context(version)
    session = visit(port, context)[1]
    for _ in range(2):
        postern.reload()
        kill_worker(postern)
        resumes_on_every_worker(postern, port, context, session)


@pytest.mark.parametrize("version", [V12, V13])
def test_ticket_whose_keys_are_gone_leads_to_a_full_handshake(postern, authority, server, version):
    port = postern.serve(server.server)
    postern.start()
    context = authority.context(version)
    session = visit(port, context)[1]
    for _ in range(3):
        assert postern.command("rotate-tickets").status == 0
    assert visit(port, context, session)[0]
    assert postern.command("rotate-tickets").status == 0
    resumed, fresh = visit(port, context, session)
    assert not resumed
    assert visit(port, context, fresh)[0]


def test_keys_rotate_on_a_timer(postern, authority, server):
    postern.config["tickets"] = {"rotate": "1s", "lifetime": "3s"}
    port = postern.serve(server.server)
    postern.start()
    context = authority.context(V12)
    session = visit(port, context)[1]
    wait_for(lambda: len(postern.lines("ticket keys rotated")) >= 4, "four rotations", deadline=60)
    wait_for(lambda: not visit(port, context, session)[0], "the ticket's key to be gone")


@pytest.mark.parametrize("count", [0, 1, 5])
def test_number_of_tickets(postern, authority, server, count):
    postern.config["tickets"] = {"count": count}
    port = postern.serve(server.server)
    postern.start()
    client = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_3", "-msg", "-CAfile",
                               str(authority.ca)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
    with client:
        seen = b""
        while GREETING not in seen:  # the tickets come before
            octets = client.stdout.read1()
            assert octets, seen
            seen += octets
        client.stdin.close()
    assert seen.count(b"NewSessionTicket") == count


def flags_of(pid, name):
    """VmFlags of the mappings of a memfd in a process."""
    found, ours = [], False
    with open(f"/proc/{pid}/smaps") as smaps:
        for line in smaps:
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                ours = f"/memfd:{name} " in line
            elif ours and line.startswith("VmFlags:"):
                found.append(set(line.split()[1:]))
    return found


@pytest.mark.parametrize("name", ["postern-ticket-keys", "postern-sessions"])
def test_secrets_are_locked_and_not_dumped(postern, server, name):
    postern.serve(server.server)
    postern.start()
    wanted = {"dd", "dc"}  # not dumped, not inherited by forks
    # A sanitizer makes nothing of mlock.
    if not SANITIZED and not [line for line in postern.lines() if "not locked in memory" in line["event"]]:
        wanted.add("lo")
    for pid in [postern.process.pid, *postern.worker_pids()]:
        found = flags_of(pid, name)
        assert len(found) == 1, (pid, found)
        assert wanted <= found[0]
