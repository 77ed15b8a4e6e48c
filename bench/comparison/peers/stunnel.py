"""stunnel, of Debian: one process with a thread for each connection."""

import pathlib
import shutil
import signal

from ..server import CIPHERS_12, SUITES_13, Server, first_line


class Stunnel(Server):
    name = "stunnel"
    title = "stunnel"
    package = "stunnel4"
    stop_signal = signal.SIGTERM
    services = ("raw", "imap")
    refuses_many = "it takes a service of its own, by name, for each further certificate"

    @classmethod
    def executable(cls):
        found = shutil.which("stunnel4") or shutil.which("stunnel")
        return pathlib.Path(found) if found else None

    @classmethod
    def version(cls):
        for line in range(4):
            words = first_line([cls.executable(), "-version"], line).split()
            if words[:1] == ["stunnel"]:
                return words[1]
        return "unknown"

    def command(self):
        return [self.executable(), self.directory / "stunnel.conf"]

    def configuration(self):
        # 5 has a line for each connection, 3 errors alone.
        return {"stunnel.conf": f"""foreground = yes
syslog = no
pid =
debug = {5 if self.setup.logged else 2}
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1

[measured]
accept = 127.0.0.1:{self.port}
connect = 127.0.0.1:{self.setup.backend}
cert = {self.setup.pair.certificate}
key = {self.setup.pair.key}
sslVersionMin = TLSv1.2
ciphers = {CIPHERS_12}
ciphersuites = {SUITES_13}
curves = {':'.join(self.setup.groups)}
{'' if self.setup.tickets else 'sessionResume = no'}
TIMEOUTidle = 3600
TIMEOUTclose = 0
"""}
