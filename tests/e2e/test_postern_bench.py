"""The load generator: each mode for a moment, and what it must not let pass.

$POSTERN_BENCH, else bench/load/postern-bench beside the program's build. Shows what D8 rests on: that the figures are of
what they are said to be of.
"""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile

import pytest

from support.backends import LineServer, closed_port
from support.dovecot import Dovecot
from support.ports import free_port
from support.postern import program
from support.postfix import Postfix
from support.process import Process, alive
from support.waiting import DEADLINE_S, wait_for


def bench():
    beside = program().parent.parent.parent / "bench/load/postern-bench"
    return pathlib.Path(os.environ.get("POSTERN_BENCH", beside)).resolve()


pytestmark = pytest.mark.skipif(not bench().is_file(), reason="postern-bench is not built (nlohmann-json3-dev)")


class Answer:
    def __init__(self, done):
        self.status = done.returncode
        self.said = done.stderr.decode()
        self.report = json.loads(done.stdout) if done.stdout.startswith(b"{") else None

    def __repr__(self):
        return f"status {self.status}: {self.said}\n{json.dumps(self.report, indent=1)}"


def run(mode, port, *words, quiet=True, host="127.0.0.1"):
    command = [bench(), mode, "--json", "-", *(["--quiet"] if quiet else []), *words, f"{host}:{port}"]
    return Answer(subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True,
                                 timeout=DEADLINE_S * 2))


def good(answer):
    """The report of a run that went well."""
    assert answer.status == 0 and answer.report["failures"]["total"] == 0, answer
    return answer.report


def refused(answer, reason):
    """The report of a run that has to fail, and say why."""
    assert answer.status == 1 and reason in answer.said, answer
    assert any(reason in known for known in answer.report["failures"]["by_reason"]), answer
    return answer.report


class Backend:
    """`postern-bench server` of one behaviour."""

    def __init__(self, directory, *words):
        self.process = Process([bench(), "server", *words, "--listen", "127.0.0.1:0"], directory / "backend.log")
        said = self.process.wait_for_text("listening 127.0.0.1:")
        self.port = int(said.split()[1].rpartition(":")[2])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        assert self.process.stop() == 0


@pytest.fixture
def wire(directory):
    with Backend(directory, "wire") as backend:
        yield backend


@pytest.fixture
def front(postern, wire):
    """Postern before the wire server; its port."""
    port = postern.serve(f"127.0.0.1:{wire.port}")
    postern.start()
    return port


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_full_handshakes(front, version):
    report = good(run("handshake", front, "--count", 60, "--tls", version, "--groups", "P-256", "--processes", 2))
    assert report["count"] == report["verified"]["full"] == 60
    assert report["verified"]["versions"] == {f"TLSv{version}": 60}
    assert report["verified"]["groups"] == {"P-256": 60}
    assert report["verified"]["resumed"] == 0
    assert report["generator"]["cpu_us_per_unit"] > 0
    assert sum(count for _, count in report["latency_us"]["histogram"]) == 60
    assert sum(count for _, count in report["intervals"]) == 60


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_resumed_handshakes(front, version):
    report = good(run("handshake", front, "--count", 100, "--connections", 8, "--tls", version, "--resume"))
    assert report["count"] == report["verified"]["resumed"] == 100
    assert report["verified"]["full"] == 0


def test_the_server_sees_the_same_handshakes(postern, front):
    good(run("handshake", front, "--count", 50))
    lines = postern.wait_for_lines("connection closed", 50)
    assert len(lines) == 50
    assert {line["tls_version"] for line in lines} == {"TLSv1.3"}


def test_greetings_are_read(postern, directory):
    with Backend(directory, "greeting", "--service", "imap") as backend:
        port = postern.serve(f"127.0.0.1:{backend.port}", "imap")
        postern.start()
        report = good(run("handshake", port, "--greeting", "--count", 40))
        assert report["bytes"]["received"] >= 40 * len("* OK ready\r\n")


