"""Certificates at scale: how long a start and a reload take, and what the memory is.

A start is over when a handshake shows the last name's certificate, a reload when it shows that name's new
one, which is the only one that changed. One client stays connected from before the reload, as mail
clients do: servers that replace their processes keep the old ones for it.
"""

import time

from .certificates import Store
from .figures import Figure
from .server import Server

SETTLE_S = 0.7
POLL_S = 0.005  # Between two looks whether a reload is done; each look is a handshake.
_MIB = 1 << 20

ROWS = (
    ("start", "start", "ms"),
    ("start-cpu", "CPU time of the start", "ms"),
    ("memory", "memory of the server's processes", "MiB"),
    ("reload", "reload, one certificate renewed", "ms"),
    ("reload-cpu", "CPU time of the reload", "ms"),
    ("memory-reloaded", "memory after a reload, a client still connected from before", "MiB"),
)
NGINX_NOTE = "nginx with its http module and a server block for each name: its stream and mail modules do not choose " \
             "among certificates by name."


def figures(count: int) -> dict[str, Figure]:
    names = f"{count:,} certificate{'s' * (count > 1)}"
    return {key: Figure(f"certificates-{count}-{key}", "certificates", f"{names}: {title}", unit,
                        NGINX_NOTE if key == "start" else "") for key, title, unit in ROWS}


def run_round(server: Server, store: Store, rows: dict[str, Figure]) -> None:
    """One round of one server, from its start on; who calls stops it."""
    store.put(renewed=False)
    server.write()
    started = time.monotonic()
    server.launch()
    server.wait_ready(store.last, store.certificate(renewed=False))
    rows["start"].add(server.name, (time.monotonic() - started) * 1e3)
    rows["start-cpu"].add(server.name, server.cpu_ns() / 1e6)
    time.sleep(SETTLE_S)
    rows["memory"].add(server.name, server.memory().total / _MIB)

    with server.connect(store.last):
        store.put(renewed=True)
        spent, started = server.cpu_ns(), time.monotonic()
        server.reload()
        server.wait_ready(store.last, store.certificate(renewed=True), POLL_S)
        rows["reload"].add(server.name, (time.monotonic() - started) * 1e3)
        time.sleep(SETTLE_S)
        rows["reload-cpu"].add(server.name, (server.cpu_ns() - spent) / 1e6)
        rows["memory-reloaded"].add(server.name, server.memory().total / _MIB)
