"""The load generator and the back end: `postern-bench`, and what it reports."""

import json
import os
import pathlib
import signal
import subprocess
import time
from typing import Optional

from support.process import Process

from . import Trouble

START_S = 30


class Generator:
    """Runs of postern-bench on the CPUs that are its own, with their files in one directory."""

    def __init__(self, program: pathlib.Path, directory: pathlib.Path, cpus: list[int]):
        self.program = program
        self.directory = directory
        self.cpus = cpus
        directory.mkdir(parents=True, exist_ok=True)

    def _settle(self) -> None:
        os.sched_setaffinity(0, self.cpus)

    def version(self) -> str:
        run = subprocess.run([self.program, "--version"], capture_output=True, text=True, timeout=20)
        return (run.stdout.strip().splitlines() or [""])[0]

    def run(self, mode: str, arguments: list, target: str, timeout_s: float) -> dict:
        """One run; its report as postern-bench's JSON. Trouble when anything failed in it."""
        report = self.directory / "report.json"
        report.unlink(missing_ok=True)
        log = self.directory / f"{mode}.log"
        log.unlink(missing_ok=True)
        process = Process([self.program, mode, *arguments, "--quiet", "--json", report, target], log,
                          preexec=self._settle)
        try:
            status = process.popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise Trouble(f"postern-bench {mode} did not end within {timeout_s:.0f} s") from None
        finally:
            process.kill()
        return read_report(report, status, process.text())


def read_report(path: pathlib.Path, status: int, said: str) -> dict:
    """The report of a run that ended with `status`. Trouble when it is no measurement: nothing was counted, or
    something failed, which was then less work than was counted, or other work."""
    complaint = " / ".join(said.strip().splitlines()[-3:])[-400:]
    try:
        report = json.loads(path.read_text())
    except (OSError, ValueError):
        raise Trouble(f"postern-bench ended with {status} and no report: {complaint}") from None
    if not report.get("count"):
        reasons = ", ".join(report.get("failures", {}).get("by_reason", {}))
        raise Trouble(f"postern-bench counted nothing: {reasons or complaint}")
    failed = report.get("failures", {})
    if failed.get("total"):
        reasons = ", ".join(f"{reason} ({times})" for reason, times in failed.get("by_reason", {}).items())
        raise Trouble(f"{failed['total']} failed beside {report['count']} that were counted: {reasons}")
    if status != 0:
        raise Trouble(f"postern-bench ended with {status}: {complaint}")
    return report


def _wait_for_line(process: Process, word: str, timeout_s: float) -> str:
    """The first line of a process's output that begins with `word`."""
    end = time.monotonic() + timeout_s
    while True:
        for line in process.text().splitlines(keepends=True):
            if line.startswith(word) and line.endswith("\n"):
                return line.strip()
        if not process.running() or time.monotonic() > end:
            raise Trouble(f"postern-bench did not say {word!r}: {process.text().strip()[-400:] or 'nothing'}")
        time.sleep(0.01)


class Backend:
    """The server behind all servers, plain TCP: "wire" does as the client asks, "greeting" speaks first."""

    def __init__(self, generator: Generator, behaviour: str):
        log = generator.directory / f"backend-{behaviour}.log"
        log.unlink(missing_ok=True)
        arguments = ["--service", "imap"] if behaviour == "greeting" else []
        self.process = Process([generator.program, "server", behaviour, "--listen", "127.0.0.1:0", *arguments],
                               log, preexec=generator._settle)
        self.port = int(_wait_for_line(self.process, "listening ", START_S).rpartition(":")[2])

    def stop(self) -> None:
        self.process.stop(signal.SIGTERM, deadline=5)


class Held:
    """`count` idle connections to a target, open for as long as the block lasts."""

    def __init__(self, generator: Generator, count: int, arguments: list, target: str):
        self._report = generator.directory / "idle.json"
        self._report.unlink(missing_ok=True)
        log = generator.directory / "idle.log"
        log.unlink(missing_ok=True)
        self._process = Process(
            [generator.program, "idle", "--connections", count, "--hold", 600, *arguments, "--quiet", "--json",
             self._report, target], log, preexec=generator._settle)
        self.report: Optional[dict] = None

    def __enter__(self) -> "Held":
        try:
            _wait_for_line(self._process, "holding ", 120)
        except Trouble:
            self._process.kill()
            raise
        return self

    def __exit__(self, kind, *_) -> None:
        status = self._process.stop(signal.SIGTERM, deadline=60)
        if kind is None:
            self.report = read_report(self._report, status, self._process.text())
