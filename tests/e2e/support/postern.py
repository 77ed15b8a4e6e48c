"""The program under test: its configuration, its life, its log and its status."""

import json
import os
import pathlib
import re
import signal
import subprocess

from support import TOP
from support.ports import free_port
from support.process import Adopted, Process, alive, children, send_signal
from support.waiting import DEADLINE_S, wait_for

LOGFMT = re.compile(r'([a-z0-9_]+)=("(?:[^"\\]|\\.)*"|[^ ]*)')
SANITIZER_WORDS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "check failed")


def program():
    return pathlib.Path(os.environ.get("POSTERN", TOP / "build/src/cli/postern")).resolve()


def to_toml(table, path=()):
    """`table` as TOML; a list of tables becomes an array of tables."""
    plain, nested = [], []
    for key, value in table.items():
        if isinstance(value, dict):
            nested.append(f"[{'.'.join((*path, key))}]\n{to_toml(value, (*path, key))}")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for item in value:
                nested.append(f"[[{'.'.join((*path, key))}]]\n{to_toml(item, (*path, key))}")
        elif isinstance(value, pathlib.Path):
            plain.append(f"{key} = {json.dumps(str(value))}")
        else:
            plain.append(f"{key} = {json.dumps(value)}")  # JSON's scalars and lists are TOML's
    return "\n".join(plain + nested) + "\n"


def parse_logfmt(line):
    fields = {}
    for key, value in LOGFMT.findall(line):
        if value.startswith('"'):
            value = re.sub(r"\\(.)", lambda m: {"n": "\n", "r": "\r", "t": "\t"}.get(m[1], m[1]), value[1:-1])
        fields[key] = value
    return fields


def parse_log(text):
    """The lines of a log as dicts with text values, whatever its format; other lines are left out."""
    found = []
    for line in text.splitlines():
        if line.startswith("{"):
            found.append({k: v if isinstance(v, str) else json.dumps(v) for k, v in json.loads(line).items()})
        elif line.startswith("time="):
            found.append(parse_logfmt(line))
    return found


class Answer:
    """What a run of the command line gave."""

    def __init__(self, done):
        self.status = done.returncode
        self.text = done.stdout.decode("utf-8", "replace")

    def __repr__(self):
        return f"exit status {self.status}:\n{self.text}"


