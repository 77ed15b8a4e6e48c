"""Dovecot and Postfix with TLS of their own, for tests of what Postern says to servers."""

import contextlib
import os

import pytest

from support.dovecot import Dovecot
from support.ports import free_port
from support.postfix import DOMAIN, Postfix

USER, PASSWORD = f"someone@{DOMAIN}", "secret"
# Whom Postfix refuses in the first words that it says, when it is told of it.
REFUSED = "192.0.2.66"

_BELIEVING = f"""
smtpd_authorized_xclient_hosts = 127.0.0.0/8
smtpd_client_restrictions = check_client_access inline:{{{{{REFUSED} = REJECT}}}}
smtpd_delay_reject = no"""


class Servers:
    """Both with STARTTLS and with TLS at once, and one user. When `believing`, they believe what 127.0.0.1 says of
    its clients. Dovecot's submission service relays to Postfix, of whose main.cf `postfix` are further lines, and of
    dovecot.conf `dovecot`."""

    def __init__(self, path, pair, believing=False, postfix="", dovecot=""):
        for name in ("d", "p"):
            (path / name).mkdir()
        self.directory = path / "d"
        relay = free_port()
        self.dovecot = Dovecot(path / "d", {USER: PASSWORD}, pair, "127.0.0.0/8" if believing else None, relay,
                               dovecot)
        try:
            self.postfix = Postfix(path / "p", self.dovecot.port("lmtp"), self.dovecot.auth_socket, pair,
                                   (_BELIEVING if believing else "") + "\n" + postfix, relay)
        except BaseException:
            self.dovecot.stop()
            raise

    def port(self, service):
        """Of `service`, or of `service` with an "s" for TLS at once."""
        return (self.postfix if service.startswith("smtp") else self.dovecot).port(service)

    def log(self, service):
        """The log of the server that has `service`."""
        if service.startswith("smtp"):
            return self.postfix.directory / "postfix.log"
        return self.directory / "dovecot.log"

    def stop(self):
        self.postfix.stop()
        self.dovecot.stop()


@contextlib.contextmanager
def servers_at(path, pair, believing=False, postfix="", dovecot=""):
    """For fixtures."""
    if os.geteuid() != 0:
        pytest.skip("Dovecot and Postfix change users, which takes root")
    made = Servers(path, pair, believing, postfix, dovecot)
    try:
        yield made
    finally:
        made.stop()
