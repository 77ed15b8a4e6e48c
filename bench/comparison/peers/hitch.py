"""Hitch, of Debian: a master and one worker. It has no switch for tickets; OpenSSL's default is on."""

import os
import pathlib
import shutil
import signal

from ..server import BACKLOG, CIPHERS_12, SUITES_13, Server, first_line


class Hitch(Server):
    name = "hitch"
    title = "Hitch"
    package = "hitch"
    stop_signal = signal.SIGTERM
    services = ("raw", "imap")
    refuses_many = "it is not set up for many certificates here"
    can_switch_tickets = False
    can_log = False  # Nothing between errors and eight lines of debugging a connection.

    @classmethod
    def executable(cls):
        found = shutil.which("hitch", path="/usr/sbin:/usr/bin")
        return pathlib.Path(found) if found else None

    @classmethod
    def version(cls):
        return first_line([cls.executable(), "--version"]).removeprefix("hitch ")

    def command(self):
        return [self.executable(), f"--config={self.directory}/hitch.conf"]

    def configuration(self):
        groups = ":".join(self.setup.groups).replace("P-256", "prime256v1")
        user = 'user = "nobody"\ngroup = "nogroup"\n' if os.geteuid() == 0 else ""
        return {"hitch.conf": f"""frontend = "[127.0.0.1]:{self.port}"
backend = "[127.0.0.1]:{self.setup.backend}"
pem-file = "{self.setup.pair.combined}"
workers = 1
backlog = {BACKLOG}
daemon = off
{user}log-level = 0
tls-protos = TLSv1.2 TLSv1.3
ciphers = "{CIPHERS_12}"
ciphersuites = "{SUITES_13}"
ecdh-curve = "{groups}"
ocsp-dir = ""
"""}
