"""Reloading: all workers or none, nothing that serves is disturbed, what is old goes when unused.

Shows rows D5 (configuration generations), B7 (a bad certificate or key takes nothing down), D3
(listeners made by the master), and of D6 that SIGHUP reloads.
"""

import contextlib
import os
import signal
import socket
import threading

import pytest

from support.backends import LineServer
from support.load import Hammer
from support.tls import common_name, connect, openssl, read_exactly
from support.waiting import scale, wait_for

ROUNDS = 20


class Held:
    """A connection that stays open; `ask` shows that it still is the one it was."""

    def __init__(self, port, context):
        self.sock = connect(port, context)
        self.certificate = common_name(self.sock)
        self.server = self.sock.recv(1000).split()[-1]

    def ask(self, text):
        self.sock.sendall(text + b"\n")
        expected = self.server + b" " + text + b"\n"
        assert read_exactly(self.sock, len(expected)) == expected


@contextlib.contextmanager
def line_servers(count):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(LineServer(f"g{number}")) for number in range(count)]


def test_200_connections_live_through_20_reloads_and_none_is_on_mixed_settings(postern, authority):
    """Each generation has a certificate and a server of its own: who sees one has to see the other."""
    pairs = [authority.issue(f"g{number}") for number in range(ROUNDS + 1)]
    count = scale(200, 100)
    with line_servers(ROUNDS + 1) as servers, contextlib.ExitStack() as stack:
        context = authority.context()

        def use(number):
            postern.config["certificates"]["pair"] = []
            postern.add_pair("main", pairs[number])
            postern.add_backend("test", servers[number].server)

        use(0)
        port = postern.add_listener("test", "imap")
        postern.start()
        held = []

        def hold(more):
            for _ in range(more):
                one = Held(port, context)
                stack.callback(one.sock.close)
                held.append(one)

        hold(count - ROUNDS)
        with Hammer(port, context) as hammer:
            for number in range(1, ROUNDS + 1):
                use(number)
                postern.reload()
                # From the moment that `postern reload` is back the new generation serves, and it alone.
                hold(1)
                assert held[-1].server == f"g{number}".encode()
                hammer.wait_for_more(3)
        assert not hammer.failures
        for certificate, greeting in hammer.seen:
            assert greeting == b"* OK " + certificate.encode() + b"\r\n"
        for one in held:
            assert one.server == one.certificate.encode()
            one.ask(b"still here")
        status = postern.status()
        assert status["generation"] == ROUNDS + 1
        assert sum(worker["connections"] for worker in status["workers"]) == count
        assert all(worker["restarts"] == 0 for worker in status["workers"])
        # Old connections hold their settings, not the certificates they began with.
        alive = [part["kind"] for part in status["parts"]]
        assert alive.count("settings") > 1
    postern.wait_idle()
    wait_for_one_generation(postern)


def wait_for_one_generation(postern):
    def only_one():
        status = postern.status()
        return all(part["generations"] == [status["generation"]] for part in status["parts"])

    wait_for(only_one, "the parts of older generations to be gone")


def test_settings_live_as_long_as_their_last_connection(postern, authority):
    with LineServer() as server:
        port = postern.serve(server.server)
        postern.start()
        with connect(port, authority.context()) as client:
            client.recv(1000)
            postern.reload()
            kept = [part for part in postern.status()["parts"] if 1 in part["generations"] and
                    part["kind"] == "settings"]
            assert len(kept) == 1 and len(kept[0]["workers"]) == 1
        wait_for_one_generation(postern)


def test_swapped_certificate_is_seen_by_the_next_handshake_on_every_worker(postern, authority):
    old, new = authority.issue("old"), authority.issue("new")
    served = authority.issue("served")
    old.put_in_place_of(served)
    postern.config["certificates"]["pair"] = []
    postern.add_pair("main", served)
    with LineServer() as server:
        port = postern.serve(server.server)
        postern.start()
        with Hammer(port, authority.context()) as hammer:
            hammer.wait_for_more(20)
            new.put_in_place_of(served)
            postern.reload()
            before = {worker["id"]: worker["accepted"] for worker in postern.workers()}

            def everywhere():
                with connect(port, authority.context()) as client:
                    assert common_name(client) == "new"
                return all(worker["accepted"] > before[worker["id"]] + 3 for worker in postern.workers())

            wait_for(everywhere, "handshakes on every worker")
        assert not hammer.failures
        names = [certificate for certificate, _ in hammer.seen]
        assert set(names) == {"old", "new"}


def test_sighup_reloads(postern, authority):
    with LineServer("one") as one, LineServer("two") as two:
        port = postern.serve(one.server)
        postern.start()
        postern.add_backend("test", two.server)
        postern.write()
        postern.send(signal.SIGHUP)
        wait_for(lambda: postern.status()["generation"] == 2, "the second generation")
        with connect(port, authority.context()) as client:
            assert client.recv(1000) == b"* OK two\r\n"
        postern.wait_for_lines("reloaded")


def break_mismatch(pair, authority):
    other = authority.issue("other")
    pair.key.write_bytes(other.key.read_bytes())
    return ["does not"]


