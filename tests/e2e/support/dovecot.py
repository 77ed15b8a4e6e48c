"""A Dovecot of the tests' own: IMAP, POP3, LMTP, ManageSieve and Postfix's password checks.

Needs root, as Dovecot's processes change users. Its configuration language differs between 2.3
(Debian 12) and 2.4 (Debian 13); what does not is written once.
"""

import re
import shutil
import subprocess

from support.ports import free_port
from support.process import Process

MAIL_USER, MAIL_GROUP = "nobody", "nogroup"

_HEAD_23 = """
protocols = imap pop3 lmtp sieve{submission}
disable_plaintext_auth = no
# One client address that may not log in in the clear, for the tests of what the PROXY protocol tells.
remote 192.0.2.99 {{
  disable_plaintext_auth = yes
}}
mail_location = maildir:{directory}/mail/%u
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {directory}/users
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={directory}/mail/%u
}}
"""

_HEAD_24 = """
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
protocols = imap pop3 lmtp sieve{submission}
auth_allow_cleartext = yes
remote 192.0.2.99 {{
  auth_allow_cleartext = no
}}
mail_driver = maildir
mail_path = {directory}/mail/%{{user}}
passdb passwd-file {{
  passwd_file_path = {directory}/users
  default_password_scheme = PLAIN
}}
userdb static {{
  fields {{
    uid = {user}
    gid = {group}
    home = {directory}/mail/%{{user}}
  }}
}}
"""

_SSL_23 = "ssl = yes\nssl_cert = <{certificate}\nssl_key = <{key}"
_SSL_24 = "ssl = yes\nssl_server_cert_file = {certificate}\nssl_server_key_file = {key}"

_COMMON = """
base_dir = {directory}/run
state_dir = {directory}/state
log_path = {directory}/dovecot.log
{ssl}
listen = 127.0.0.1
first_valid_uid = 1
mail_uid = {user}
mail_gid = {group}
mail_max_userip_connections = 2000
haproxy_trusted_networks = 127.0.0.0/8
{trusted}
{relay}

service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
  inet_listener imap-proxied {{
    port = {imap_proxied}
    haproxy = yes
  }}
  unix_listener {directory}/imap.sock {{
    mode = 0666
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
  inet_listener pop3-proxied {{
    port = {pop3_proxied}
    haproxy = yes
  }}
}}
service managesieve-login {{
  inet_listener sieve {{
    port = {sieve}
  }}
  inet_listener sieves {{
    port = {sieves}
    ssl = yes
  }}
  inet_listener sieve-proxied {{
    port = {sieve_proxied}
    haproxy = yes
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp}
  }}
  inet_listener lmtps {{
    port = {lmtps}
    ssl = yes
  }}
  inet_listener lmtp-proxied {{
    port = {lmtp_proxied}
    haproxy = yes
  }}
}}
service auth {{
  unix_listener {directory}/auth.sock {{
    mode = 0666
  }}
}}
"""


# Hands on to a relay what it takes, so it needs one.
_SUBMISSION = """
service submission-login {{
  inet_listener submission {{
    port = {submission}
  }}
  inet_listener submissions {{
    port = {submissions}
    ssl = yes
  }}
  inet_listener submission-proxied {{
    port = {submission_proxied}
    haproxy = yes
  }}
}}
submission_relay_host = 127.0.0.1
submission_relay_port = {relay_port}
submission_relay_trusted = yes
"""
_SERVICES = ("imap", "imaps", "pop3", "pop3s", "sieve", "sieves", "lmtp", "lmtps", "submission", "submissions",
             "imap_proxied", "pop3_proxied", "sieve_proxied", "lmtp_proxied", "submission_proxied")


def version():
    text = subprocess.run(["dovecot", "--version"], check=True, stdout=subprocess.PIPE).stdout.decode()
    return tuple(int(number) for number in re.match(r"(\d+)\.(\d+)", text).groups())


class Dovecot:
    def __init__(self, directory, users, pair=None, trusted=None, relay_port=None, settings=""):
        """`users`: name to password. With a `pair` it offers STARTTLS, and TLS at once on the ports of imaps and so
        on. It believes who a client is from `trusted`. With `relay_port` it takes submissions and relays them there.
        `settings` are further lines of its configuration."""
        self.directory = directory
        self.ports = {name: free_port() for name in _SERVICES}
        self.imap_socket = directory / "imap.sock"
        self.auth_socket = directory / "auth.sock"
        (directory / "users").write_text("".join(f"{u}:{{PLAIN}}{p}\n" for u, p in users.items()))
        (directory / "mail").mkdir()
        shutil.chown(directory / "mail", MAIL_USER, MAIL_GROUP)
        head, ssl = (_HEAD_23, _SSL_23) if version() < (2, 4) else (_HEAD_24, _SSL_24)
        ssl = ssl.format(certificate=pair.certificate, key=pair.key) if pair else "ssl = no"
        configuration = directory / "dovecot.conf"
        relay = _SUBMISSION.format(relay_port=relay_port, **self.ports) if relay_port else ""
        configuration.write_text((head + _COMMON).format(
            directory=directory, submission=" submission" if relay_port else "", relay=relay, user=MAIL_USER, group=MAIL_GROUP, ssl=ssl,
            trusted=f"login_trusted_networks = {trusted}" if trusted else "",
            **{name: port for name, port in self.ports.items() if name != "submission"}) + settings)
        self.process = Process(["dovecot", "-F", "-c", configuration], directory / "dovecot-start.log")
        self.process.wait_until_it_greets(self.ports["imap"], b"* OK")

    def port(self, service):
        return self.ports[service]

    def stop(self):
        self.process.stop()
