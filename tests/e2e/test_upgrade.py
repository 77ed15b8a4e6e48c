"""The program on disk takes over from the one that runs, without a connection lost: SIGUSR2 and
`postern upgrade`.

Shows, of row D6, that SIGUSR2 starts the new program with the listening sockets inherited, that the old one
drains when it serves and goes on when it does not; of row D4, that tickets outlive it.
"""

import concurrent.futures
import contextlib
import os
import signal
import socket
import ssl
import subprocess

import pytest

from support.backends import LineServer
from support.leftovers import Holdings, wait_until_nothing_is_left
from support.load import Hammer, in_own_thread
from support.postern import program
from support.process import alive, send_signal, state
from support.tls import connect, read_exactly, read_to_end
from support.waiting import scale, wait_for

GREETING = b"* OK server\r\n"


@pytest.fixture
def server():
    with LineServer() as made:
        yield made


@pytest.fixture
def link(postern):
    """A link to the program, from which Postern is started and which a test may replace."""
    path = postern.directory / "program"
    path.symlink_to(program())
    postern.program = path
    return path


def put(path, text, mode=0o755):
    """Puts a script in the place of the program, as a package does: by renaming."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(mode)
    new.rename(path)


def restore(path):
    path.unlink(missing_ok=True)
    path.symlink_to(program())


def greeted(port, context, **options):
    client = connect(port, context, **options)
    assert read_exactly(client, len(GREETING)) == GREETING
    return client


def lives(client):
    def answers():
        try:
            client.sendall(b"ping\n")
            return read_exactly(client, 12) == b"server ping\n"
        except (OSError, EOFError):
            return False

    return in_own_thread(answers)


@contextlib.contextmanager
def held(port, context, count):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(greeted(port, context)) for _ in range(count)]


def retired(postern):
    return {entry["pid"]: entry["connections"] for entry in postern.status()["retired"]}


def in_background(postern, *words):
    return subprocess.Popen([program(), *words, "-c", postern.path], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_twenty_upgrades_under_load_refuse_and_lose_nobody(postern, server):
    port = postern.serve(server.server)
    postern.start()
    context = postern.authority.context()
    postern.upgrade()  # so that who is first and who is last were started in the same way
    wait_for(lambda: not retired(postern), "the first of all to end")
    before = Holdings(postern)
    first = postern.process.pid
    with Hammer(port, context) as hammer, held(port, context, 20) as clients:
        for number in range(scale(20, least=4)):
            if number == 10:  # some in the midst, too
                clients.append(greeted(port, context))
            postern.upgrade()
            hammer.wait_for_more(20)
        assert not hammer.failures
        assert all(lives(client) for client in clients)
        # Masters that hold nobody are gone; the first one holds its twenty still.
        wait_for(lambda: retired(postern).get(first) == 20, "the first master to report what it holds")
        wait_for(lambda: sum(retired(postern).values()) == len(clients), "the others to end")
        for client in clients:
            client.close()
    wait_for(lambda: not retired(postern), "the retired masters to end")
    for old in postern.retired:
        old.wait()
    wait_until_nothing_is_left(postern, before)
    assert postern.status()["pid"] == postern.process.pid == postern.pid_in_file()
    assert postern.stop() is None
    assert not postern.pid_file.exists()
    assert not os.path.exists(postern.config["process"]["control_socket"])


def test_sigusr2_upgrades(postern, server):
    port = postern.serve(server.server)
    postern.start()
    with greeted(port, postern.authority.context()) as client:
        postern.send(signal.SIGUSR2)
        postern.adopt()
        assert lives(client)
        greeted(port, postern.authority.context()).close()
        assert postern.wait_for_lines("retired")[0]["successor"] == str(postern.process.pid)
        taken = postern.wait_for_lines("taken over")[0]
        assert taken["predecessor"] == str(postern.retired[0].pid)
    assert postern.retired[0].wait() == 0


FAILING = {
    "exits": ("#!/bin/sh\nexit 1\n", 0o755, "exited with status 1"),
    "crashes": ("#!/bin/sh\nkill -SEGV $$\n", 0o755, "SIGSEGV"),
    "may-not-run": ("#!/bin/sh\n", 0o644, "Permission denied"),
    "no-program": ("nonsense", 0o755, "Exec format error"),
}


@pytest.mark.parametrize("script, mode, reason", FAILING.values(), ids=FAILING.keys())
def test_new_program_that_fails_changes_nothing(postern, server, link, script, mode, reason):
    port = postern.serve(server.server)
    postern.start()
    context = postern.authority.context()
    before = postern.process.pid, postern.worker_pids()
    with Hammer(port, context) as hammer, greeted(port, context) as client:
        put(link, script, mode)
        answer = postern.command("upgrade")
        assert answer.status == 1
        assert reason in answer.text and "nothing has changed" in answer.text
        assert reason in postern.wait_for_lines("upgrade failed")[0]["reason"]
        hammer.wait_for_more(20)
        assert not hammer.failures
        assert (postern.pid_in_file(), postern.worker_pids()) == before
        assert postern.status()["state"] == "serving"
        postern.reload()

        restore(link)
        postern.upgrade()
        hammer.wait_for_more(20)
        assert not hammer.failures and lives(client)


def test_new_program_that_is_gone_changes_nothing(postern, server, link):
    postern.serve(server.server)
    postern.start()
    link.unlink()
    answer = postern.command("upgrade")
    assert answer.status == 1 and "No such file" in answer.text
    assert postern.status()["state"] == "serving"


def test_new_program_that_hangs_is_ended_and_meanwhile_there_is_no_second_upgrade(postern, server, link):
    port = postern.serve(server.server)
    postern.config["timeouts"]["prepare"] = "10s"
    postern.start()
    put(link, "#!/bin/sh\nexec sleep 3600\n")
    postern.write()
    with in_background(postern, "upgrade") as first:
        hanging = wait_for(lambda: postern.status()["successor"], "the upgrade to begin")
        second = postern.command("upgrade")
        assert second.status == 1 and "under way" in second.text
        postern.send(signal.SIGUSR2)
        postern.wait_for_lines("upgrade not begun", 2)
        # A reload waits for the outcome.
        postern.reload()
        assert first.wait() == 1
        assert "did not report" in first.stdout.read()
    assert not alive(hanging)
    assert postern.status()["generation"] == 2
    greeted(port, postern.authority.context()).close()


def test_configuration_that_the_new_one_refuses_is_told_and_the_old_one_goes_on(postern, server):
    port = postern.serve(server.server)
    postern.start()
    before = postern.process.pid
    postern.config["listeners"]["test"]["service"] = "gopher"
    postern.write()
    answer = postern.command("upgrade")
    assert answer.status == 1
    assert "gopher" in answer.text and str(postern.path) in answer.text
    postern.send(signal.SIGUSR2)
    assert "gopher" in postern.wait_for_lines("upgrade failed", 2)[1]["reason"]
    assert postern.pid_in_file() == before and postern.status()["state"] == "serving"
    greeted(port, postern.authority.context()).close()


def test_address_that_the_new_one_cannot_have_is_told(postern, server):
    port = postern.serve(server.server)
    postern.start()
    with socket.create_server(("127.0.0.1", 0)) as other:
        postern.add_listener("second", backend="test", port=other.getsockname()[1])
        postern.write()
        answer = postern.command("upgrade")
    assert answer.status == 1 and "in use" in answer.text
    greeted(port, postern.authority.context()).close()
    postern.upgrade()  # it is free now
    greeted(postern.config["listeners"]["second"]["port"], postern.authority.context()).close()


def test_certificate_that_is_gone_is_not_replaced_by_one_that_nobody_trusts(postern, server, directory):
    """Which is what a first start does, and an upgrade must not."""
    postern.serve(server.server)
    postern.config["certificates"] = {"directory": directory / "certificates"}
    postern.start()
    made = directory / "certificates/default.crt"
    kept = made.read_bytes()
    (directory / "certificates/default.key").rename(directory / "key")
    made.unlink()
    answer = postern.command("upgrade")
    assert answer.status == 1 and "certificate" in answer.text
    assert not made.exists() and postern.status()["state"] == "serving"
    made.write_bytes(kept)
    (directory / "key").rename(directory / "certificates/default.key")
    postern.upgrade()


def test_reload_asked_for_during_an_upgrade_is_the_new_ones(postern, server, link):
    postern.serve(server.server)
    postern.start()
    path = postern.directory / "gate"
    put(link, f'#!/bin/sh\nwhile [ ! -e {path} ]; do sleep 0.05; done\nexec {program()} "$@"\n')
    with in_background(postern, "upgrade") as upgrade:
        wait_for(lambda: postern.status()["successor"], "the upgrade to begin")
        with in_background(postern, "reload") as reload:
            postern.wait_for_lines("reload requested")
            path.touch()
            assert upgrade.wait() == 0
            assert reload.wait() == 1
            assert "has taken over, and was told to reload" in reload.stdout.read()
    postern.adopt()
    wait_for(lambda: postern.status()["generation"] == 2, "the new one to reload")


def test_stop_during_an_upgrade_ends_both(postern, server, link):
    postern.serve(server.server)
    postern.start()
    put(link, "#!/bin/sh\nexec sleep 3600\n")
    with in_background(postern, "upgrade") as upgrade:
        hanging = wait_for(lambda: postern.status()["successor"], "the upgrade to begin")
        assert postern.command("stop").status == 0
        assert upgrade.wait() == 1
        assert "Postern is stopping" in upgrade.stdout.read()
    assert postern.process.wait() == 0
    assert not alive(hanging)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tickets_of_before_resume_after(postern, server, version):
    port = postern.serve(server.server)
    postern.start()
    context = postern.authority.context(version)
    with greeted(port, context) as client:
        session = client.session

    def resumes(with_session):
        with greeted(port, context, session=with_session) as client:
            return client.session_reused

    for _ in range(3):
        postern.upgrade()
        assert resumes(session)
    # They are keys as any other: three rotations keep them, the fourth one does not.
    for _ in range(3):
        assert postern.command("rotate-tickets").status == 0
        assert resumes(session)
    assert postern.command("rotate-tickets").status == 0
    assert not resumes(session)
    # Nothing of them was ever in a file.
    assert not [path for path in postern.directory.iterdir() if "ticket" in path.name]


def test_pid_file_and_control_socket_move_where_the_new_configuration_says(postern, server):
    port = postern.serve(server.server)
    postern.start()
    old_pid_file, old_socket = postern.pid_file, postern.config["process"]["control_socket"]
    control = ("upgrade", "--socket", str(old_socket))
    postern.config["process"]["pid_file"] = postern.directory / "other.pid"
    postern.config["process"]["control_socket"] = postern.directory / "other.sock"
    postern.write()
    done = subprocess.run([program(), *control], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60)
    assert done.returncode == 0, done.stdout
    postern.adopt()
    assert postern.status()["pid"] == postern.process.pid
    wait_for(lambda: not old_pid_file.exists() and not old_socket.exists(), "the old files to go")
    greeted(port, postern.authority.context()).close()


def test_number_of_workers_may_change(postern, server):
    """Sockets of workers that are no more are served by those that there are."""
    port = postern.serve(server.server)
    postern.start()
    context = postern.authority.context()
    with Hammer(port, context) as hammer, held(port, context, 10) as clients:
        for workers in (1, 3, 1, 2):
            postern.config["process"]["workers"] = workers
            postern.upgrade()
            assert len(postern.workers()) == workers
            hammer.wait_for_more(60)
        assert not hammer.failures
        assert all(lives(client) for client in clients)


def test_who_waits_for_a_worker_that_hangs_is_served_by_the_new_one(postern, server):
    port = postern.serve(server.server, handshake_timeout="120s")
    postern.start()
    context = postern.authority.context()
    victim = postern.workers()[0]["pid"]
    os.kill(victim, signal.SIGSTOP)
    try:
        wait_for(lambda: state(victim) == "T", "the worker to be stopped")
        with contextlib.ExitStack() as stack:
            raw = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(40)]
            postern.upgrade()
            for sock in raw:
                with context.wrap_socket(sock, server_hostname="localhost") as client:
                    assert read_exactly(client, len(GREETING)) == GREETING
    finally:
        send_signal(victim, signal.SIGCONT)
    postern.retired[0].wait()


def test_listeners_come_and_go_with_an_upgrade(postern, server):
    stays = postern.serve(server.server)
    goes = postern.add_listener("goes", backend="test")
    postern.start()
    context = postern.authority.context()
    with Hammer(stays, context) as hammer:
        del postern.config["listeners"]["goes"]
        comes = postern.add_listener("comes", backend="test")
        postern.upgrade()
        greeted(comes, context).close()
        wait_for(lambda: refused(goes), "the address that is gone to refuse")
        hammer.wait_for_more(20)
        assert not hammer.failures


def refused(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
        return False
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        return False


def test_reload_works_after_an_upgrade_and_the_other_way_round(postern, server):
    port = postern.serve(server.server)
    postern.start()
    context = postern.authority.context()
    with Hammer(port, context) as hammer:
        for _ in range(3):
            postern.reload()
            postern.upgrade()
            postern.reload()
            hammer.wait_for_more(10)
        assert not hammer.failures
    assert postern.status()["generation"] == 2


@pytest.mark.parametrize("how", ["stop", "SIGTERM to the old one", "SIGKILL of the new one"])
def test_old_connections_end_with_goodbye_when_their_time_is_over(postern, server, how):
    port = postern.serve(server.server, "imap")
    postern.config["timeouts"]["drain"] = "1s"
    postern.start()
    with greeted(port, postern.authority.context()) as client:
        postern.upgrade()
        old = postern.retired[0]
        assert lives(client), "an upgrade alone ends nobody"
        if how == "stop":
            assert postern.command("stop").status == 0
        elif how == "SIGTERM to the old one":
            send_signal(old.pid, signal.SIGTERM)
        else:
            workers = postern.worker_pids()
            send_signal(postern.process.pid, signal.SIGKILL)
        assert read_to_end(client).startswith(b"* BYE ")
    assert old.wait() == 0
    if how == "stop":
        postern.process.wait()
    elif how == "SIGTERM to the old one":
        greeted(port, postern.authority.context()).close()
    else:
        for pid in workers:
            wait_for(lambda pid=pid: not alive(pid), "the orphaned workers to end")


def test_workers_of_a_retired_master_that_is_killed_end_with_their_connections(postern, server):
    port = postern.serve(server.server)
    postern.start()
    workers = postern.worker_pids()
    with greeted(port, postern.authority.context()) as client:
        postern.upgrade()
        assert postern.retired[0].pid in retired(postern)
        send_signal(postern.retired[0].pid, signal.SIGKILL)
        wait_for(lambda: not retired(postern), "its successor to know")
        postern.wait_for_lines("master is gone")
        assert lives(client)
    for pid in workers:
        wait_for(lambda pid=pid: not alive(pid), "the orphaned workers to end")
    greeted(port, postern.authority.context()).close()


def test_who_comes_as_the_old_one_retires_waits_for_nobody(postern, server):
    """An arrival wakes one of the processes that accept from a queue; it must not be lost with one that gives up."""
    port = postern.serve(server.server)
    postern.start()
    context = postern.authority.context()
    with concurrent.futures.ThreadPoolExecutor() as beside:
        for _ in range(scale(10, 4)):
            upgrade = beside.submit(postern.upgrade)
            # One at a time, so that no later arrival wakes anybody for an earlier one.
            while not upgrade.done():
                greeted(port, context).close()
            upgrade.result()
            greeted(port, context).close()


def test_stop_now_ends_retired_ones_too(postern, server):
    port = postern.serve(server.server)
    postern.start()
    with greeted(port, postern.authority.context()):
        postern.upgrade()
        with greeted(port, postern.authority.context()):
            postern.upgrade()
            assert len(retired(postern)) == 2
            assert postern.command("stop", "--now").status == 0
            postern.process.wait()
            assert [old.wait() for old in postern.retired[:1]] == [0]
            postern.retired[1].wait()


def test_old_master_killed_as_the_new_one_starts_is_succeeded_all_the_same(postern, server, link):
    """The new program waits with its start until the old one is gone; what was sent waits in the channel."""
    port = postern.serve(server.server)
    postern.start()
    old = postern.process
    # Whether the process is there, as the kernel has it: a zombie is gone.
    put(link, f'#!/bin/sh\nwhile [ -e /proc/{old.pid}/exe ]; do sleep 0.05; done\nexec {program()} "$@"\n')
    postern.send(signal.SIGUSR2)
    successor = wait_for(lambda: postern.status()["successor"], "the upgrade to begin")
    old.popen.kill()
    old.popen.wait()
    postern.adopt()
    assert postern.process.pid == successor
    greeted(port, postern.authority.context()).close()
    assert postern.status()["pid"] == successor
    assert postern.stop() is None and not postern.pid_file.exists()


def test_log_is_opened_again_by_retired_ones_too(postern, server):
    log = postern.directory / "p.log"
    postern.config["log"]["destination"] = str(log)
    port = postern.serve(server.server)
    postern.start()
    client = greeted(port, postern.authority.context())
    address = client.getsockname()[1]
    postern.upgrade()
    log.rename(log.with_suffix(".old"))
    postern.send(signal.SIGUSR1)
    wait_for(log.exists, "the new file")
    wait_for(lambda: log.read_text().count('event="log reopened"') == 2, "both masters to say so")
    client.close()
    wait_for(lambda: f"127.0.0.1:{address}" in log.read_text(), "the old connection's line in the new file")
    postern.retired[0].wait()


def test_second_postern_is_kept_out_after_an_upgrade_too(postern, server):
    postern.serve(server.server)
    postern.start()
    postern.upgrade()
    second = subprocess.run([program(), "run", "-c", postern.path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, timeout=60)
    assert second.returncode == 1
    assert f"process {postern.process.pid} holds it" in second.stdout
