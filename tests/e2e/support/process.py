"""A server process that a test starts and, whatever happens, ends: by its own pid, never by name."""

import ctypes
import os
import signal
import socket
import subprocess

from support.waiting import DEADLINE_S, wait_for


def state(pid):
    """The letter of a process's state as in ps; "X" when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def alive(pid):
    """Whether a process with that pid runs (a zombie does not)."""
    return state(pid) not in "ZX"


def children(pid):
    """The pids of the children of a process."""
    try:
        found = []
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as text:
                found += [int(child) for child in text.read().split()]
        return sorted(found)
    except (FileNotFoundError, ProcessLookupError):
        return []


def send_signal(pid, number):
    """Sends a signal; a process that has ended meanwhile is no error."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0


_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def die_with_the_tests():
    """Nothing outlives a test run that is killed. (The test's main thread is the parent.)"""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """`argv` with its output in the file `log`."""

    def __init__(self, argv, log, env=None, preexec=None, stdout=None, pass_fds=()):
        self.log = log

        def before_exec():
            die_with_the_tests()
            if preexec is not None:
                preexec()

        with open(log, "ab") as output:
            self.popen = subprocess.Popen(
                [str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=stdout or output, stderr=output,
                env=env, preexec_fn=before_exec, start_new_session=True, pass_fds=pass_fds)
        self.pid = self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def wait_until_it_greets(self, port, greeting):
        """Until whoever connects to `port` hears what begins with `greeting`."""
        def greets():
            assert self.running(), f"{self.popen.args[0]} ended:\n{self.text()}"
            try:
                with socket.create_connection(("127.0.0.1", port)) as client:
                    return client.recv(100).startswith(greeting)
            except OSError:
                return False

        wait_for(greets, f"{self.popen.args[0]} to serve")

    def send(self, number):
        if self.running():
            self.popen.send_signal(number)

    def wait(self, deadline=DEADLINE_S):
        """Its exit status, when it has ended by itself."""
        try:
            return self.popen.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.popen.args[0]} ({self.pid}) did not end") from None

    def kill(self):
        """Ends it and what it has started, at once."""
        if not self.running():
            return
        below = children(self.pid)
        self.popen.kill()
        self.popen.wait()
        for child in below:
            send_signal(child, signal.SIGKILL)

    def stop(self, number=signal.SIGTERM, deadline=20):
        """Ends it in its own way, or at once when that takes too long. Returns the exit status."""
        self.send(number)
        try:
            return self.popen.wait(deadline)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.popen.returncode

    def text(self):
        with open(self.log, "rb") as output:
            return output.read().decode("utf-8", "replace")

    def wait_for_text(self, needle):
        def found():
            text = self.text()
            if needle in text:
                return text
            assert self.running(), f"ended before it said {needle!r}:\n{text}"
            return None

        return wait_for(found, f"{needle!r} in {self.log}")


class Adopted:
    """A process that another one has started, by its pid."""

    def __init__(self, pid):
        self.pid = pid

    def running(self):
        return alive(self.pid)

    def send(self, number):
        send_signal(self.pid, number)

    def wait(self, deadline=DEADLINE_S):
        """Waits for its end. Its exit status is its parent's to know."""
        wait_for(lambda: not self.running(), f"process {self.pid} to end", deadline)

    def kill(self):
        below = children(self.pid)
        self.send(signal.SIGKILL)
        for child in below:
            send_signal(child, signal.SIGKILL)

    def stop(self, number=signal.SIGTERM, deadline=20):
        self.send(number)
        try:
            self.wait(deadline)
        except AssertionError:
            self.kill()
