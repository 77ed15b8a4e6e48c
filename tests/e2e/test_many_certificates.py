"""Thousands of certificates: each name gets its own, one that changed is served by a reload that reads
nothing else, and reloads pile up neither memory nor segments while clients stay connected.

Shows row B12. How long it takes with 100,000 is for bench/compare; here are bounds that hold on any
machine.
"""

import contextlib
import os
import re
import ssl
import subprocess
import sys

import pytest

from support import TOP
from support.backends import LineServer
from support.postern import program
from support.tls import connect, read_exactly
from support.waiting import MEMORY_TELLS, scale, wait_for

sys.path.append(str(TOP / "bench"))

from comparison import accounting, certificates  # noqa: E402

PAIRS = scale(2_000, 200)
RELOADS = scale(20, 6)
CLIENTS = scale(200, 20)
MAX_BATCHES = 16  # of certificates and keys; docs/generations.md
# Memory of all processes for one certificate, beside its octets and those of its key.
MAX_OCTETS = 2_000
# What may come and go between two looks: caches of allocators, a page here and there.
SLACK = 3 << 20

pytestmark = pytest.mark.skipif(certificates.unavailable() is not None, reason=str(certificates.unavailable()))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return certificates.make_store(tmp_path_factory.mktemp("many"), PAIRS)


def untrusting():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def shown(port, name):
    """The certificate that a name gets, in DER."""
    with connect(port, untrusting(), name) as client:
        return client.getpeercert(binary_form=True)


def der(pem):
    return ssl.PEM_cert_to_DER_cert(pem)


def serve(postern, store, server):
    postern.config["certificates"] = {"directory": store.directory, "default": certificates.name(0)}
    postern.config["timeouts"]["prepare"] = "60s"
    return postern.serve(server.server)


def settle(postern):
    """Waits until of indexes and segments only those are left that serve now (connections keep settings);
    returns the segments."""
    def segments():
        status = postern.status()
        parts = [part for part in status["parts"] if part["kind"] != "settings"]
        if all(status["generation"] in part["generations"] for part in parts):
            return [part for part in parts if part["kind"] != "index"]
        return None

    return wait_for(segments, "the certificates of before to be gone")


def memory(postern):
    return accounting.memory([postern.process.pid, *postern.worker_pids()]).working


def beside(postern):
    """Memory of all processes without certificates and keys."""
    return memory(postern) - sum(part["size"] for part in settle(postern))


def octets_of(store):
    """Of all pairs as they are stored: DER, less than their PEM."""
    return sum(len(der(path.read_text())) for path in store.directory.glob("*.crt"))


def test_each_of_many_names_gets_its_own_certificate(postern, store):
    with LineServer() as server:
        port = serve(postern, store, server)
        postern.start()
        assert postern.status()["certificates"]["count"] == PAIRS
        for number in {0, 1, PAIRS // 3, PAIRS // 2, PAIRS - 2, PAIRS - 1}:
            name = certificates.name(number)
            assert shown(port, name) == der(store.pair(name)[0].read_text())
        assert shown(port, "unknown.example.com") == der(store.pair(certificates.name(0))[0].read_text())


def test_a_reload_of_one_reads_one_and_reloads_do_not_pile_up(postern, store):
    store.put(renewed=False)
    with LineServer() as server, contextlib.ExitStack() as stack:
        port = serve(postern, store, server)
        postern.start()
        held = []
        for number in range(CLIENTS):
            client = stack.enter_context(connect(port, untrusting(), certificates.name(number)))
            held.append((client, client.recv(1000).split()[-1]))
        used = None
        for number in range(RELOADS):
            renewed = number % 2 == 0
            store.put(renewed)
            answer = postern.reload()
            assert re.search(rf"\b{PAIRS} certificates, 1 read again", answer.text), answer
            assert shown(port, store.last) == der(store.certificate(renewed))
            assert shown(port, certificates.name(1)) == der(store.pair(certificates.name(1))[0].read_text())
            if number == RELOADS // 3:
                settle(postern)
                used = memory(postern)
        segments = settle(postern)
        assert len(segments) <= 2 * MAX_BATCHES
        # Of a certificate that changed so often, one copy is there and some holes.
        stored = sum(part["size"] for part in segments if part["kind"] == "certificates")
        assert stored < octets_of(store) + PAIRS * 8 + RELOADS * 1_000 + len(segments) * 100
        for client, name in held:
            client.sendall(b"still here\n")
            assert read_exactly(client, len(name) + 12) == name + b" still here\n"
        if MEMORY_TELLS:
            assert memory(postern) < used + SLACK


@pytest.mark.skipif(not MEMORY_TELLS, reason="sanitizers keep freed memory back")
def test_what_a_certificate_costs_beside_its_octets(postern, store, tmp_path):
    few = tmp_path / "few"
    few.mkdir(mode=0o700)
    count = PAIRS // 4
    for number in range(count):
        for path in store.pair(certificates.name(number)):
            (few / path.name).symlink_to(path)
    with LineServer() as server:
        serve(postern, store, server)
        postern.config["certificates"]["directory"] = few
        postern.start()
        base = beside(postern)
        postern.stop()
        postern.config["certificates"]["directory"] = store.directory
        postern.start()
        assert beside(postern) - base < (PAIRS - count) * MAX_OCTETS + SLACK // 2


def test_bench_reloads_measures_what_it_says(tmp_path):
    words = [TOP / "bench/reloads", "--names", 30, "--reloads", 3, "--held", 7]
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "HOME": str(tmp_path), "POSTERN": str(program())})
    assert done.returncode == 0, done.stderr + done.stdout
    assert "# 30 certificates, 3 reloads, 7 connections held" in done.stdout
    assert "median of 3 | " in done.stdout and "| connections alive at the end, of 7 | 7 |" in done.stdout
    done = subprocess.run([TOP / "bench/reloads"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "POSTERN": "/nonexistent/postern"})
    assert done.returncode == 2 and "/nonexistent/postern is not there" in done.stderr