@pytest.mark.parametrize("connections", [1, 8])
def test_echo(front, connections):
    report = good(run("echo", front, "--count", 200, "--size", 3000, "--connections", connections))
    assert report["count"] >= 200
    assert report["verified"]["bytes_right"] is True
    assert report["verified"]["full"] == connections
    assert report["bytes"]["received"] >= 200 * 3000


@pytest.mark.parametrize("direction", ["up", "down", "both"])
def test_bulk(front, direction):
    size = 3_000_000
    report = good(run("bulk", front, "--direction", direction, "--bytes", size, "--count", size * 4))
    assert report["verified"]["bytes_right"] is True
    assert report["mode_specific"]["transfers"] >= 1
    assert report["count"] >= size * 4
    assert (report["bytes"]["sent"] >= size) == (direction != "down")
    assert (report["bytes"]["received"] >= size) == (direction != "up")


def test_idle_connections_are_held_and_alive(directory, postern, front):
    process = Process([bench(), "idle", "--connections", 60, "--processes", 2, "--hold", 600, "--quiet", "--json",
                       directory / "idle.json", f"127.0.0.1:{front}"], directory / "idle.log")
    try:
        process.wait_for_text("holding 60\n")
        assert postern.total("connections") == 60
    finally:
        status = process.stop(signal.SIGTERM, deadline=DEADLINE_S)
    report = json.loads((directory / "idle.json").read_text())
    assert status == 0, report
    assert report["mode_specific"] == {"alive_at_the_end": 60, "held": 60, "lost": 0}


def test_idle_connections_that_were_lost_are_counted(directory, postern, wire):
    port = postern.serve(f"127.0.0.1:{wire.port}")
    postern.config["timeouts"]["drain"] = "1s"
    postern.start()
    process = Process([bench(), "idle", "--connections", 20, "--hold", 600, "--quiet", "--json",
                       directory / "idle.json", f"127.0.0.1:{port}"], directory / "idle.log")
    try:
        process.wait_for_text("holding 20\n")
        postern.stop()
    finally:
        status = process.stop(signal.SIGTERM, deadline=DEADLINE_S)
    report = json.loads((directory / "idle.json").read_text())
    assert status == 1
    assert report["mode_specific"]["lost"] == report["failures"]["total"] == 20


def test_churn_while_postern_reloads(postern, front):
    command = f"{program()} reload -c {postern.path}"
    report = good(run("churn", front, "--duration", 2, "--connections", 4, "--reload-every", "0.3",
                      "--reload-command", command))
    assert report["count"] > 0
    assert report["mode_specific"]["reloads"] >= 1
    assert report["verified"]["bytes_right"] is True


def test_a_reload_that_fails_is_a_failure(front):
    refused(run("churn", front, "--duration", 1, "--connections", 1, "--reload-command", "exit 7"),
            "reload command: exit status 7")


def test_a_reload_that_hangs_is_a_failure_and_is_ended(directory, front):
    """With what it has started, and without holding up the run."""
    pids = directory / "pids"
    refused(run("churn", front, "--duration", 0.5, "--connections", 1, "--timeout", 2, "--reload-command",
                f"sleep 600 & echo $$ $! > {pids}; wait"), "reload command: not over after 2 s")
    for pid in pids.read_text().split():
        wait_for(lambda: not alive(int(pid)), "the command to be gone")


@pytest.mark.parametrize("service", ["imap", "pop3", "smtp"])
def test_mail_sessions(postern, directory, service):
    with Backend(directory, "greeting", "--service", service) as backend:
        port = postern.serve(f"127.0.0.1:{backend.port}", service)
        postern.start()
        report = good(run("mix", port, "--service", service, "--count", 20, "--connections", 5, "--think", 0.05))
        assert report["count"] == 20 and report["units"] == "sessions"
        assert report["mode_specific"]["messages"] == (40 if service == "imap" else 20)


