"""The command line: check, start, status, reload, stop, certificates; and what the log looks like.

Shows rows E1 (`postern check`), B1 (a fresh install serves on a self-signed pair), and of E2 and E3
what is here already: status, reload and stop over the control socket; logs as logfmt or JSON.
"""

import json
import os
import pathlib
import signal
import socket
import stat
import subprocess

import pytest

from support import TOP
from support.backends import LineServer
from support.postern import Answer, program
from support.tls import common_name, connect, openssl
from support.waiting import DEADLINE_S, wait_for


def postern_command(*words, **options):
    return Answer(subprocess.run([program(), *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, timeout=DEADLINE_S, **options))


def test_version_names_what_it_runs_with():
    answer = postern_command("--version")
    assert answer.status == 0
    for name in ("ostern", "OpenSSL 3.", "liburing"):
        assert name in answer.text, answer


def test_example_configuration_passes_check():
    answer = postern_command("check", "-c", TOP / "conf/postern.toml")
    assert answer.status == 0, answer


def test_check_reports_every_fault_at_once_with_its_place(directory, pair):
    path = directory / "postern.toml"
    path.write_text(f"""[process]
wrokers = 2
pid_file = 7

[[certificates.pair]]
name = "main"
certificate = "{pair.certificate}"
key = "{pair.key}"

[listeners.imap]
address = "300.1.2.3"
port = 99999
service = "imapp"
backend = "nowhere"

[listeners.pop]
address = "127.0.0.1"
port = 9995
service = "pop3"
backend = "behind"
idle_timeout = "soon"

[listeners.same]
address = "127.0.0.1"
port = 9995
service = "pop3"
backend = "behind"

[backends.behind]
servers = ["127.0.0.1"]
""")
    answer = postern_command("check", "-c", path)
    assert answer.status != 0
    # line, and what has to be said of it
    for line, *words in ((2, "wrokers", "workers"), (3, "pid_file"), (11, "300.1.2.3"), (12, "99999"),
                         (13, "imapp", "imap"), (14, "nowhere"), (21, "idle_timeout", "soon"), (24, "9995", "17"),
                         (30, "127.0.0.1")):
        found = [text for text in answer.text.splitlines() if f"{path}:{line}:" in text]
        assert found, f"nothing is said of line {line}: {answer}"
        for word in words:
            assert any(word in text for text in found), f"{word} is not in {found}"


def test_check_reports_every_faulty_pair_at_once(postern, authority, directory):
    one, other = authority.issue("one"), authority.issue("other")
    garbage = directory / "garbage.pem"
    garbage.write_text("no certificate")
    pairs = postern.config["certificates"]["pair"]
    for name, certificate, key in (("mismatch", one.certificate, other.key), ("garbage", garbage, one.key),
                                   ("missing", one.certificate, directory / "missing.key"),
                                   ("good", one.certificate, one.key)):
        pairs.append({"name": name, "certificate": certificate, "key": key})
    postern.serve("127.0.0.1:1")
    postern.write()
    answer = postern.command("check")
    assert answer.status != 0
    for word in (one.certificate.name, "garbage.pem", "missing.key"):
        assert word in answer.text, answer
    lines = {line.split(":")[1] for line in answer.text.splitlines() if line.startswith(f"{postern.path}:")}
    assert len(lines) == 3, answer


@pytest.mark.parametrize("text, words", [
    ("[listeners", []), ('a = "\xff"', []), ("", ["listener"])])
def test_check_of_a_file_that_is_no_configuration(directory, text, words):
    path = directory / "postern.toml"
    path.write_bytes(text.encode("latin-1"))
    answer = postern_command("check", "-c", path)
    assert answer.status != 0 and str(path) in answer.text
    for word in words:
        assert word in answer.text


def test_missing_configuration_is_named(directory):
    for command in ("check", "run", "status", "reload", "stop"):
        answer = postern_command(command, "-c", directory / "none.toml")
        assert answer.status != 0
        assert "none.toml" in answer.text, answer


def test_start_with_a_fault_is_refused_with_the_reason(postern, directory):
    postern.serve("127.0.0.1:1")
    postern.config["certificates"]["pair"][0]["key"] = directory / "missing.key"
    postern.run()
    assert postern.process.wait() == 1
    assert "missing.key" in postern.text()
    assert not postern.pid_file.exists()


def test_expired_certificate_is_a_warning(postern, authority):
    expired = authority.issue("expired", expired=True)
    postern.config["certificates"]["pair"] = []
    postern.add_pair("expired", expired)
    with LineServer() as server:
        port = postern.serve(server.server)
        postern.write()
        answer = postern.command("check")
        assert answer.status == 0 and "expired" in answer.text, answer
        postern.start()
        context = authority.context()
        context.check_hostname, context.verify_mode = False, 0
        with connect(port, context) as client:
            assert client.recv(1000)


def test_commands_without_a_running_postern_say_so(postern):
    postern.serve("127.0.0.1:1")
    postern.write()
    for command in ("status", "reload", "stop"):
        answer = postern.command(command)
        assert answer.status != 0
        assert "control.sock" in answer.text or "postern.pid" in answer.text, answer


def test_status_for_people_and_for_programs(postern):
    with LineServer() as server:
        port = postern.serve(server.server, "imap")
        postern.start()
        with connect(port, postern.authority.context()) as client:
            client.recv(1000)
            text = postern.command("status").text
            for word in ("serving", str(postern.process.pid), "imap", f"127.0.0.1:{port}"):
                assert word in text, text
            status = postern.status()
            assert status["pid"] == postern.process.pid
            assert {worker["pid"] for worker in status["workers"]} == set(postern.worker_pids())
            assert status["certificates"] == {
                "count": 1, "soonest_name": "localhost",
                "soonest_expiry": status["certificates"]["soonest_expiry"],
                "watch": "off", "waiting": []}
            assert [listener["address"] for listener in status["listeners"]] == [f"127.0.0.1:{port}"]
    # The socket can be given instead of the configuration.
    answer = postern_command("status", "--json", "--socket", postern.config["process"]["control_socket"])
    assert json.loads(answer.text)["pid"] == postern.process.pid


def test_status_exits_0_only_when_it_serves(postern):
    with LineServer() as server:
        port = postern.serve(server.server, "imap")
        for _ in range(5):
            seen = []
            postern.run()

            def serves():
                answer = postern.command("status", "--json")
                if answer.text.startswith("{"):
                    seen.append((json.loads(answer.text)["state"], answer.status))
                return answer.status == 0

            wait_for(serves, "status to say that it serves", interval=0)
            # What a script does next works at once.
            with connect(port, postern.authority.context()) as client:
                assert client.recv(1000)
            # How often it is caught while it starts, nobody can say.
            assert set(seen) <= {("starting", 1), ("serving", 0)} and seen[-1] == ("serving", 0), seen
            postern.stop(signal.SIGINT)


def test_control_socket_is_for_its_owner_alone(postern):
    postern.serve("127.0.0.1:1")
    postern.start()
    mode = os.stat(postern.config["process"]["control_socket"]).st_mode
    assert stat.S_ISSOCK(mode) and not mode & (stat.S_IRWXO)


def test_stop_ends_it_and_cleans_up(postern):
    with LineServer() as server:
        postern.serve(server.server)
        postern.start()
        assert int(postern.pid_file.read_text()) == postern.process.pid
        answer = postern.command("stop")
        assert answer.status == 0, answer
        assert postern.process.wait() == 0
    assert not postern.pid_file.exists()
    assert not os.path.exists(postern.config["process"]["control_socket"])
    assert postern.command("stop").status != 0


def test_second_master_on_the_same_pid_file_is_refused(postern):
    with LineServer() as server:
        port = postern.serve(server.server)
        postern.start()
        answer = postern.command("run")
        assert answer.status == 1
        assert "postern.pid" in answer.text or str(postern.process.pid) in answer.text, answer
        assert postern.status()["pid"] == postern.process.pid
        with connect(port, postern.authority.context()) as client:
            assert client.recv(1000)


def test_port_in_use_refuses_the_start(postern):
    with socket.create_server(("127.0.0.1", 0)) as other:
        postern.add_backend("test", "127.0.0.1:1")
        postern.add_listener("test", port=other.getsockname()[1])
        postern.run()
        assert postern.process.wait() == 1
        assert f"127.0.0.1:{other.getsockname()[1]}" in postern.text()


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_every_line_of_the_log_parses(postern, form):
    postern.config["log"]["format"] = form
    postern.config["log"]["destination"] = str(postern.directory / "own.log")
    postern.log = postern.directory / "own.log"
    with LineServer() as server:
        port = postern.serve(server.server)
        postern.log = postern.directory / "postern.log"
        postern.start()
        postern.log = postern.directory / "own.log"
        context = postern.authority.context()
        context.check_hostname = False
        with connect(port, context, name='quote".example.test') as client:
            client.recv(1000)
        postern.wait_idle()
        postern.reload()
        wait_for(lambda: postern.lines("connection closed"), "the connection's line")
        assert postern.stop() == 0
    raw = postern.text().splitlines()
    assert len(raw) == len(postern.lines()) > 2
    for line in postern.lines():
        assert {"time", "level", "process", "event"} <= set(line)
        assert line["time"].endswith("Z")


def test_level_leaves_out_what_is_below(postern):
    postern.config["log"]["level"] = "warning"
    with LineServer() as server:
        port = postern.serve(server.server)
        postern.start()
        with connect(port, postern.authority.context()) as client:
            client.recv(1000)
        postern.wait_idle()
        assert postern.stop() == 0
    assert not postern.lines("connection closed")


def test_fresh_install_serves_on_a_pair_that_it_makes_itself(postern):
    certificates = postern.directory / "certs"
    certificates.mkdir(mode=0o700)
    postern.config["certificates"] = {"directory": certificates}
    with LineServer() as server:
        port = postern.serve(server.server)
        postern.start()
        made = certificates / "default.crt"
        assert made.exists()
        assert stat.S_IMODE((certificates / "default.key").stat().st_mode) == 0o600
        context = postern.authority.context()
        context.load_verify_locations(made)
        context.check_hostname = False
        with connect(port, context) as client:
            assert client.recv(1000) == b"* OK server\r\n"
            first = client.getpeercert(binary_form=True)
        # The next start goes on with it.
        assert postern.stop() == 0
        postern.start()
        with connect(port, context) as client:
            assert client.getpeercert(binary_form=True) == first


def test_self_signed_pair_is_made_for_the_names_given(directory):
    certificates = directory / "certs"
    certificates.mkdir(mode=0o700)
    answer = postern_command("cert", "self-signed", "mail.example.test", "imap.example.test",
                             "--directory", certificates)
    assert answer.status == 0, answer
    keys = sorted(certificates.glob("*.key"))
    assert len(keys) == 1
    assert stat.S_IMODE(keys[0].stat().st_mode) == 0o600
    text = openssl("x509", "-in", keys[0].with_suffix(".crt"), "-noout", "-text").decode()
    assert "DNS:mail.example.test" in text and "DNS:imap.example.test" in text
    assert openssl("pkey", "-in", keys[0], "-pubout") == \
        openssl("x509", "-in", keys[0].with_suffix(".crt"), "-noout", "-pubkey")


def test_runs_as_a_user_without_rights(postern):
    """Not root, in a directory of its own: everything but low ports and other users' files."""
    if os.geteuid() != 0:
        pytest.skip("takes root to become somebody else")
    os.chown(postern.directory, 65534, 65534)
    # As Debian's group ssl-cert: the key is root's, and a group may read it. A copy: other tests have the pair, too.
    pair = postern.config["certificates"]["pair"][0]
    for part, mode in (("certificate", 0o644), ("key", 0o640)):
        copy = postern.directory / pathlib.Path(pair[part]).name
        copy.write_bytes(pathlib.Path(pair[part]).read_bytes())
        copy.chmod(mode)
        os.chown(copy, 0, 65534)
        pair[part] = copy

    def become_nobody():
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)

    postern.preexec = become_nobody
    with LineServer() as server:
        port = postern.serve(server.server)
        postern.start()
        postern.reload()
        with connect(port, postern.authority.context()) as client:
            assert client.recv(1000)
            assert common_name(client) == "localhost"


def test_workers_run_as_another_user_than_root(postern):
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    postern.config["process"]["user"] = "nobody"
    with LineServer() as server:
        postern.serve(server.server)
        postern.start()
    for pid in postern.worker_pids():
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            fields = dict(line.split(":\t", 1) for line in status.read().splitlines() if ":\t" in line)
        assert set(fields["Uid"].split()) == {"65534"}
        assert fields["NoNewPrivs"] == "1"
        assert int(fields["CapEff"], 16) == 0


def test_interrupt_at_the_terminal_ends_everything(postern):
    """Ctrl-C reaches the whole group; the master alone decides."""
    with LineServer() as server:
        postern.serve(server.server)
        postern.start()
        os.killpg(postern.process.pid, signal.SIGINT)
        assert postern.process.wait() == 0
