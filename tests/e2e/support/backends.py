"""Back ends made for one question each."""

import selectors
import socket
import threading


class Backend:
    """A listening socket of which the test itself accepts: it plays both ends of a connection."""

    def __init__(self, backlog=128, family=socket.AF_INET, path=None):
        if path is not None:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(str(path))
            path.chmod(0o666)
            self.server = f"unix:{path}"
        else:
            address = "::1" if family == socket.AF_INET6 else "127.0.0.1"
            self.listener = socket.socket(family)
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind((address, 0))
            self.port = self.listener.getsockname()[1]
            self.server = f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"
        self.listener.listen(backlog)

    def accept(self):
        return self.listener.accept()[0]

    def close(self):
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class LineServer:
    """Greets with its name, then answers each line with its name and that line. One thread."""

    def __init__(self, name="server", greeting=True, path=None):
        self.name = name.encode()
        self.greeting = greeting
        self.backend = Backend(backlog=4096, path=path)
        self.server = self.backend.server
        self.accepted = 0
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = socket.socketpair()
        self.backend.listener.setblocking(False)
        self._selector.register(self.backend.listener, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def held(self):
        """How many connections it holds."""
        return len(self._selector.get_map()) - 2

    def _run(self):
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._wake:
                    return self._end()
                if key.fileobj is self.backend.listener:
                    self._take()
                else:
                    self._answer(key.fileobj, key.data)

    def _take(self):
        try:
            client, _ = self.backend.listener.accept()
        except OSError:
            return
        client.settimeout(10)
        self.accepted += 1
        self._selector.register(client, selectors.EVENT_READ, bytearray())
        if self.greeting:
            self._send(client, b"* OK " + self.name + b"\r\n")

    def _answer(self, client, pending):
        try:
            octets = client.recv(65536)
        except OSError:
            octets = b""
        if not octets:
            return self._drop(client)
        pending += octets
        lines = pending.split(b"\n")
        pending[:] = lines.pop()
        out = b"".join(self.name + b" " + line + b"\n" for line in lines)
        if out:
            self._send(client, out)

    def _send(self, client, octets):
        try:
            client.sendall(octets)
        except OSError:
            self._drop(client)

    def _drop(self, client):
        self._selector.unregister(client)
        client.close()

    def _end(self):
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()

    def close(self):
        self._waker.send(b"x")
        self._thread.join()
        self._waker.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Deaf:
    """A server that never takes a connection: its queue is full, so further ones get no answer."""

    def __init__(self):
        self.backend = Backend(backlog=0)
        self.server = self.backend.server
        self._fillers = []
        while True:
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.backend.port))
            self._fillers.append(filler)
            # The queue is full when one of them stays unconnected.
            with selectors.DefaultSelector() as ready:
                ready.register(filler, selectors.EVENT_WRITE)
                if not ready.select(0.3):
                    return

    def close(self):
        for filler in self._fillers:
            filler.close()
        self.backend.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def closed_port():
    """A port of the loopback interface where nobody serves: connecting is refused."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
