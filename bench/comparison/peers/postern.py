"""Postern, from the tree's own build."""

import os
import pathlib
from typing import Optional

from support.postern import to_toml

from ..server import CONNECTIONS, Server, first_line


class Postern(Server):
    name = "postern"
    title = "Postern"
    services = ("raw", "imap")
    can_starttls = True
    program: Optional[pathlib.Path] = None  # Set by the command line.

    @classmethod
    def executable(cls):
        return cls.program if cls.program and os.access(cls.program, os.X_OK) else None

    @classmethod
    def version(cls):
        return first_line([cls.program, "--version"]).removeprefix("postern ")

    def command(self):
        return [self.program, "run", "-c", self.directory / "postern.toml"]

    def configuration(self):
        pair, store = self.setup.pair, self.setup.store
        if store:
            certificates = {"directory": store.directory, "default": store.last}
        else:
            certificates = {"pair": [{"name": "pair", "certificate": pair.certificate, "key": pair.key}]}
        log = {"level": "info", "destination": self.directory / "access.log"} if self.setup.logged else \
            {"level": "warning"}
        return {"postern.toml": to_toml({
            "process": {"workers": 1, "pid_file": "", "control_socket": ""},
            "log": log,
            "certificates": certificates,
            "limits": {"connections": CONNECTIONS},
            "tickets": {"enabled": self.setup.tickets},
            "timeouts": {"prepare": "120s"},
            "listeners": {"measured": {
                "address": "127.0.0.1", "port": self.port, "service": self.setup.service, "backend": "measured",
                "tls": "starttls" if self.setup.starttls else "implicit", "idle_timeout": "1h"}},
            "backends": {"measured": {"servers": [f"127.0.0.1:{self.setup.backend}"]}},
        })}
