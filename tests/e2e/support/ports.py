"""Free ports for servers, below the range that the kernel gives to outgoing connections."""

import os
import random
import re
import socket

FIRST, LAST = 20000, 30000
# Test processes that run side by side (pytest-xdist calls them gw0, gw1 ...) have ports of their own, so
# that a port which one of them gives up stays free.
if _process := re.search(r"\d+$", os.environ.get("PYTEST_XDIST_WORKER", "")):
    FIRST += 2000 * (int(_process[0]) % 5)
    LAST = FIRST + 2000
_given = set()


def is_free(port):
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True


def free_port():
    for _ in range(1000):
        port = random.randrange(FIRST, LAST)
        if port not in _given and is_free(port):
            _given.add(port)
            return port
    raise AssertionError("no free port")
