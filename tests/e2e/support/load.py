"""Clients in threads that connect again and again while a test does something to the program.

A thread in which a TLS connection has failed is used no more: OpenSSL's error queue is the thread's,
and Python 3.13 leaves the error in it, where the next connection would find it.
"""

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
        self._threads = []
        self._wanted = threads

    def __enter__(self):
        for _ in range(self._wanted):
            self._start()
        self.wait_for_more(5)
        return self

    def __exit__(self, *_):
        self._stop.set()
        while self._threads:
            self._threads.pop().join()

    def _start(self):
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        self._threads.append(thread)  # Only now can it be waited for.

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
                return self._start()


def in_own_thread(function, *arguments):
    """What `function` returns, run where no earlier connection has left an error."""
    result = []
    thread = threading.Thread(target=lambda: result.append(function(*arguments)))
    thread.start()
    thread.join()
    return result[0]
