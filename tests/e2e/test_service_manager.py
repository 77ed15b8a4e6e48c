"""Postern under systemd: what it tells the service manager, and what the unit file leaves it.

Shows of row E5 the notifications (READY, RELOADING, STOPPING, WATCHDOG) and the unit file.
"""

import os
import re
import signal
import socket

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
        self.socket.bind(str(self.path))
        self.socket.settimeout(DEADLINE_S)

    def take(self):
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().splitlines())

    def take_until(self, key):
        while True:
            message = self.take()
            if key in message:
                return message

    def __enter__(self):
        return self

    def __exit__(self, *_):
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
