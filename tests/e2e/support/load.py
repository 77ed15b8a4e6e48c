"""Clients in threads that connect again and again while a test does something to the program."""

import threading

from support.tls import common_name, connect
from support.waiting import wait_for


class Hammer:
    """Connects, asks, hangs up, without a pause. What went wrong is in `failures`, nothing is swallowed."""

    def __init__(self, port, context, threads=2):
        self.port, self.context = port, context
        self.failures = []
        self.seen = []  # (CN of the certificate, greeting line) of each connection
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        self.wait_for_more(5)
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for_more(self, count):
        """Waits until `count` further connections were served (or one was not)."""
        goal = len(self.seen) + count
        wait_for(lambda: len(self.seen) >= goal or self.failures, f"{count} more connections")

    def _run(self):
        while not self._stop.is_set():
            try:
                with connect(self.port, self.context) as client:
                    line = client.recv(1000)
                    client.sendall(b"ask\n")
                    answer = client.recv(1000)
                    if not line or not answer:
                        raise EOFError("the stream ended")
                    self.seen.append((common_name(client), line))
            except (OSError, EOFError) as error:
                self.failures.append(repr(error))
