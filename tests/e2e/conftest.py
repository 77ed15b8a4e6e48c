"""Fixtures of the end-to-end tests: the real program, real servers behind it, real clients.

    /usr/bin/python3 -m pytest tests/e2e            # the program is $POSTERN or build/src/cli/postern

Every server is started here, on free high ports of the loopback interface and in a directory of its
own, and ended by its pid. A test that fails shows the logs of what it used.
"""

import os
import pathlib
import shutil
import signal
import socket
import tempfile

import pytest

from support.demo import DemoServer
from support.waiting import DEADLINE_S

_SHOWN_CHARACTERS = 6000
# A test that hangs fails after this long, so that the fixtures still clean up behind it.
_TEST_LIMIT_S = int(os.environ.get("POSTERN_E2E_TEST_LIMIT", "240"))

socket.setdefaulttimeout(DEADLINE_S)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    def give_up(*_):
        raise TimeoutError(f"the test did not end within {_TEST_LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(_TEST_LIMIT_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for value in list(getattr(item, "funcargs", {}).values()):
            directory = getattr(value, "directory", None)
            if isinstance(directory, pathlib.Path):
                for log in sorted(directory.glob("*.log")):
                    text = log.read_bytes().decode("utf-8", "replace")[-_SHOWN_CHARACTERS:]
                    report.sections.append((f"{type(value).__name__}: {log.name}", text))


def _directory(prefix):
    # Short names: the path of a UNIX socket has at most 107 octets. Servers that drop privileges
    # have to get through.
    path = pathlib.Path(tempfile.mkdtemp(prefix=f"pe2e-{prefix}-"))
    path.chmod(0o755)
    return path


@pytest.fixture
def directory():
    path = _directory("t")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def session_directory():
    path = _directory("s")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def demo(directory):
    server = DemoServer(directory)
    yield server
    server.stop()
