"""A Postfix of the tests' own: SMTP and submission in, everything on to Dovecot by LMTP. Needs root."""

import shutil
import subprocess

from support.ports import free_port
from support.process import Process

DOMAIN = "example.test"

_MAIN = """
compatibility_level = 3.6
queue_directory = {directory}/spool
data_directory = {directory}/data
maillog_file = {directory}/postfix.log
maillog_file_prefixes = {directory}
myhostname = mx.{domain}
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
biff = no
virtual_mailbox_domains = {domain}
virtual_transport = lmtp:inet:127.0.0.1:{lmtp}
message_size_limit = 50000000
{tls}
smtpd_sasl_type = dovecot
smtpd_sasl_path = {auth_socket}
# Tests connect often and from one address.
smtpd_client_connection_count_limit = 0
smtpd_error_sleep_time = 0
"""

_MASTER = """
127.0.0.1:{smtp} inet n - n - - smtpd
127.0.0.1:{submission} inet n - n - - smtpd
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
  -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject
127.0.0.1:{smtps} inet n - n - - smtpd
  -o smtpd_tls_wrappermode={wrapper}
127.0.0.1:{smtp_proxied} inet n - n - - smtpd
  -o smtpd_upstream_proxy_protocol=haproxy
# For a proxy that has ended TLS, as docs/servers.md has it.
127.0.0.1:{smtp_secured} inet n - n - - smtpd
  -o syslog_name=postfix/secured
  -o smtpd_upstream_proxy_protocol=haproxy
  -o smtpd_tls_security_level=none
  -o smtpd_tls_auth_only=no
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    def __init__(self, directory, lmtp_port, auth_socket, pair=None, settings="", smtp_port=None):
        """With a `pair` it offers STARTTLS, and TLS at once on the port of smtps. `settings` are lines of main.cf."""
        self.directory = directory
        self.ports = {name: free_port() for name in ("smtp", "submission", "smtps", "smtp_proxied", "smtp_secured")}
        if smtp_port:
            self.ports["smtp"] = smtp_port
        tls = "smtpd_tls_security_level = none"
        if pair:
            tls = f"smtpd_tls_security_level = may\nsmtpd_tls_chain_files = {pair.key}, {pair.certificate}"
        tls += "\n" + settings
        values = {"wrapper": "yes" if pair else "no", "tls": tls, "directory": directory, "domain": DOMAIN, "lmtp": lmtp_port, "auth_socket": auth_socket,
                  **self.ports}
        for name in ("conf", "spool", "data"):
            (directory / name).mkdir()
        shutil.chown(directory / "data", "postfix", "postfix")
        (directory / "conf/main.cf").write_text(_MAIN.format(**values))
        (directory / "conf/master.cf").write_text(_MASTER.format(**values))
        # Makes the queue's directories, with their owners.
        subprocess.run(["postfix", "-c", directory / "conf", "check"], check=True, timeout=60,
                       stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        daemons = subprocess.run(["postconf", "-c", directory / "conf", "-h", "daemon_directory"], check=True,
                                 stdout=subprocess.PIPE).stdout.decode().strip()
        self.process = Process([f"{daemons}/master", "-c", directory / "conf", "-d"],
                               directory / "postfix-start.log")
        self.process.wait_until_it_greets(self.ports["smtp"], b"220 ")

    def port(self, service):
        return self.ports[service]

    def stop(self):
        self.process.stop()
