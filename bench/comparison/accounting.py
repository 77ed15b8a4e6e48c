"""What a server has cost: CPU time and memory, summed over all of its processes.

CPU time is the scheduler's own count, in nanoseconds: what /proc/PID/task/*/schedstat says, read through
the CPU clock of each process, because that keeps what threads have used that have ended since (stunnel
has a thread for each connection). What children have used that have ended and were waited for is in
their parent's stat, in clock ticks. Work that the kernel does for a server inside of its system calls is
in it, and on loopback that is delivering its packets to the other side, too.

Memory is private pages and the server's share of those it maps from files (PSS), and shared memory in full:
pages of a memfd that no process has touched through a mapping are in nobody's PSS.
"""

import os
import re
import time
from typing import Iterable, NamedTuple

from support.process import children

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_SHARED = ("/memfd:", "/dev/zero", "/SYSV", "/dev/shm/")


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        todo += children(one)
    return found


# --- CPU -----------------------------------------------------------------------------------------

def schedstat_ns(pid: int) -> int:
    """The sum of a process's living threads."""
    total = 0
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            try:
                with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as text:
                    total += int(text.read().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                pass
    except (FileNotFoundError, ProcessLookupError):
        pass
    return total


def process_ns(pid: int) -> int:
    """The same, and what ended threads have used."""
    # The kernel's name for a process's CPU clock (clock_getcpuclockid(3), which Python lacks): the
    # complement of the pid above three bits that say "whole process, scheduler's time".
    try:
        return time.clock_gettime_ns(~pid << 3 | 2)
    except OSError:
        return schedstat_ns(pid)


def reaped_ns(pid: int) -> int:
    """What the children of a process had used that it has waited for."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[13]) + int(fields[14])) * _TICK_NS  # cutime and cstime, fields 16 and 17
    except (FileNotFoundError, ProcessLookupError):
        return 0


def cpu_ns(pids: Iterable[int]) -> int:
    return sum(process_ns(pid) + reaped_ns(pid) for pid in pids)


# --- Connections ---------------------------------------------------------------------------------

def active_opens(text: str) -> int:
    """How many TCP connections were begun on this machine, from /proc/net/snmp."""
    head, values = (line.split() for line in text.splitlines() if line.startswith("Tcp:"))
    return int(values[head.index("ActiveOpens")])


def connections_begun() -> int:
    with open("/proc/net/snmp", encoding="ascii") as text:
        return active_opens(text.read())


# --- Memory of the server itself -----------------------------------------------------------------

def _kib_fields(path: str) -> dict[str, int]:
    """Lines of "Name: N kB" as octets."""
    fields = {}
    with open(path, encoding="ascii", errors="replace") as text:
        for line in text:
            words = line.split()
            if len(words) == 3 and words[2] == "kB":
                fields[words[0].rstrip(":")] = int(words[1]) * 1024
    return fields


def _shared_files(pid: int) -> dict[tuple[int, int], int]:
    """The shared memory that a process has open or mapped: octets by device and inode."""
    found = {}
    for place in ("fd", "map_files"):
        for name in os.listdir(f"/proc/{pid}/{place}"):
            path = f"/proc/{pid}/{place}/{name}"
            try:
                if os.readlink(path).startswith(_SHARED):
                    stat = os.stat(path)
                    found[stat.st_dev, stat.st_ino] = stat.st_blocks * 512
            except FileNotFoundError:
                pass
    return found


class Memory(NamedTuple):
    """What processes hold, in octets."""
    private: int
    files: int  # Their share of program and libraries: less when others begin to use the same.
    shared: int

    @property
    def total(self) -> int:
        return self.private + self.files + self.shared

    @property
    def working(self) -> int:
        """What may grow with the work."""
        return self.private + self.shared


def memory(pids: Iterable[int]) -> Memory:
    """The memory of processes, each shared page counted once."""
    private = files = seen_shared = 0
    shared: dict[tuple[int, int], int] = {}
    for pid in pids:
        try:
            fields = _kib_fields(f"/proc/{pid}/smaps_rollup")
            private += fields["Pss_Anon"]
            files += fields["Pss_File"]
            seen_shared += fields["Pss_Shmem"]
            shared.update(_shared_files(pid))
        except (FileNotFoundError, ProcessLookupError, KeyError):
            pass  # It has just ended.
        except PermissionError:
            pass  # Without privileges: only what the mappings show.
    return Memory(private, files, max(seen_shared, sum(shared.values())))


# --- Memory of the kernel ------------------------------------------------------------------------

class Kernel(NamedTuple):
    """What the kernel holds for the whole machine, in octets. Differences of two are what matters."""
    slab: int  # Objects in use: sockets, files, inodes, epoll items, requests.
    stacks: int  # Of threads.
    page_tables: int
    sockets: int  # Buffers accounted to TCP sockets; what they are made of is in the slab, too.

    def __sub__(self, other):
        return Kernel(*(mine - theirs for mine, theirs in zip(self, other)))

    @property
    def total(self) -> int:
        return self.slab + self.stacks + self.page_tables


def slab_bytes(text: str) -> int:
    """The sum over /proc/slabinfo of objects in use times their size, but for what is left of connections
    that have ended (TIME_WAIT): it comes and goes with what was measured before."""
    total = 0
    for line in text.splitlines():
        words = line.split()
        if len(words) > 3 and words[1].isdigit() and not words[0].startswith("tw_sock"):
            total += int(words[1]) * int(words[3])
    return total


def tcp_pages(text: str) -> int:
    """The pages in TCP's buffers, from /proc/net/sockstat."""
    match = re.search(r"^TCP:.*\bmem (\d+)", text, re.MULTILINE)
    return int(match[1]) if match else 0


def kernel() -> Kernel:
    fields = _kib_fields("/proc/meminfo")
    try:
        with open("/proc/slabinfo", encoding="ascii", errors="replace") as text:
            slab = slab_bytes(text.read())
    except (FileNotFoundError, PermissionError):
        slab = fields.get("Slab", 0)
    with open("/proc/net/sockstat", encoding="ascii") as text:
        sockets = tcp_pages(text.read()) * os.sysconf("SC_PAGE_SIZE")
    return Kernel(slab, fields.get("KernelStack", 0), fields.get("PageTables", 0), sockets)
