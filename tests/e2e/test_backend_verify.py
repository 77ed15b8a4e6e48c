"""TLS towards servers: what the configuration says of it, checked before anybody connects."""

import re

import pytest

from support.ports import free_port
from support.process import Process
from support.waiting import wait_for

class SServer:
    """OpenSSL's own server with a pair; further options as on its command line."""

    def __init__(self, directory, pair, *options):
        self.port = free_port()
        self.server = f"localhost:{self.port}"
        self.process = Process(["openssl", "s_server", "-accept", f"127.0.0.1:{self.port}", "-cert", pair.certificate,
                                "-key", pair.key, "-rev", *options], directory / f"s_server-{self.port}.log")
        wait_for(self._listens, "openssl s_server to listen")

    def _listens(self):
        assert self.process.running(), self.process.text()
        return "ACCEPT" in self.process.text()

    def stop(self):
        self.process.kill()


@pytest.fixture
def s_server(directory):
    running = []

    def start(pair, *options):
        running.append(SServer(directory, pair, *options))
        return running[-1]

    yield start
    for server in running:
        server.stop()


def test_faults_of_tls_towards_servers_are_shown_with_the_line(postern, authority, tmp_path):
    us, them = authority.issue("us"), authority.issue("them")
    own = {"tls": "implicit", "tls_ca": authority.ca}
    postern.add_backend("a", "a.invalid:993", tls="implicit", tls_ca=tmp_path / "none.pem")
    postern.add_backend("b", "b.invalid:993", **own, tls_certificate=us.certificate, tls_key=them.key)
    for name in ("a", "b"):
        postern.add_listener(name, "imap", name)
    postern.write()
    answer = postern.command("check")
    assert answer.status == 1
    assert re.search(r"postern\.toml:\d+:\d+: cannot open \S+none\.pem: ", answer.text), answer
    assert re.search(r"postern\.toml:\d+:\d+: the key in \S+them\.key .* does not belong to the certificate in "
                     r"\S+us\.crt", answer.text), answer

    # With a fault of the file itself, those of the files that it names are shown all the same.
    postern.config["listeners"]["b"]["colour"] = "red"
    postern.write()
    answer = postern.command("check")
    assert "unknown key \"colour\"" in answer.text and "none.pem: " in answer.text, answer
    assert "does not belong to the certificate" in answer.text, answer
    del postern.config["listeners"]["b"]["colour"]

    # Keys that would do nothing, and a service without STARTTLS, before any file is looked at.
    postern.config["backends"]["a"] = {"servers": ["a.invalid:80"], "tls_verify": True}
    postern.config["backends"]["b"] = {"servers": ["b.invalid:80"], "tls": "starttls"}
    postern.config["listeners"]["b"]["service"] = "http"
    postern.write()
    answer = postern.command("check")
    assert re.search(r":\d+:\d+: tls_verify in \[backends\.a\] is of no use while tls is \"off\"; ", answer.text), answer
    assert re.search(r":\d+:\d+: tls = \"starttls\" in \[backends\.b\], but \[listeners\.b\] uses it for service "
                     r"\"http\"", answer.text), answer


def test_our_pair_for_servers_is_listed_checked_and_reloaded(postern, authority, directory, s_server):
    us, late = authority.issue("us"), authority.issue("us", expired=True)
    settings = {"tls": "implicit", "tls_ca": authority.ca, "tls_certificate": us.certificate, "tls_key": us.key}
    postern.serve(s_server(authority.issue("server")).server, backend_settings=settings)
    postern.start()
    listed = postern.command("cert", "list")
    assert re.search(r"backend:test\n(  .*\n)*  used by  back end test, towards its servers\n", listed.text), listed
    assert "for the servers of test" in postern.command("check").text

    # A pair that is none is refused at a reload, and what serves goes on serving.
    kept = us.key.read_bytes()
    us.key.write_bytes(late.key.read_bytes())
    answer = postern.command("reload")
    assert answer.status == 1 and "does not belong to the certificate" in answer.text, answer
    us.key.write_bytes(kept)
    late.put_in_place_of(us)
    assert "expired at" in postern.reload().text + postern.command("check").text
    assert len(postern.lines("reloaded")) == 1
