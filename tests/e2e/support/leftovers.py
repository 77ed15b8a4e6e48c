"""What a Postern holds, as `postern status` and /proc show it, to find out what was left behind."""

import contextlib
import os

from support.process import descriptors, state
from support.waiting import wait_for


def session_of(pid):
    """The session that a process belongs to. Masters, workers and successors have the first master's."""
    return os.getsid(pid)


def processes_of_session(session):
    """The pids of the living processes of a session."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as stat:
                if int(stat.read().rpartition(")")[2].split()[3]) == session and state(int(name)) not in "ZX":
                    found.append(int(name))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return sorted(found)


def memory_kib(pid):
    """What a process has for itself and its share of what it has with others (PSS), in KiB."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii", errors="replace") as rollup:
            for line in rollup:
                if line.startswith("Pss:"):
                    return int(line.split()[1])
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0


class Holdings:
    """What the master and its workers hold at one moment."""

    def __init__(self, postern):
        status = postern.status()
        self.master = descriptors(status["pid"])
        self.workers = [descriptors(worker["pid"]) for worker in status["workers"]]
        self.parts = len(status["parts"])
        self.generations = sorted({number for part in status["parts"] for number in part["generations"]})
        self.connections = sum(worker["connections"] for worker in status["workers"])
        self.retired = len(status["retired"])
        session = session_of(status["pid"])
        self.processes = len(processes_of_session(session))
        self.memory_kib = sum(memory_kib(pid) for pid in processes_of_session(session))

    def more_than(self, before):
        """What is left behind since `before`, in words; nothing when all is well."""
        found = []
        if self.connections:
            found.append(f"{self.connections} connections")
        if self.retired:
            found.append(f"{self.retired} retired masters")
        if len(self.generations) > 1:
            found.append(f"generations {self.generations}")
        if self.parts > before.parts:
            found.append(f"{self.parts} parts of generations, {before.parts} before")
        if self.processes > before.processes:
            found.append(f"{self.processes} processes, {before.processes} before")
        if self.master > before.master:
            found.append(f"{self.master} descriptors of the master, {before.master} before")
        if max(self.workers) > max(before.workers):
            found.append(f"{self.workers} descriptors of workers, {before.workers} before")
        return found


def wait_until_nothing_is_left(postern, before):
    """Waits until Postern holds no more than it did; fails with what is left behind."""
    left = []

    def back():
        left[:] = Holdings(postern).more_than(before)
        return not left

    try:
        wait_for(back, "what was used to be given back")
    except AssertionError:
        raise AssertionError("left behind: " + "; ".join(left)) from None


@contextlib.contextmanager
def leaving_nothing(postern):
    """What happens in it leaves nothing behind."""
    before = Holdings(postern)
    yield
    wait_until_nothing_is_left(postern, before)