def test_mail_sessions_of_real_servers(postern, directory, mail_system):
    user = mail_system.new_user()
    secret = directory / "password"
    secret.write_text(mail_system.password + "\n")
    login = ("--user", user, "--password-file", secret, "--count", 3, "--connections", 3, "--think", 0.05)
    ports = {service: postern.serve(f"127.0.0.1:{server}", service, name=service) for service, server in (
        ("imap", mail_system.dovecot.port("imap")), ("pop3", mail_system.dovecot.port("pop3")),
        ("submission", mail_system.postfix.port("submission")))}
    postern.start()
    # What is sent is then there to be fetched.
    sent = good(run("mix", ports["submission"], "--service", "smtp", *login))
    assert sent["count"] == sent["mode_specific"]["messages"] == 3
    wait_for(lambda: good(run("mix", ports["pop3"], "--service", "pop3", *login))["mode_specific"]["messages"] == 3,
             "the mail to be there")
    fetched = good(run("mix", ports["imap"], "--service", "imap", *login))
    assert fetched["count"] == 3 and fetched["mode_specific"]["messages"] == 6

    secret.write_text("wrong\n")
    answer = refused(run("mix", ports["imap"], *login[:4], "--duration", 5, "--connections", 1), "the server said")  # Dovecot takes 2 s
    assert answer["count"] == 0


def test_a_plain_back_end_can_be_measured(wire):
    report = good(run("echo", wire.port, "--tls", "plain", "--count", 50))
    assert report["verified"]["versions"] == {}
    assert "certificate_verified" not in report["verified"]


def test_the_certificate_is_verified_when_asked(postern, front):
    ca = postern.authority.ca
    report = good(run("handshake", front, "--ca", ca, "--sni", "localhost", "--count", 5))
    assert report["verified"]["certificate_verified"] is True
    refused(run("handshake", front, "--ca", ca, "--sni", "other.example", "--count", 5), "certificate verify failed")


def test_table_page_and_progress(directory, front):
    page = directory / "page.html"
    answer = run("handshake", front, "--duration", 1.5, "--html", page, quiet=False)
    good(answer)
    assert "per second" in answer.said and "own CPU" in answer.said  # the table
    assert " open " in answer.said  # progress
    text = page.read_text()
    assert "<svg" in text and "http://" not in text and "https://" not in text


def test_progress_before_the_load_begins(front):
    """Opening at 20 a second takes two seconds, and so does getting the first sessions."""
    answer = run("idle", front, "--connections", 40, "--rate", 20, "--hold", 0, quiet=False)
    good(answer)
    shown = [int(match[1]) for match in re.finditer(r"^opening (\d+) of 40 +0 failed$", answer.said, re.MULTILINE)]
    assert shown and shown == sorted(shown) and shown[0] < 40
    answer = run("handshake", front, "--resume", "--connections", 40, "--rate", 20, "--count", 1, quiet=False)
    good(answer)
    assert re.search(r"^preparing +\d+ open +0 failed$", answer.said, re.MULTILINE), answer.said


# --- STARTTLS, of real servers and of Postern ---

@pytest.fixture(scope="module")
def upgraders(pair):
    """Service to port of a Dovecot and a Postfix that offer STARTTLS."""
    if os.geteuid() != 0:
        pytest.skip("Dovecot and Postfix change users, which takes root")
    with tempfile.TemporaryDirectory(prefix="pe2e-s-") as top:
        path = pathlib.Path(top)
        path.chmod(0o755)
        (path / "d").mkdir()
        (path / "p").mkdir()
        dovecot = Dovecot(path / "d", {}, pair)
        try:
            postfix = Postfix(path / "p", dovecot.port("lmtp"), dovecot.auth_socket, pair)
            try:
                yield {"imap": dovecot.port("imap"), "pop3": dovecot.port("pop3"), "smtp": postfix.port("smtp")}
            finally:
                postfix.stop()
        finally:
            dovecot.stop()


@pytest.fixture(params=["real server", "Postern"])
def upgrader(request, service):
    """The port of a server that offers STARTTLS: a mail server's, or Postern's own before our mail server."""
    if request.param == "real server":
        yield request.getfixturevalue("upgraders")[service]
        return
    postern = request.getfixturevalue("postern")
    with Backend(request.getfixturevalue("directory"), "greeting", "--service", service) as backend:
        port = postern.serve(f"127.0.0.1:{backend.port}", service, tls="starttls", host_name="mx.example.test")
        postern.start()
        yield port


