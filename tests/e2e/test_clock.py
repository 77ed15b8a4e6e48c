"""A clock that is set forward and back, as by an operator or a time server: nobody is cut off, no timeout is
late or early, sessions that have run out are shaken hands for anew.

The clock is faked for Postern alone (libfaketime), the monotonic one goes on. The library reads its file
whenever the time is asked for, which the sandbox would not let a worker do.
"""

import datetime
import glob
import os
import ssl

import pytest

from support.backends import LineServer
from support.leftovers import leaving_nothing
from support.sanitizers import SANITIZED
from support.tls import connect, read_exactly
from support.waiting import wait_for

GREETING = b"* OK server\r\n"
LIBRARY = next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), None)
DAY_S = 86400

pytestmark = [
    pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed"),
    # A sanitizer's runtime has to be the first library of a process.
    pytest.mark.skipif(SANITIZED, reason="a sanitized build takes no preloaded library"),
]


class Clock:
    """Postern's clock, `set` so many seconds from ours."""

    def __init__(self, directory):
        self.path = directory / "clock"
        directory.chmod(0o755)  # workers read it as their own user
        self.set(0)

    def set(self, seconds):
        temporary = self.path.with_suffix(".new")
        temporary.write_text(f"{seconds:+d}\n")
        temporary.chmod(0o644)
        temporary.rename(self.path)

    def environment(self):
        return {**os.environ, "LD_PRELOAD": LIBRARY, "FAKETIME_TIMESTAMP_FILE": str(self.path),
                "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def read_line(client):
    line = b""
    while not line.endswith(b"\n"):
        line += read_exactly(client, 1)
    return line


def greeted(port, context, session=None):
    client = connect(port, context, session=session)
    assert read_exactly(client, len(GREETING)) == GREETING
    return client


def answered(client, text):
    """The server names itself before what it was sent."""
    client.sendall(text + b"\r\n")
    return text in read_line(client)


def seen_at(postern, count):
    """How far from our clock the worker's was when it wrote of the end of the last of `count` connections."""
    line = postern.wait_for_lines("connection closed", count)[-1]
    told = datetime.datetime.fromisoformat(line["time"].replace("Z", "+00:00"))
    return (told - datetime.datetime.now(datetime.timezone.utc)).total_seconds()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_clock_set_forward_and_back_cuts_nobody_off(postern, directory, version):
    clock = Clock(directory)
    postern.environment = clock.environment()
    postern.config["process"]["sandbox"] = "off"
    context = postern.authority.context(version)
    with LineServer() as server:
        port = postern.serve(server.server)
        postern.start()
        workers = sorted(postern.worker_pids())
        with leaving_nothing(postern), greeted(port, context) as held:
            assert answered(held, b"before")
            first = held.session
            ended = 0
            # A day on, two days back, and where it belongs.
            for offset_s in (DAY_S, -DAY_S, 0):
                clock.set(offset_s)
                assert answered(held, b"still here")
                with greeted(port, context) as client:
                    assert answered(client, b"new")
                    session = client.session
                ended += 1
                assert abs(seen_at(postern, ended) - offset_s) < DAY_S / 4  # or nothing was faked
                # What was issued on the new day resumes on it; what was issued on another may, or is
                # answered by a full handshake.
                with greeted(port, context, session) as client:
                    assert client.session_reused
                with greeted(port, context, first) as client:
                    assert answered(client, b"again")
                ended += 2
            assert answered(held, b"to the end")
        wait_for(lambda: postern.total("connections") == 0, "all connections to be gone")
        assert sorted(postern.worker_pids()) == workers
        assert postern.total("handshakes_failed") == 0
        assert not postern.lines("worker hangs") and not postern.lines(level="error")


def test_timeouts_do_not_follow_the_clock(postern, directory):
    """A day forward ends no connection that may be idle for an hour; a day back keeps none for a day."""
    clock = Clock(directory)
    postern.environment = clock.environment()
    postern.config["process"]["sandbox"] = "off"
    context = postern.authority.context()
    with LineServer() as server:
        patient = postern.serve(server.server, idle_timeout="1h", name="patient")
        brief = postern.serve(server.server, idle_timeout="1s", name="brief")
        postern.start()
        with greeted(patient, context) as held:
            clock.set(DAY_S)
            with greeted(brief, context) as client:
                clock.set(-DAY_S)
                with pytest.raises(ssl.SSLError):  # ended by the idle timeout, without a word of raw's
                    client.recv(100)
            assert answered(held, b"still here")
