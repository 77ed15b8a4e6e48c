"""HAProxy, of Debian: a master and one worker with one thread, in TCP mode."""

import pathlib
import shutil
import signal

from ..server import BACKLOG, CIPHERS_12, CONNECTIONS, SUITES_13, Server, first_line


class HAProxy(Server):
    name = "haproxy"
    title = "HAProxy"
    package = "haproxy"
    services = ("raw", "imap")
    reload_signal = signal.SIGUSR2

    @classmethod
    def executable(cls):
        found = shutil.which("haproxy", path="/usr/sbin:/usr/bin")
        return pathlib.Path(found) if found else None

    @classmethod
    def version(cls):
        words = first_line([cls.executable(), "-v"]).split()
        return words[2] if len(words) > 2 else "unknown"

    def command(self):
        return [self.executable(), "-W", "-db", "-f", self.directory / "haproxy.cfg"]

    def configuration(self):
        files = {"haproxy.cfg": self._main()}
        if store := self.setup.store:
            # The last name first: the first certificate is the one for unknown names.
            lines = [str(store.pair(host)[0]) + "\n" for host in (store.last, *list(store.names())[:-1])]
            files["certificates.list"] = "".join(lines)
        return files

    def _main(self) -> str:
        # The list names certificates; their keys lie beside them.
        certificate = f"crt-list {self.directory}/certificates.list" if self.setup.store else \
            f"crt {self.setup.pair.combined}"
        log = "log stdout format raw local0\n" if self.setup.logged else ""
        log_line = "  log global\n  option tcplog\n" if self.setup.logged else ""
        # With tickets, the cache of sessions is not needed; without, neither is wanted.
        no_tickets = "" if self.setup.tickets else " no-tls-tickets"
        return f"""global
  maxconn {CONNECTIONS}
  nbthread 1
  ssl-load-extra-files key
  ssl-load-extra-del-ext
  tune.ssl.cachesize 0
  {log}
defaults
  mode tcp
{log_line}  timeout connect 5s
  timeout client 1h
  timeout server 1h

frontend measured
  bind 127.0.0.1:{self.port} backlog {BACKLOG} ssl {certificate} ssl-min-ver TLSv1.2 ciphers {CIPHERS_12} \
ciphersuites {SUITES_13} curves {':'.join(self.setup.groups)}{no_tickets}
  default_backend measured

backend measured
  server one 127.0.0.1:{self.setup.backend}
"""
