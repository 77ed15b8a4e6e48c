"""The demo mail server of tools/demo-mail-server as a back end."""

from support import TOP
from support.process import Process

PYTHON = "/usr/bin/python3"


class DemoServer:
    def __init__(self, directory, services=("smtp", "imap", "pop3", "http"), extra=()):
        self.user, self.password = "demo", "s3cret"
        self.directory = directory
        argv = [PYTHON, TOP / "tools/demo-mail-server", "--user", self.user, "--password", self.password]
        for service in services:
            argv += [f"--{service}", "127.0.0.1:0"]
        self.process = Process(argv + list(extra), directory / "demo.log")
        text = self.process.wait_for_text("\nready\n")
        self.addresses = {}  # service to its first address, as "127.0.0.1:port"
        for line in text.splitlines():
            words = line.split()
            if words[:1] == ["listening"]:
                self.addresses.setdefault(words[1], words[2])

    def port(self, service):
        return int(self.addresses[service].rpartition(":")[2])

    def stop(self):
        return self.process.stop()