MAIL_SERVICES = ["imap", "pop3", "smtp"]


@pytest.mark.parametrize("service", MAIL_SERVICES)
def test_handshakes_after_starttls(upgrader, authority, service):
    report = good(run("handshake", upgrader, "--starttls", service, "--count", 6, "--connections", 2,
                      "--ca", authority.ca, "--sni", "localhost"))
    assert report["count"] == report["verified"]["full"] == 6
    assert report["verified"]["certificate_verified"] is True


@pytest.mark.parametrize("service", MAIL_SERVICES)
def test_after_starttls_an_answer_takes_the_greetings_place(upgrader, service):
    report = good(run("handshake", upgrader, "--starttls", service, "--greeting", "--count", 6, "--connections", 2))
    assert report["count"] == report["verified"]["full"] == 6 and report["bytes"]["received"] > 0


@pytest.mark.parametrize("service", MAIL_SERVICES)
@pytest.mark.parametrize("upgrader", ["Postern"], indirect=True)  # Dovecot's login processes share no tickets.
def test_sessions_are_resumed_after_starttls(upgrader, service):
    report = good(run("handshake", upgrader, "--starttls", service, "--resume", "--greeting", "--count", 6,
                      "--connections", 2))
    assert report["count"] == report["verified"]["resumed"] == 6 and report["bytes"]["received"] > 0


@pytest.mark.parametrize("service", MAIL_SERVICES)
def test_idle_connections_after_starttls(upgrader, service):
    report = good(run("idle", upgrader, "--starttls", service, "--connections", 10, "--hold", "0.2"))
    assert report["options"]["service"] == service
    assert report["mode_specific"] == {"alive_at_the_end": 10, "held": 10, "lost": 0}


@pytest.mark.parametrize("service", MAIL_SERVICES)
@pytest.mark.parametrize("words", [[], ["--greeting"]])
def test_churn_after_starttls(upgrader, service, words):
    report = good(run("churn", upgrader, "--starttls", service, "--count", 6, "--connections", 2, *words))
    assert report["count"] == 6 and report["bytes"]["received"] > 0


@pytest.mark.parametrize("service", MAIL_SERVICES)
def test_mail_sessions_after_starttls_of_postern(postern, directory, service):
    with Backend(directory, "greeting", "--service", service) as backend:
        port = postern.serve(f"127.0.0.1:{backend.port}", service, tls="starttls", host_name="mx.example.test")
        postern.start()
        report = good(run("mix", port, "--service", service, "--starttls", service, "--count", 6, "--connections", 3,
                          "--think", 0.05))
    assert report["count"] == report["verified"]["full"] == 6
    assert report["mode_specific"]["messages"] == (12 if service == "imap" else 6)


@pytest.mark.parametrize("mode", ["echo", "bulk"])
def test_starttls_is_not_for_what_needs_the_wire_server(mode):
    answer = run(mode, 1, "--starttls", "imap")
    assert answer.status == 2 and "wire server" in answer.said


@pytest.mark.parametrize("service", ["imap", "pop3"])
def test_starttls_is_refused_where_it_is_not_offered(mail_system, service):
    """The tests' Dovecot has no certificate."""
    answer = run("handshake", mail_system.dovecot.port(service), "--starttls", service, "--count", 3)
    refused(answer, "STARTTLS: refused")


def test_starttls_of_smtp_is_refused_where_it_is_not_offered(mail_system):
    answer = run("handshake", mail_system.postfix.port("smtp"), "--starttls", "smtp", "--count", 3)
    refused(answer, "STARTTLS: not offered")


# --- What must not pass ---

def test_resumed_handshakes_by_session_id(front):
    report = good(run("handshake", front, "--count", 100, "--connections", 8, "--tls", "1.2", "--resume",
                      "--no-tickets"))
    assert report["count"] == report["verified"]["resumed"] == 100
    assert report["options"]["resume"] is True and report["options"]["no_tickets"] is True


