"""Postern under systemd: what it tells the service manager, and what the unit file leaves it.

Shows of row E5 the notifications (READY, RELOADING, STOPPING, WATCHDOG, MAINPID), socket activation, and the unit
file.
"""

import contextlib
import os
import queue
import re
import shutil
import signal
import socket
import struct
import threading
import time

import pytest

from support import TOP
from support.backends import LineServer
from support.process import send_signal
from support.tls import connect
from support.waiting import DEADLINE_S, wait_for


class ServiceManager:
    """The manager's end of sd_notify(3): messages as dicts."""

    def __init__(self, directory):
        self.path = directory / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(str(self.path))
        self._messages = queue.SimpleQueue()
        # As systemd does: what is sent to a full socket is lost.
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        with contextlib.suppress(OSError):
            while True:
                octets, ancillary, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(12))
                if not octets:
                    return  # shut down
                self._messages.put((octets, ancillary))

    def take(self):
        return self.take_with_sender()[0]

    def take_with_sender(self):
        """A message, and the process that sent it: systemd believes the main process alone."""
        octets, ancillary = self._messages.get(timeout=DEADLINE_S)
        [(_, kind, data)] = ancillary
        assert kind == socket.SCM_CREDENTIALS
        return dict(line.split("=", 1) for line in octets.decode().splitlines()), struct.unpack("3i", data)[0]

    def take_until(self, key):
        while True:
            message = self.take()
            if key in message:
                return message

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


@pytest.fixture
def server():
    with LineServer() as made:
        yield made


@pytest.fixture
def manager(postern, tmp_path):
    with ServiceManager(tmp_path) as made:
        postern.environment = {**os.environ, "NOTIFY_SOCKET": str(made.path), "WATCHDOG_USEC": "400000"}
        yield made


def test_the_service_manager_is_told_of_start_reload_and_end(postern, manager, server):
    port = postern.serve(server.server)
    postern.start()
    ready = manager.take_until("READY")
    assert ready["READY"] == "1" and ready["STATUS"].startswith("Serving, generation 1, ")
    with connect(port, postern.authority.context()):
        pass  # who is told READY can connect

    send_signal(postern.process.pid, signal.SIGHUP)
    reloading = manager.take_until("RELOADING")
    assert int(reloading["MONOTONIC_USEC"]) > 0
    assert manager.take_until("READY")["STATUS"].startswith("Serving, generation 2, ")

    postern.config["listeners"]["test"]["service"] = "gopher"
    postern.write()
    assert postern.command("reload").status == 1
    manager.take_until("RELOADING")
    status = manager.take_until("READY")["STATUS"]
    assert status.startswith("Serving, generation 2, ") and "gopher" in status

    send_signal(postern.process.pid, signal.SIGTERM)
    stopping = manager.take_until("STOPPING")
    # The drain of the configuration is 5 s; the manager is asked for more than that.
    assert int(stopping["EXTEND_TIMEOUT_USEC"]) > 5_000_000 and "Draining" in stopping["STATUS"]
    wait_for(lambda: not postern.process.running(), "the master's end")


def test_the_watchdog_hears_of_the_master_alone(postern, manager, server):
    postern.serve(server.server)
    postern.start()
    for _ in range(3):
        assert manager.take_until("WATCHDOG") == {"WATCHDOG": "1"}
    for worker in postern.workers():
        environment = open(f"/proc/{worker['pid']}/environ", "rb").read()
        assert b"NOTIFY_SOCKET" not in environment and b"WATCHDOG" not in environment


def test_the_new_main_process_of_an_upgrade_is_introduced_by_the_old_one(postern, manager, server):
    postern.serve(server.server)
    postern.start()
    assert int(manager.take_until("READY")["MAINPID"]) == postern.process.pid
    main = postern.process.pid
    for _ in range(2):
        postern.upgrade()
        introduced, ready = None, False
        while not ready:
            message, sender = manager.take_with_sender()
            # NotifyAccess=main: what others than the main process say is not heard.
            assert sender == main, message
            assert "STOPPING" not in message
            if "MAINPID" in message and "READY" not in message:
                introduced = main = int(message["MAINPID"])
            ready = "READY" in message
        assert introduced == postern.process.pid
        assert message["STATUS"].startswith("Serving, ")
        # The watchdog hears of the new one alone from now on.
        for _ in range(3):
            message, sender = manager.take_with_sender()
            assert message == {"WATCHDOG": "1"} and sender == main


