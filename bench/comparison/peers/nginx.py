"""nginx, of Debian: the stream module before any service, and the mail module before IMAP.

The mail module answers a client itself, with a greeting of its own, until the client has logged in, so
it is in the measure of greetings alone. Neither module chooses among certificates by name, so at scale
it is the http module, with a server block for each.
"""

import os
import pathlib
import shutil

from ..server import BACKLOG, CIPHERS_12, DESCRIPTORS, SUITES_13, Server, first_line

MODULES = pathlib.Path("/usr/lib/nginx/modules")


class Nginx(Server):
    name = "nginx"
    title = "nginx"
    package = "nginx libnginx-mod-stream"
    services = ("raw", "imap")
    module = "stream"

    @classmethod
    def executable(cls):
        found = shutil.which("nginx", path="/usr/sbin:/usr/bin")
        return pathlib.Path(found) if found and (MODULES / f"ngx_{cls.module}_module.so").exists() else None

    @classmethod
    def version(cls):
        return first_line([cls.executable(), "-v"]).rpartition("/")[2]

    def command(self):
        # Before the file is read, errors go where -e says.
        return [self.executable(), "-e", "stderr", "-p", self.directory, "-c", self.directory / "nginx.conf"]

    def configuration(self):
        body = self._http() if self.setup.store else self._body()
        load = "" if self.setup.store else f"load_module {MODULES}/ngx_{self.module}_module.so;\n"
        return {"nginx.conf": f"""{load}daemon off;
user {'root' if os.geteuid() == 0 else 'nobody'};
worker_processes 1;
worker_rlimit_nofile {DESCRIPTORS};
pid {self.directory}/nginx.pid;
error_log stderr crit;
events {{ worker_connections {DESCRIPTORS}; }}
{body}"""}

    def _tls(self) -> str:
        groups = ":".join(self.setup.groups).replace("P-256", "prime256v1")
        return f"""  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_ciphers {CIPHERS_12};
  ssl_conf_command Ciphersuites {SUITES_13};
  ssl_ecdh_curve {groups};
  ssl_session_tickets {'on' if self.setup.tickets else 'off'};
  ssl_session_cache {'none' if self.setup.tickets else 'off'};
"""

    def _pair(self) -> str:
        return f"""  ssl_certificate {self.setup.pair.certificate};
  ssl_certificate_key {self.setup.pair.key};
"""

    def _body(self) -> str:
        log, form = "access_log off;", ""
        if self.setup.logged:
            form = "log_format line '$remote_addr [$time_iso8601] $protocol $status $bytes_sent $bytes_received " \
                   "$session_time $ssl_protocol $ssl_cipher';"
            log = f"access_log {self.directory}/access.log line;"
        return f"""stream {{
{self._tls()}{self._pair()}  proxy_timeout 1h;
  proxy_connect_timeout 5s;
  {form}
  {log}
  server {{ listen 127.0.0.1:{self.port} ssl backlog={BACKLOG}; proxy_pass 127.0.0.1:{self.setup.backend}; }}
}}
"""

    def _http(self) -> str:
        store = self.setup.store
        size = max(512, 1 << (2 * store.count).bit_length())
        blocks = []
        for host in store.names():
            certificate, key = store.pair(host)
            blocks.append(f"  server {{ listen 127.0.0.1:{self.port} ssl; server_name {host}; ssl_certificate "
                          f"{certificate}; ssl_certificate_key {key}; }}\n")
        return f"""http {{
{self._tls()}  access_log off;
  server_names_hash_max_size {size};
  server_names_hash_bucket_size 128;
  client_header_timeout 1h;
{''.join(blocks)}}}
"""


class NginxMail(Nginx):
    name = "nginx-mail"
    title = "nginx (mail)"
    package = "nginx libnginx-mod-mail"
    services = ("imap",)
    refuses_many = "its mail module does not choose among certificates by name; nginx is in it with its http module"
    can_log = False
    can_starttls = True
    module = "mail"

    def _body(self) -> str:
        # Nobody logs in here, so the authentication server is never asked.
        secured = "" if self.setup.starttls else " ssl"
        return f"""mail {{
{self._tls()}{self._pair()}  server_name mail.example.com;
  auth_http 127.0.0.1:1/never;
  timeout 1h;
  server {{ listen 127.0.0.1:{self.port}{secured} backlog={BACKLOG}; protocol imap; starttls {'only' if self.setup.starttls else 'off'}; }}
}}
"""