def test_full_handshakes_are_not_taken_for_resumed_ones(directory, pair, authority):
    """OpenSSL's own server with tickets and cache off."""
    port = free_port()
    server = Process(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", pair.certificate, "-key", pair.key,
                      "-no_ticket", "-no_cache", "-num_tickets", 0, "-quiet"], directory / "server.log")
    try:
        for version in ("1.2", "1.3"):
            wait_for(lambda: reachable(port), "s_server to listen")
            answer = run("handshake", port, "--resume", "--tls", version, "--count", 5, "--connections", 1)
            refused(answer, "resume: ")
    finally:
        server.kill()


def reachable(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    except OSError:
        return False


def test_a_version_that_the_server_refuses(directory, pair):
    port = free_port()
    server = Process(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", pair.certificate, "-key", pair.key,
                      "-tls1_2", "-quiet"], directory / "server.log")
    try:
        wait_for(lambda: reachable(port), "s_server to listen")
        report = refused(run("handshake", port, "--tls", "1.3", "--count", 5, "--connections", 1), "handshake: ")
        assert report["count"] == 0
    finally:
        server.kill()


def test_an_unreachable_target():
    refused(run("handshake", closed_port(), "--duration", 5), "connect: Connection refused")


def test_wrong_octets(postern):
    """A back end that answers lines, and so not with what it was sent."""
    with LineServer(greeting=False) as server:
        port = postern.serve(server.server)
        postern.start()
        report = refused(run("echo", port, "--duration", 1), "other octets came back")
        assert report["verified"]["bytes_right"] is False


def test_more_connections_than_descriptors(wire):
    answer = run("idle", wire.port, "--connections", 3_000_000, "--tls", "plain")
    assert answer.status == 1 and "RLIMIT_NOFILE" in answer.said and "--processes" in answer.said


def test_a_server_takes_no_port_that_another_serves(directory, wire):
    """Also when both would share it."""
    for processes in ("1", "2"):
        done = subprocess.run([bench(), "server", "wire", "--listen", f"127.0.0.1:{wire.port}", "--processes", processes],
                              capture_output=True, timeout=DEADLINE_S)
        assert done.returncode == 1 and b"Address already in use" in done.stderr and done.stdout == b""


def test_a_server_of_several_processes_has_one_port(directory):
    with Backend(directory, "wire", "--processes", "2") as backend:
        good(run("churn", backend.port, "--tls", "plain", "--count", 20))


@pytest.mark.parametrize("words, said", [
    (("dance", "127.0.0.1:1"), 'no mode "dance"; modes are handshake, idle'),
    (("handshake", "--groups", "X25519:nonsense", "127.0.0.1:1"), '--groups: there is no "nonsense"'),
    (("echo", "--sigalgs", "nonsense:ecdsa_secp256r1_sha256", "127.0.0.1:1"), '--sigalgs: there is no "nonsense"'),
    (("churn", "--cpu", "4095", "127.0.0.1:1"), "no CPU 4095"),
    (("server", "wire", "--cpu", "4095", "--listen", "127.0.0.1:0"), "no CPU 4095"),
    (("idle", "--warmup", "1", "127.0.0.1:1"), "--warmup"),
])
def test_what_is_wrong_is_named(words, said):
    done = subprocess.run([bench(), *words], capture_output=True, timeout=DEADLINE_S, text=True)
    assert done.returncode == 2 and said in done.stderr, done.stderr


@pytest.mark.parametrize("words", [("dance", "127.0.0.1:1"), ("handshake",), ("handshake", "127.0.0.1"),
                                   ("handshake", "--resume", "--tls", "plain", "127.0.0.1:1"),
                                   ("server", "wire")])
def test_what_is_not_understood(words):
    done = subprocess.run([bench(), *words], capture_output=True, timeout=DEADLINE_S)
    assert done.returncode == 2 and b"--help" in done.stderr