def test_an_upgrade_that_fails_leaves_the_main_process_as_it_is(postern, manager, server):
    postern.serve(server.server)
    postern.start()
    manager.take_until("READY")
    postern.config["listeners"]["test"]["service"] = "gopher"
    postern.write()
    assert postern.command("upgrade").status == 1
    deadline = time.monotonic() + 1  # messages of the time since
    while time.monotonic() < deadline:
        message, sender = manager.take_with_sender()
        assert "MAINPID" not in message and sender == postern.process.pid


@pytest.fixture
def activated(postern, server):
    """A listening socket that the test made, as systemd does, and passes to Postern."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        number = made.fileno()
        os.set_inheritable(number, True)
        postern.pass_fds = (number,)
        # LISTEN_PID has to be the program's own.
        # (Not sh: dash knows no descriptors of two digits.)
        postern.wrapper = ["bash", "-c", f"exec 3<&{number} {number}<&-; "
                           'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=test exec "$@"', "bash"]
        postern.serve(server.server, port=made.getsockname()[1])
        yield made.getsockname()[1]


def test_who_came_before_the_start_is_served_and_so_is_who_comes_between_two_lives(postern, activated):
    context = postern.authority.context()
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", activated)) as early:
            postern.start()
            with context.wrap_socket(early, server_hostname="localhost") as client:
                assert client.recv(1000) == b"* OK server\r\n"
        for _ in range(20):
            with connect(activated, context) as client:
                assert client.recv(1000) == b"* OK server\r\n"
        assert postern.stop() == 0
    for worker in (0, 1):
        assert not postern.lines("passed socket not used"), worker


def test_workers_and_upgrades_know_nothing_of_the_activation(postern, activated):
    postern.start()
    for worker in postern.workers():
        assert b"LISTEN_" not in open(f"/proc/{worker['pid']}/environ", "rb").read()
    context = postern.authority.context()
    with connect(activated, context) as held:
        assert held.recv(1000) == b"* OK server\r\n"
        for _ in range(3):
            postern.upgrade()
            for _ in range(10):
                with connect(activated, context) as client:
                    assert client.recv(1000) == b"* OK server\r\n"
        held.sendall(b"ping\n")
        assert held.recv(1000) == b"server ping\n"


def test_passed_socket_that_no_listener_has_is_said_and_closed(postern, activated, server):
    other = postern.add_listener("test", backend="test")  # in its place, on another port
    postern.start()
    assert other != activated
    line = postern.wait_for_lines("passed socket not used")[0]
    assert (line["name"], line["address"]) == ("test", f"127.0.0.1:{activated}")
    connect(other, postern.authority.context()).close()


def test_systemds_own_activator_starts_it_with_the_first_client(postern, server):
    activator = shutil.which("systemd-socket-activate")
    if activator is None:
        pytest.skip("systemd-socket-activate is not installed (package systemd)")
    port = postern.serve(server.server)
    postern.wrapper = [activator, "-l", f"127.0.0.1:{port}"]
    postern.run()
    context = postern.authority.context()

    def first_client():
        try:
            return connect(port, context)
        except ConnectionRefusedError:
            return None  # the activator itself is not that far

    with wait_for(first_client, "the activator to listen") as client:
        assert client.recv(1000) == b"* OK server\r\n"
    assert postern.lines("serving")
    assert postern.stop() == 0


def capabilities_of_the_unit_file():
    text = (TOP / "conf/postern.service.in").read_text()
    return re.search(r"^CapabilityBoundingSet=(.*)$", text, re.MULTILINE)[1].split()


def test_postern_serves_with_the_capabilities_of_the_unit_file(postern, server):
    if os.geteuid() != 0:
        pytest.skip("only root has capabilities to give up")
    kept = [name.removeprefix("CAP_").lower() for name in capabilities_of_the_unit_file()]
    bounding = ",".join(["-all", *(f"+{name}" for name in kept)])
    postern.serve(server.server)
    postern.wrapper = ["setpriv", f"--bounding-set={bounding}", "--no-new-privs"]
    postern.start()
    worker = postern.workers()[0]["pid"]
    status = open(f"/proc/{postern.process.pid}/status").read()
    assert "NoNewPrivs:\t1" in status
    # Fewer where the tests run in a container that lacks some.
    assert int(re.search(r"^CapBnd:\t(\w+)", status, re.MULTILINE)[1], 16).bit_count() <= len(kept)
    assert os.stat(f"/proc/{worker}").st_uid != 0
    assert postern.command("reload").status == 0
