"""Fixtures of the end-to-end tests: the real program, real servers behind it, real clients.

    /usr/bin/python3 -m pytest tests/e2e

The program is $POSTERN, else build/src/cli/postern. POSTERN_E2E_SCALE=0.1 makes bulk and counts
smaller, for sanitizer builds; POSTERN_E2E_DEADLINE says how many seconds a condition is waited for,
POSTERN_E2E_TEST_LIMIT how many a test may take.

Every server is started here, on free high ports of the loopback interface and in a directory of its
own, and ended by its pid. A test that fails shows the logs of what it used.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import tempfile

import pytest

from support.demo import DemoServer
from support.dovecot import Dovecot
from support.postern import Postern, program
from support.postfix import DOMAIN, Postfix
from support.tls import Authority
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
        directories = {}  # in their order, each once
        for value in list(getattr(item, "funcargs", {}).values()):
            directory = getattr(value, "directory", None)
            if isinstance(directory, pathlib.Path):
                directories.setdefault(directory, value)
        for directory, value in directories.items():
            if directory.is_dir():
                for log in sorted(directory.glob("*.log")):
                    text = log.read_bytes().decode("utf-8", "replace")[-_SHOWN_CHARACTERS:]
                    report.sections.append((f"{type(value).__name__}: {log.name}", text))


def _directory(prefix):
    # Short names: the path of a UNIX socket has at most 107 octets. Servers that drop privileges
    # have to get through.
    path = pathlib.Path(tempfile.mkdtemp(prefix=f"pe2e-{prefix}-"))
    path.chmod(0o755)
    return path


@contextlib.contextmanager
def _temporary(prefix):
    path = _directory(prefix)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def directory():
    with _temporary("t") as path:
        yield path


@pytest.fixture(scope="session")
def authority():
    with _temporary("ca") as path:
        yield Authority(path)


@pytest.fixture(scope="session")
def pair(authority):
    """A certificate for localhost."""
    return authority.issue("localhost")


@contextlib.contextmanager
def _postern(authority, pair, workers=2):
    assert program().is_file(), f"{program()} is not there: build it, or say where it is in $POSTERN"
    with _temporary("p") as path:
        postern = Postern(path, authority, workers)
        postern.add_pair("localhost", pair)
        try:
            yield postern
        finally:
            postern.clean_up()
        complaints = postern.complaints()
        assert not complaints, "\n".join(complaints)


@pytest.fixture
def postern(authority, pair):
    """The program with two workers and a certificate for localhost; the test adds the rest and starts it."""
    with _postern(authority, pair) as made:
        yield made


@pytest.fixture(scope="module")
def module_postern(authority, pair):
    """The same for all tests of a file; who uses it starts it once."""
    with _postern(authority, pair) as made:
        yield made


@pytest.fixture
def demo(directory):
    server = DemoServer(directory)
    yield server
    server.stop()


class MailSystem:
    """Dovecot and Postfix with some users, each taken by one test."""

    def __init__(self, path):
        self._free = [f"user{number}@{DOMAIN}" for number in range(100)]
        self.password = "pass word"  # with a space, as users have them
        (path / "d").mkdir()
        (path / "p").mkdir()
        self.directory = path / "d"
        self.dovecot = Dovecot(path / "d", {user: self.password for user in self._free})
        try:
            self.postfix = Postfix(path / "p", self.dovecot.port("lmtp"), self.dovecot.auth_socket)
        except BaseException:
            self.dovecot.stop()
            raise

    def new_user(self):
        return self._free.pop(0)

    def stop(self):
        self.postfix.stop()
        self.dovecot.stop()


@pytest.fixture(scope="session")
def mail_system():
    if os.geteuid() != 0:
        pytest.skip("Dovecot and Postfix change users, which takes root")
    with _temporary("m") as path:
        system = MailSystem(path)
        try:
            yield system
        finally:
            system.stop()
