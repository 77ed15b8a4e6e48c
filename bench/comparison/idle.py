"""What an idle connection costs: in the server's own memory and in the kernel's."""

import time

from . import Trouble
from .accounting import kernel
from .figures import Figure
from .generator import Generator, Held
from .server import Server

SETTLE_S = 0.7  # Freed memory goes back to the kernel, and what is deferred in it gets done.
LOAD_ARGUMENTS = ["--tls", "1.3", "--groups", "X25519", "--sni", "mail.example.com"]


def figures() -> list[Figure]:
    return [
        Figure("idle-user", "idle", "Idle connection, memory of the server's processes", "KiB per connection",
               "Private and shared pages; what it has without any connection is taken off."),
        Figure("idle-kernel", "idle", "Idle connection, memory of the kernel", "KiB per connection",
               "Slab objects in use, threads' stacks and page tables, for both of the server's sockets; what the same "
               "number of connections straight to the server behind takes is taken off."),
        Figure("idle-empty", "idle", "Memory of the server's processes without any connection", "MiB"),
    ]


def check_held(report: dict, count: int) -> None:
    """Memory is divided by `count`, so that many must have been there, to the end."""
    seen = report.get("mode_specific", {})
    if seen.get("held") != count or seen.get("alive_at_the_end") != count:
        raise Trouble(f"of {count} idle connections {seen.get('held', 0)} were held and "
                      f"{seen.get('alive_at_the_end', 0)} were alive at the end")


def direct_kernel_bytes(generator: Generator, count: int, backend: int) -> int:
    """What the connections' other ends cost: the load generator's sockets and the back end's."""
    time.sleep(SETTLE_S)
    before = kernel()
    with Held(generator, count, ["--tls", "plain"], f"127.0.0.1:{backend}") as held:
        time.sleep(SETTLE_S)
        grown = kernel() - before
    check_held(held.report, count)
    return grown.total


def run_round(server: Server, generator: Generator, count: int, direct: int, rows: list[Figure]) -> None:
    """One round of one server, which has just been started."""
    user_row, kernel_row, empty_row = rows
    time.sleep(SETTLE_S)
    before, kernel_before = server.memory(), kernel()
    with Held(generator, count, LOAD_ARGUMENTS, f"127.0.0.1:{server.port}") as held:
        time.sleep(SETTLE_S)
        user, grown = server.memory().working - before.working, kernel() - kernel_before
    check_held(held.report, count)
    user_row.add(server.name, user / count / 1024, connections=count, failures=0)
    kernel_row.add(server.name, (grown.total - direct) / count / 1024, connections=count, failures=0,
                   slab=grown.slab, stacks=grown.stacks, page_tables=grown.page_tables, sockets=grown.sockets,
                   direct=direct)
    empty_row.add(server.name, before.total / (1 << 20))