def break_garbage_key(pair, authority):
    pair.key.write_bytes(os.urandom(300))
    return []


def break_cut_certificate(pair, authority):
    octets = pair.certificate.read_bytes()
    pair.certificate.write_bytes(octets[:len(octets) // 2])
    return []


def break_empty_certificate(pair, authority):
    pair.certificate.write_bytes(b"")
    return []


def break_missing_key(pair, authority):
    pair.key.unlink()
    return ["does not exist"]


def break_encrypted_key(pair, authority):
    octets = openssl("pkcs8", "-topk8", "-in", pair.key, "-passout", "pass:secret")
    pair.key.write_bytes(octets)
    return ["encrypted"]


def break_swapped_files(pair, authority):
    certificate, key = pair.certificate.read_bytes(), pair.key.read_bytes()
    pair.certificate.write_bytes(key)
    pair.key.write_bytes(certificate)
    return []


@pytest.mark.parametrize("spoil", [break_mismatch, break_garbage_key, break_cut_certificate,
                                   break_empty_certificate, break_missing_key, break_encrypted_key,
                                   break_swapped_files])
def test_reload_with_a_bad_pair_changes_nothing(postern, authority, spoil):
    good, bad = authority.issue("good"), authority.issue("bad")
    postern.config["certificates"]["pair"] = []
    postern.add_pair("main", good)
    with LineServer() as server:
        port = postern.serve(server.server)
        postern.start()
        with connect(port, authority.context()) as held:
            held.recv(1000)
            words = spoil(bad, authority)
            bad.put_in_place_of(good)
            answer = postern.command("reload")
            assert answer.status != 0
            assert good.key.name in answer.text or good.certificate.name in answer.text, answer
            for word in words:
                assert word in answer.text, answer
            # The reason is in the log and in the status too.
            assert postern.wait_for_lines("reload refused")
            status = postern.status()
            assert status["generation"] == 1 and status["last_reload"]["ok"] is False
            for _ in range(10):
                with connect(port, authority.context()) as client:
                    assert common_name(client) == "good"
            held.sendall(b"x\n")
            assert held.recv(1000) == b"server x\n"
            # A repaired pair is taken by the next reload.
            authority.issue("repaired").put_in_place_of(good)
            postern.reload()
            with connect(port, authority.context()) as client:
                assert common_name(client) == "repaired"


def dead_pairs(authority, directory):
    """Pairs that fit, and that libssl or every client refuses, with what is said of them."""
    names = ("other.test",)
    yield authority.issue("short", names, "rsa:1024"), "is only RSA 1024"
    yield authority.issue("sha1", names, digest="sha1"), "is signed with SHA-1"
    yield authority.issue("curve", names, "ec:secp256k1"), "is EC secp256k1, a curve that clients do not offer"
    leaf, behind = authority.issue("leaf", names), authority.issue("behind", names, digest="sha1")
    leaf.certificate.write_bytes(leaf.certificate.read_bytes() + behind.certificate.read_bytes())
    yield leaf, "certificate 2 of 2"


def test_a_pair_that_no_client_can_be_served_with_does_not_go_live(postern, authority, tmp_path):
    """Nor one that is not the default, which nothing tries before its first client comes."""
    other = authority.issue("good", ("other.test",))
    postern.config["certificates"]["pair"] = []
    postern.add_pair("main", authority.issue("main"))
    postern.add_pair("other", other)
    with LineServer() as server:
        # `old` serves with security level 0, and is no exception.
        port = postern.serve(server.server, policy="old")
        postern.start()
        for dead, words in dead_pairs(authority, tmp_path):
            dead.put_in_place_of(other)
            for answer in (postern.command("check"), postern.command("reload")):
                assert answer.status == 1, answer
                assert other.certificate.name in answer.text and words in answer.text, answer
            with connect(port, authority.context(), name="other.test") as client:
                assert common_name(client) == "good"
        authority.issue("renewed", ("other.test",)).put_in_place_of(other)
        postern.reload()
        with connect(port, authority.context(), name="other.test") as client:
            assert common_name(client) == "renewed"


def test_reload_with_a_faulty_file_names_every_fault(postern, authority):
    with LineServer() as server:
        port = postern.serve(server.server)
        postern.start()
        postern.config["listeners"]["test"]["servise"] = "imap"
        postern.config["backends"]["test"]["servers"] = []
        postern.write()
        answer = postern.command("reload")
        assert answer.status != 0
        for word in ("servise", '"service"', "servers"):
            assert word in answer.text, answer
        assert f"{postern.path}:" in answer.text
        postern.path.write_text("this is = no TOML = at all\n")
        answer = postern.command("reload")
        assert answer.status != 0
        postern.write()
        with connect(port, authority.context()) as client:
            assert client.recv(1000)


def test_reload_with_a_port_in_use_changes_nothing(postern, authority):
    with LineServer() as server, socket.create_server(("127.0.0.1", 0)) as other:
        port = postern.serve(server.server)
        postern.start()
        postern.add_listener("taken", backend="test", port=other.getsockname()[1])
        postern.write()
        answer = postern.command("reload")
        assert answer.status != 0
        assert str(other.getsockname()[1]) in answer.text
        assert postern.status()["generation"] == 1
        with connect(port, authority.context()) as client:
            assert client.recv(1000)


def refused(port, address="127.0.0.1"):
    try:
        socket.create_connection((address, port)).close()
        return False
    except ConnectionRefusedError:
        return True


def test_listeners_come_go_and_move_while_others_serve(postern, authority):
    with LineServer() as server:
        staying = postern.serve(server.server, name="staying")
        leaving = postern.add_listener("leaving", backend="staying")
        moving = postern.add_listener("moving", backend="staying")
        postern.start()
        context = authority.context()
        with connect(leaving, context) as held, Hammer(staying, context) as hammer:
            held.recv(1000)
            for _ in range(5):
                listeners = postern.config["listeners"]
                left = listeners.pop("leaving")
                old_port = listeners["moving"].pop("port")
                moving = postern.add_listener("moving", backend="staying")
                coming = postern.add_listener("coming", backend="staying")
                postern.reload()
                # A worker first takes what waits in the queue of a socket that goes.
                wait_for(lambda: refused(leaving) and refused(old_port), "the ports to be closed")
                for port in (moving, coming):
                    with connect(port, context) as client:
                        assert client.recv(1000) == b"* OK server\r\n"
                hammer.wait_for_more(3)
                # Back to what it was.
                listeners.pop("coming")
                listeners["leaving"] = left
                postern.reload()
                assert refused(coming)
                with connect(leaving, context) as client:
                    assert client.recv(1000) == b"* OK server\r\n"
                hammer.wait_for_more(3)
            # Whoever was there when its listener went is served on.
            held.sendall(b"x\n")
            assert held.recv(1000) == b"server x\n"
        assert not hammer.failures
        names = {listener["name"] for listener in postern.status()["listeners"]}
        assert names == {"staying", "leaving", "moving"}


def test_listener_gets_a_new_service_on_the_same_address(postern, authority):
    """The address stays, what it means changes: nobody is refused meanwhile."""
    with LineServer("one") as one, LineServer("two") as two:
        postern.add_backend("one", one.server)
        postern.add_backend("two", two.server)
        port = postern.add_listener("a", "imap", backend="one")
        postern.start()
        with Hammer(port, authority.context()) as hammer:
            for number in range(6):
                postern.config["listeners"].clear()
                backend = "two" if number % 2 == 0 else "one"
                postern.add_listener(f"n{number}", "pop3", backend=backend, port=port)
                postern.reload()
                with connect(port, authority.context()) as client:
                    assert client.recv(1000) == f"* OK {backend}\r\n".encode()
        assert not hammer.failures


def test_listener_widens_to_both_families_and_narrows_again(postern, authority):
    """"::" and "*" are one address to the kernel and two sockets: IPv4 clients are served or refused as written."""
    with LineServer() as server:
        port = postern.serve(server.server, address="::")
        postern.start()
        context = authority.context()
        with connect(port, context, address="::1") as held:
            assert held.recv(1000) == b"* OK server\r\n"
            for _ in range(2):
                assert refused(port)
                postern.config["listeners"]["test"]["address"] = "*"
                postern.reload()
                for host in ("127.0.0.1", "::1"):
                    for _ in range(8):  # enough to reach every worker
                        with connect(port, context, address=host) as client:
                            assert client.recv(1000) == b"* OK server\r\n"
                postern.config["listeners"]["test"]["address"] = "::"
                postern.reload()
            held.sendall(b"x\n")
            assert held.recv(1000) == b"server x\n"


def test_reloads_asked_for_at_once_are_all_answered(postern, authority):
    with LineServer() as server:
        postern.serve(server.server)
        postern.start()
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(postern.command("reload"))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [answer.status for answer in answers] == [0] * 8


def test_50_reloads_leave_one_copy(postern, authority):
    with LineServer() as server:
        port = postern.serve(server.server)
        postern.start()
        sizes = []
        descriptors = []
        for number in range(scale(50, 10)):
            postern.reload()
            if number == 2:
                wait_for_one_generation(postern)
                sizes.append(sum(part["size"] for part in postern.status()["parts"]))
                descriptors = [len(os.listdir(f"/proc/{pid}/fd")) for pid in
                               [postern.process.pid, *postern.worker_pids()]]
        wait_for_one_generation(postern)
        sizes.append(sum(part["size"] for part in postern.status()["parts"]))
        assert sizes[0] == sizes[1]
        wait_for(lambda: [len(os.listdir(f"/proc/{pid}/fd")) for pid in
                          [postern.process.pid, *postern.worker_pids()]] == descriptors,
                 f"as many descriptors as before ({descriptors})")
        with connect(port, authority.context()) as client:
            assert client.recv(1000)


def test_restart_only_settings_are_named_and_left(postern, authority):
    with LineServer() as server:
        postern.serve(server.server)
        postern.start()
        postern.config["process"]["workers"] = 3
        postern.write()
        answer = postern.command("reload")
        assert answer.status == 0
        assert "workers" in answer.text, answer
        assert len(postern.workers()) == 2