class Postern:
    def __init__(self, directory, authority, workers=2):
        self.directory = directory
        self.authority = authority
        self.path = directory / "postern.toml"
        self.log = directory / "postern.log"
        self.pid_file = directory / "postern.pid"
        self.process = None
        self.environment = None
        self.preexec = None
        self.wrapper = []  # a command that starts it, as env(1) would
        self.pass_fds = ()
        self.program = program()  # what is started, and upgraded to
        self.retired = []  # processes that upgrades have replaced
        self.config = {
            "process": {"workers": workers, "pid_file": self.pid_file,
                        "control_socket": directory / "control.sock"},
            "log": {"format": "logfmt", "level": "debug"},
            "certificates": {"pair": []},
            "listeners": {}, "backends": {}, "limits": {}, "timeouts": {"drain": "5s"}, "tickets": {},
        }

    # --- configuration ---

    def add_pair(self, name, pair):
        self.config["certificates"]["pair"].append(
            {"name": name, "certificate": pair.certificate, "key": pair.key})

    def add_backend(self, name, *servers, **settings):
        self.config["backends"][name] = {"servers": [str(s) for s in servers], **settings}

    def add_listener(self, name, service="raw", backend=None, address="127.0.0.1", port=None, **settings):
        """Returns the listener's port."""
        port = port or free_port()
        self.config["listeners"][name] = {"address": address, "port": port, "service": service,
                                          "backend": backend or name, **settings}
        return port

    def serve(self, server, service="raw", name="test", backend_settings=None, **settings):
        """One listener before one server; returns its port. start() comes after."""
        self.add_backend(name, server, **(backend_settings or {}))
        return self.add_listener(name, service, **settings)

    def write(self):
        self.path.write_text(to_toml(self.config))

    # --- life ---

    def run(self):
        """Starts it and does not wait."""
        self.write()
        self.process = Process([*self.wrapper, self.program, "run", "-c", self.path], self.log,
                               env=self.environment, preexec=self.preexec, pass_fds=self.pass_fds)

    def start(self):
        self.run()
        wait_for(self._serves, "Postern to serve")
        return self

    def _serves(self):
        assert self.process.running(), "Postern ended:\n" + self.text()
        answer = self.command("status", "--json")
        return answer.status == 0 and json.loads(answer.text)["state"] == "serving" and all(
            worker["state"] == "serving" for worker in json.loads(answer.text)["workers"])

    def command(self, *words):
        """Runs `postern WORDS... -c FILE`."""
        return Answer(subprocess.run([program(), *words, "-c", self.path], stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE_S * 2))

    def reload(self):
        """Reloads what the configuration is now; it has to be taken."""
        self.write()
        answer = self.command("reload")
        assert answer.status == 0, answer
        return answer

    def upgrade(self):
        """Has a new process take over, with what the configuration is now; it has to."""
        self.write()
        answer = self.command("upgrade")
        assert answer.status == 0, answer
        self.adopt()
        return answer

    def adopt(self):
        """Looks for the process that has taken over, which is `process` from now on."""
        old = self.process
        pid = wait_for(lambda: (pid := self.pid_in_file()) not in (None, old.pid) and pid, "another process's pid")
        self.retired.append(old)
        self.process = Adopted(pid)

    def pid_in_file(self):
        try:
            return int(pathlib.Path(self.config["process"]["pid_file"]).read_text())
        except (FileNotFoundError, ValueError):
            return None

    def send(self, number):
        send_signal(self.process.pid, number)

    def stop(self, number=signal.SIGTERM):
        """Ends it; returns the exit status."""
        return self.process.stop(number, deadline=DEADLINE_S)

    def clean_up(self):
        """For the fixture: ends all that is left, however the test went."""
        if self.process is None:
            return
        processes = [self.process, *self.retired]
        pid = self.pid_in_file()
        if pid is not None and pid not in [process.pid for process in processes]:
            processes.append(Adopted(pid))  # an upgrade that the test did not look after
        workers = [worker for process in processes for worker in children(process.pid)]
        for process in processes:
            process.stop(signal.SIGINT)
        for pid in workers:
            wait_for(lambda pid=pid: not alive(pid), f"worker {pid} to end", deadline=15)

    # --- what it says ---

    def status(self):
        answer = self.command("status", "--json")
        assert answer.status == 0, answer
        return json.loads(answer.text)

    def workers(self):
        return self.status()["workers"]

    def worker_pids(self):
        return children(self.process.pid)

    def total(self, counter):
        return sum(worker[counter] for worker in self.workers())

    def wait_idle(self):
        """Waits until no connection is held."""
        wait_for(lambda: self.total("connections") == 0, "all connections to be gone")

    def text(self):
        return self.log.read_bytes().decode("utf-8", "replace") if self.log.exists() else ""

    def lines(self, event=None, **fields):
        """The log's lines, or those with these fields."""
        wanted = dict(fields, **({"event": event} if event else {}))
        return [line for line in parse_log(self.text())
                if all(line.get(key) == value for key, value in wanted.items())]

    def wait_for_lines(self, event, count=1, **fields):
        return wait_for(lambda: len(found := self.lines(event, **fields)) >= count and found,
                        f"{count} log line(s) {event!r} with {fields}")

    def closed(self, **fields):
        """The one line that the one connection left behind."""
        found = self.wait_for_lines("connection closed", **fields)
        assert len(found) == 1, found
        return found[0]

    def complaints(self):
        """Lines of the log that no test may leave: a sanitizer's or a failed check."""
        return [line for line in self.text().splitlines() if any(word in line for word in SANITIZER_WORDS)]
