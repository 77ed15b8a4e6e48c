"""What the processes are made of, as the kernel shows it.

Shows, of row D1, that each worker is pinned to a CPU of its own; of row D2, that a worker's one ring does
its work; and row D7, mimalloc as the allocator.
"""

import os
import pathlib

import pytest

from support.backends import LineServer
from support.sanitizers import SANITIZED
from support.tls import connect, read_exactly


@pytest.fixture
def serving(postern):
    with LineServer() as server:
        port = postern.serve(server.server)
        postern.start()
        yield postern, port


def cpus_allowed(pid):
    """The CPUs that a process may run on."""
    return os.sched_getaffinity(pid)


def mapped_files(pid):
    return {line.split(maxsplit=5)[5].strip() for line in open(f"/proc/{pid}/maps") if len(line.split()) > 5}


def open_files(pid):
    return [os.readlink(entry) for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir()]


def test_each_worker_is_pinned_to_a_cpu_of_its_own(serving):
    postern, _ = serving
    pinned = [cpus_allowed(worker["pid"]) for worker in postern.workers()]
    assert all(len(cpus) == 1 for cpus in pinned), pinned
    # With fewer CPUs than workers some have to share.
    assert len(set.union(*pinned)) == min(len(pinned), len(os.sched_getaffinity(0)))


def test_workers_are_not_pinned_when_that_is_switched_off(postern):
    with LineServer() as server:
        postern.serve(server.server)
        postern.config["process"]["pin"] = False
        postern.start()
        for worker in postern.workers():
            assert cpus_allowed(worker["pid"]) == os.sched_getaffinity(0)


def test_one_worker_per_cpu_when_no_number_is_given(postern):
    with LineServer() as server:
        postern.serve(server.server)
        del postern.config["process"]["workers"]
        postern.start()
        assert len(postern.workers()) == len(os.sched_getaffinity(0))


def test_connections_live_in_the_ring_alone(serving):
    postern, port = serving
    before = {worker["pid"]: sorted(open_files(worker["pid"])) for worker in postern.workers()}
    with connect(port, postern.authority.context()) as client:
        assert read_exactly(client, 13) == b"* OK server\r\n"
        assert postern.total("connections") == 1
        for pid, files in before.items():
            assert files.count("anon_inode:[io_uring]") == 1
            assert not [name for name in files if "eventpoll" in name]
            # Its sockets are direct descriptors: the process's own table does not grow.
            assert sorted(open_files(pid)) == files


def test_mimalloc_is_the_allocator(serving):
    postern, _ = serving
    # The sanitizers bring an allocator of their own, which must see every allocation.
    allocator, other = ("libasan", "libmimalloc") if SANITIZED else ("libmimalloc", "libasan")
    for pid in (postern.process.pid, *postern.worker_pids()):
        files = mapped_files(pid)
        assert [name for name in files if allocator in name], f"process {pid} does without {allocator}"
        assert not [name for name in files if other in name]
