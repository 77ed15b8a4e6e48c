"""What docs/servers.md says of Cyrus, with the version that the release has."""

import base64
import smtplib
import socket

import pytest

from conftest import _temporary
from support.clients import Dialog, curl, mbsync, run
from support.cyrus import Cyrus
from support.mailbox import body, message

USER, PASSWORD = "someone", "any"
PLAIN = b'AUTHENTICATE "PLAIN" "%b"' % base64.b64encode(f"\0{USER}\0{PASSWORD}".encode())
# For each service what a client says, and how the last line of the answer begins.
LOGIN = {
    "imap": [(b"a CAPABILITY", b"a OK"), (b"b LOGIN someone any", b"b OK")],
    "pop3": [(b"CAPA", b"."), (b"USER someone", b"+OK"), (b"PASS any", b"+OK")],
    "sieve": [(b"CAPABILITY", b"OK"), (PLAIN, b"OK")],
}
GREETING = {"imap": b"* OK", "pop3": b"+OK", "sieve": b"OK"}


@pytest.fixture(scope="module")
def cyrus(pair):
    with _temporary("c") as path:
        made = Cyrus(path, pair)
        try:
            # Who logs in by IMAP or POP3 has a mailbox from then on; scripts and mail need one.
            with socket.create_connection(("127.0.0.1", made.port("imaplayer"))) as sock:
                Dialog(sock).ask(LOGIN["imap"][1][0], b"b OK")
            yield made
        finally:
            made.stop()


def backend_tls(postern, mode):
    return {} if mode == "off" else {"tls": mode, "tls_ca": postern.authority.ca}


def connect(postern, port):
    return postern.authority.context().wrap_socket(socket.create_connection(("127.0.0.1", port)),
                                                   server_hostname="localhost")


@pytest.mark.parametrize("service, mode, server", [
    ("imap", "off", "imaplayer"), ("imap", "starttls", "imap"), ("imap", "implicit", "imaps"),
    ("pop3", "off", "pop3layer"), ("pop3", "starttls", "pop3"), ("pop3", "implicit", "pop3s"),
    ("sieve", "off", "sievelayer"), ("sieve", "starttls", "sieve")])
def test_clients_log_in_and_hear_of_no_starttls(postern, cyrus, service, mode, server):
    port = postern.serve(f"localhost:{cyrus.port(server)}", service, backend_settings=backend_tls(postern, mode))
    postern.start()
    with connect(postern, port) as sock:
        dialog = Dialog(sock)
        for command, answer in [(b"", GREETING[service]), *LOGIN[service]]:
            sock.sendall(command + b"\r\n" if command else b"")
            line = b""
            while not line.startswith(answer):
                line = dialog.line()
                assert line and not line.startswith((b"b NO", b"-ERR", b"NO")), line
                assert b"STARTTLS" not in line and b"STLS" not in line


def test_mail_comes_in_and_is_read(postern, cyrus, directory):
    ports = {}
    for name, service, server, mode, tls in (
            ("imap", "imap", "imaplayer", "off", "implicit"), ("imap-tls", "imap", "imap", "starttls", "starttls"),
            ("pop3", "pop3", "pop3s", "implicit", "implicit"), ("lmtp", "lmtp", "lmtp", "off", "starttls")):
        postern.add_backend(name, f"localhost:{cyrus.port(server)}", **backend_tls(postern, mode))
        ports[name] = postern.add_listener(name, service, tls=tls)
    postern.start()
    ca, account = postern.authority.ca, ("--user", f"{USER}:{PASSWORD}")
    token, mail = message(USER)
    with smtplib.LMTP("localhost", ports["lmtp"]) as client:
        client.ehlo()
        # The answer that Postern has had to its own LHLO ends in the name of that session.
        assert not any("SESSIONID" in line for line in client.ehlo_resp.decode().splitlines())
        client.starttls(context=postern.authority.context())
        client.sendmail("a@elsewhere.example", [USER], mail)
    appended = directory / "appended"
    token, text = message(USER)
    appended.write_bytes(text)
    curl(f"imap://localhost:{ports['imap-tls']}/INBOX", "--ssl-reqd", "--upload-file", appended, *account, ca=ca)
    assert body(curl(f"pop3s://localhost:{ports['pop3']}/1", *account, ca=ca).stdout) == body(mail)
    files = mbsync(directory, ports["imap"], USER, PASSWORD, ca=ca)
    assert len(files) == 2
    assert any(token in path.read_text() for path in files)


def test_a_script_is_kept(postern, cyrus, directory):
    port = postern.serve(f"localhost:{cyrus.port('sieve')}", "sieve", tls="starttls",
                         backend_settings=backend_tls(postern, "starttls"))
    postern.start()
    (directory / "script").write_text("keep;\n")
    (directory / "commands").write_text(f"put {directory}/script kept\nactivate kept\nlist\n")
    done = run(["sieve-connect", "--server", "localhost", "--port", port, "--user", USER, "--passwordfd", 0,
                "--tlscafile", postern.authority.ca, "--exec", directory / "commands"],
               stdin=None, input=PASSWORD.encode() + b"\n")
    assert b'"kept" ACTIVE' in done.stdout


@pytest.mark.parametrize("service", ["imap", "pop3", "sieve"])
def test_passwords_are_refused_where_nothing_says_that_a_layer_protects_them(postern, cyrus, service):
    port = postern.serve(f"localhost:{cyrus.port(service)}", service)
    postern.start()
    with connect(postern, port) as sock:
        dialog = Dialog(sock)
        dialog.until(GREETING[service])
        command, refusal = {"imap": (b"a LOGIN someone any", b"a NO"), "pop3": (b"USER someone", b"-ERR"),
                            "sieve": (PLAIN, b"NO")}[service]
        assert dialog.ask(command, refusal, b"a OK", b"+OK", b"OK").startswith(refusal)


def test_id_tells_cyrus_who_the_client_is(postern, cyrus):
    """It logs the first ID of a session, and answers each later one with NIL: so it has heard Postern's."""
    port = postern.serve(f"localhost:{cyrus.port('imaplayer')}", "imap", backend_settings={"identify_clients": True})
    postern.start()
    with connect(postern, port) as sock:
        dialog = Dialog(sock)
        dialog.until(b"* OK")
        assert dialog.ask(b'a ID ("name" "client")', b"a ", b"* ID") == b"a OK NIL\r\n"
        dialog.ask(b"b LOGIN someone any", b"b OK")


@pytest.mark.parametrize("service, server, words", [
    ("pop3", "pop3layer", b"-ERR "), ("sieve", "sievelayer", b"BYE "), ("lmtp", "lmtp", b"421 ")])
def test_cyrus_takes_no_xclient(postern, cyrus, service, server, words):
    port = postern.serve(f"localhost:{cyrus.port(server)}", service, backend_settings={"identify_clients": True})
    postern.start()
    with connect(postern, port) as sock:
        assert Dialog(sock).line().startswith(words)
    line = postern.closed()
    assert line["how"] == "backend-unreachable"
    assert "does not offer XCLIENT" in line["reason"]
