"""A server under measurement: what all of them have in common.

Each runs in the foreground, below this process, with a configuration and a directory of its own; nothing of
/etc is read and no service is started. All of them get the same: one worker, pinned with everything else
that the server runs, the same certificate, TLS 1.2 and 1.3, the same cipher suites and groups, backlog,
timeouts of an hour and the same back end. What a client may choose is chosen by the load generator, which
refuses any other version, group or cipher.
"""

import contextlib
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import time
from typing import NamedTuple, Optional

from support.ports import free_port
from support.process import Process, alive, send_signal

from . import Trouble, accounting, starttls
from .certificates import HOST, Pair, Store

READY_S = 300  # A bound on a start with many certificates, not a measure.
GROUPS = ("X25519", "P-256")
POST_QUANTUM = "X25519MLKEM768"  # OpenSSL 3.5's
CIPHERS_12 = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"
SUITES_13 = "TLS_AES_128_GCM_SHA256"
CONNECTIONS = 9500  # At most; each takes two descriptors, and 20,000 are what many systems give.
DESCRIPTORS = 20000
BACKLOG = 4096


class Setup(NamedTuple):
    """What one measure asks of every server."""
    backend: int  # The port of the back end.
    pair: Pair
    tickets: bool = True
    logged: bool = False  # A line for each connection, to a file.
    service: str = "raw"
    store: Optional[Store] = None  # Instead of `pair`: one certificate for each name.
    groups: tuple[str, ...] = GROUPS
    starttls: bool = False  # The client asks for TLS in the service's own words.


class Server:
    name = ""  # On the command line and in results.
    title = ""
    package = ""  # Debian's, or more than one.
    reload_signal = signal.SIGHUP
    stop_signal = signal.SIGINT  # At once; no connection is waited for.
    can_switch_tickets = True
    can_log = True
    services = ("raw",)  # What it can stand before.
    can_starttls = False
    refuses_many: Optional[str] = None  # Why it is not in the comparison of certificates at scale, if so.

    def __init__(self, directory: pathlib.Path, setup: Setup, cpus: list[int]):
        self.directory = directory
        self.setup = setup
        self.cpus = cpus
        self.port = free_port()
        self.log = directory / f"{self.name}.log"
        self.process: Optional[Process] = None

    # --- What each peer says of itself ---

    @classmethod
    def executable(cls) -> Optional[pathlib.Path]:
        raise NotImplementedError

    @classmethod
    def version(cls) -> str:
        raise NotImplementedError

    def command(self) -> list:
        raise NotImplementedError

    def configuration(self) -> dict[str, str]:
        """Files to write into the directory, the main one first."""
        raise NotImplementedError

    # --- Life ---

    def write(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o755)
        for name, text in self.configuration().items():
            path = self.directory / name
            path.write_text(text)
            path.chmod(0o600)

    def launch(self) -> None:
        """Starts it and does not wait."""
        def settle():
            os.sched_setaffinity(0, self.cpus)

        self.process = Process(self.command(), self.log, preexec=settle)

    def start(self) -> "Server":
        self.write()
        self.launch()
        self.wait_ready()
        self.pin()
        return self

    def pin(self) -> None:
        """Puts all that it runs on its CPUs. (Hitch binds its workers to others by itself, and an echo on
        the load generator's own CPU costs a fifth.)"""
        for pid in self.pids():
            with contextlib.suppress(FileNotFoundError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    with contextlib.suppress(ProcessLookupError):
                        os.sched_setaffinity(int(task), self.cpus)

    def check_pinned(self) -> None:
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                if os.sched_getaffinity(pid) != set(self.cpus):
                    raise Trouble(f"process {pid} of {self.title} has left the CPUs that it was given")

    def wait_ready(self, host: str = HOST, certificate: Optional[str] = None, interval: float = 0.002) -> None:
        """Returns once a handshake succeeds (and shows `certificate`, a PEM text)."""
        wanted = ssl.PEM_cert_to_DER_cert(certificate) if certificate else None
        end = time.monotonic() + READY_S
        while True:
            shown = self.shown_certificate(host)
            if shown is not None and wanted in (None, shown):
                return
            if not self.process.running():
                raise Trouble(f"{self.title} ended at once: {self.complaint()}")
            if time.monotonic() > end:
                raise Trouble(f"{self.title} was not ready after {READY_S} s: {self.complaint()}")
            time.sleep(interval)

    def shown_certificate(self, host: str) -> Optional[bytes]:
        """The certificate that it shows for a name, in DER; None when it does not serve."""
        try:
            with self.connect(host) as connection:
                return connection.getpeercert(binary_form=True)
        except (OSError, ssl.SSLError):
            return None

    def connect(self, host: str = HOST) -> ssl.SSLSocket:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        try:
            if self.setup.starttls:
                starttls.imap(raw)
            return context.wrap_socket(raw, server_hostname=host)
        except BaseException:
            raw.close()
            raise

    def reload(self) -> None:
        self.process.send(self.reload_signal)

    def stop(self) -> None:
        """Ends it and everything below it, by pid."""
        if self.process is None:
            return
        below = self.pids()
        self.process.stop(self.stop_signal, deadline=10)
        for pid in below:
            if alive(pid) and pid != self.process.pid:
                send_signal(pid, signal.SIGKILL)

    def complaint(self) -> str:
        """The end of its log, in one line."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return " / ".join(text.strip().splitlines()[-3:])[-500:] or "it said nothing"

    # --- Accounts ---

    def pids(self) -> list[int]:
        return accounting.tree(self.process.pid)

    def cpu_ns(self) -> int:
        return accounting.cpu_ns(self.pids())

    def memory(self) -> accounting.Memory:
        return accounting.memory(self.pids())


def first_line(command: list, line: int = 0) -> str:
    """What a program says of its version, on standard output or standard error."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        run = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True,
                             text=True, errors="replace", timeout=20)
        lines = (run.stdout + run.stderr).strip().splitlines()
        if len(lines) > line:
            return lines[line].strip()
    return ""


def linked_openssl(executable: pathlib.Path) -> str:
    """The libcrypto that a program finds, to say when two do not share one."""
    run = subprocess.run(["ldd", executable], capture_output=True, text=True)
    for line in run.stdout.splitlines():
        words = line.split()
        if words and words[0].startswith("libcrypto.so") and len(words) > 2:
            return os.path.realpath(words[2])
    return ""
