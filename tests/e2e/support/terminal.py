"""A command with a terminal of its own, for what is asked there and nowhere else."""

import os
import pty
import select
import signal
import time

from support.waiting import DEADLINE_S


class Terminal:
    """`argv` on a new terminal; `text` is all that it has shown."""

    def __init__(self, argv, env=None):
        self.text = ""
        self.status = None
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.execve(str(argv[0]), [str(word) for word in argv], env or os.environ)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)

    def _read(self, deadline):
        """False at the end."""
        ready, _, _ = select.select([self._fd], [], [], max(0, deadline - time.monotonic()))
        assert ready, f"nothing more came; so far:\n{self.text}"
        try:
            octets = os.read(self._fd, 65536)
        except OSError:  # how Linux says that the other side has closed
            octets = b""
        self.text += octets.decode("utf-8", "replace")
        return bool(octets)

    def expect(self, needle):
        """Waits until `needle` is shown, behind what was shown when this was last called."""
        deadline = time.monotonic() + DEADLINE_S
        start = getattr(self, "_seen", 0)
        while needle not in self.text[start:]:
            assert self._read(deadline), f"ended before it said {needle!r}:\n{self.text}"
        self._seen = self.text.index(needle, start) + len(needle)

    def type(self, line):
        os.write(self._fd, line.encode() + b"\n")

    def press(self, octets):
        os.write(self._fd, octets)

    def signal(self, number):
        os.kill(self.pid, number)

    def wait(self):
        """The exit status."""
        deadline = time.monotonic() + DEADLINE_S
        while self._read(deadline):
            pass
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status
