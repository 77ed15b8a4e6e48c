"""No memory for a new generation: the reload is refused, and nothing else comes of it.

Shows, of the fault side of row D1, that neither a master nor a worker whose address space is at its limit dies of a
reload of some thousand certificates; what serves goes on serving, and with more memory the next reload is taken.
"""

import contextlib
import os
import pwd
import re
import resource
import ssl
import sys

import pytest

from support import TOP
from support.backends import LineServer
from support.process import alive
from support.sanitizers import SANITIZED
from support.tls import connect
from support.waiting import wait_for

sys.path.append(str(TOP / "bench"))

from comparison import certificates  # noqa: E402

PAIRS = 2_000
MIB = 1 << 20

pytestmark = [
    pytest.mark.skipif(SANITIZED, reason="sanitizers reserve more address space than any limit leaves"),
    pytest.mark.skipif(certificates.unavailable() is not None, reason=str(certificates.unavailable())),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return certificates.make_store(tmp_path_factory.mktemp("short"), PAIRS)


@pytest.fixture
def server():
    with LineServer() as made:
        yield made


def untrusting():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def address_space(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"^VmSize:\s+(\d+) kB", status.read(), re.MULTILINE)[1]) << 10


@contextlib.contextmanager
def limited(pid, headroom):
    """The process may have so much more address space than it has."""
    before = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (address_space(pid) + headroom, before[1]))
    try:
        yield
    finally:
        if alive(pid):
            resource.prlimit(pid, resource.RLIMIT_AS, before)


def start(postern, store, server):
    """Serves one certificate; what a reload brings is many."""
    postern.config["process"]["user"] = pwd.getpwuid(os.getuid()).pw_name  # whose limits we may set
    postern.add_pair("one", postern.authority.issue("localhost"))
    port = postern.serve(server.server)
    postern.start()
    postern.config["certificates"] = {"directory": store.directory, "default": certificates.name(0)}
    postern.write()
    return port


def serves(port):
    with connect(port, untrusting()) as client:
        return client.recv(100) == b"* OK server\r\n"


def test_a_master_without_memory_refuses_the_reload_and_lives(postern, store, server):
    port = start(postern, store, server)
    master, workers = postern.process.pid, postern.worker_pids()
    refused = []
    # Threads, and the allocator, take address space in large pieces; the less there is the sooner it is missing.
    for headroom in (0, 1, 4, 12, 24, 34, 40, 48, 64, 96):
        with limited(master, headroom * MIB):
            answer = postern.command("reload")
        assert alive(master) and postern.process.running(), (headroom, postern.text()[-2000:])
        assert serves(port)
        if answer.status != 0:
            assert "nothing has changed" in answer.text, (headroom, answer)
            refused.append(answer.text)
        else:
            break  # there was enough, and there would be with more
    assert any("memory" in text for text in refused), refused
    assert postern.command("reload").status == 0
    assert postern.status()["certificates"]["count"] == PAIRS
    assert postern.worker_pids() == workers
    assert serves(port)


def test_a_worker_without_memory_refuses_the_reload_for_all(postern, store, server):
    port = start(postern, store, server)
    master, workers = postern.process.pid, postern.worker_pids()
    generation = postern.status()["generation"]
    for headroom in (0, 64 << 10):
        with limited(workers[0], headroom):
            answer = postern.command("reload")
        assert answer.status == 1 and "memory" in answer.text.lower(), answer
        assert "nothing has changed" in answer.text
        assert serves(port)
    status = postern.status()
    assert status["generation"] == generation and postern.worker_pids() == workers
    assert all(worker["restarts"] == 0 for worker in status["workers"])
    # Nothing is left of the generations that came to nothing.
    wait_for(lambda: all(part["generations"] == [generation] for part in postern.status()["parts"]),
             "what was refused to be gone")
    assert postern.command("reload").status == 0
    assert postern.status()["certificates"]["count"] == PAIRS
    assert alive(master) and postern.worker_pids() == workers
    assert serves(port)
