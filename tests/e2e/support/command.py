"""The command line of the program, run to its end without a terminal."""

import subprocess

from support.postern import program
from support.waiting import DEADLINE_S


class Run:
    """What a run gave: `status`, `out` (standard output) and `err` (standard error)."""

    def __init__(self, done):
        self.status = done.returncode
        self.out = done.stdout.decode("utf-8", "replace")
        self.err = done.stderr.decode("utf-8", "replace")

    def __repr__(self):
        return f"exit status {self.status}:\n{self.out}\n--- standard error:\n{self.err}"


def run(*words, **options):
    # A session of its own, so that there is no terminal to ask on, whoever runs the tests.
    return Run(subprocess.run([program(), *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=DEADLINE_S, start_new_session=True, **options))
