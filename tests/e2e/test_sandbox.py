"""What the processes may still do, as the kernel shows it, and `postern check --sandbox`.

Shows row E8: workers with a user of their own, no capabilities, no new privileges, an empty root directory, a list of
system calls, a ring with a list of operations, and no way to the keys; a master with the capabilities that
docs/sandbox.md lists and no more.
"""

import os
import pathlib
import re
import signal
import socket
import stat
import subprocess

import pytest

from support import TOP
from support.backends import LineServer
from support.postern import program
from support.process import alive
from support.sanitizers import SANITIZED
from support.tls import connect, read_exactly
from support.waiting import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="dropping privileges takes root")

needs_whole_sandbox = pytest.mark.skipif(SANITIZED, reason="sanitizers need files and processes")

# Of linux/capability.h.
CAPABILITIES = ("chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable "
                "net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot").split()
GREETING = b"* OK server\r\n"


def status_of(pid):
    """/proc/PID/status as a dict."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, value in (line.split(":", 1) for line in lines)}


def capabilities(pid, which):
    mask = int(status_of(pid)[which], 16)
    assert mask >> len(CAPABILITIES) == 0, hex(mask)
    return {name for number, name in enumerate(CAPABILITIES) if mask >> number & 1}


def documented_capabilities():
    text = (TOP / "docs/sandbox.md").read_text().split("## The master", 1)[1].split("\n## ", 1)[0]
    return {name.lower() for name in re.findall(r"^\| `CAP_(\w+)` \|", text, re.M)}


@pytest.fixture
def serving(postern):
    with LineServer() as server:
        port = postern.serve(server.server)
        postern.start()
        yield postern, port


def serves(postern, port):
    with connect(port, postern.authority.context()) as client:
        return read_exactly(client, len(GREETING)) == GREETING


def test_workers_have_a_user_and_nothing_else(serving):
    postern, port = serving
    assert serves(postern, port)
    for worker in postern.worker_pids():
        status = status_of(worker)
        for key in ("Uid", "Gid"):
            numbers = set(status[key].split())
            assert len(numbers) == 1 and numbers != {"0"}, status[key]
        assert status["Groups"] == ""
        for which in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[which], 16) == 0, (which, status[which])
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"
        assert status["Seccomp_filters"] == "1"
        # No core dumps, and no debugger of the same user: what it has in /proc is root's.
        assert os.stat(f"/proc/{worker}/fd").st_uid == 0


@needs_whole_sandbox
def test_workers_live_in_an_empty_root_directory(serving):
    postern, _ = serving
    for worker in postern.worker_pids():
        assert os.readlink(f"/proc/{worker}/root") != "/"
        for inside in ("", "/etc", "/proc", "/made"):
            with pytest.raises(OSError):
                os.stat(f"/proc/{worker}/root{inside}/.")
        with pytest.raises(OSError):
            os.listdir(f"/proc/{worker}/root")
        with pytest.raises(OSError):
            pathlib.Path(f"/proc/{worker}/root/made").write_text("x")
        with pytest.raises(OSError):
            os.listdir(f"/proc/{worker}/cwd")


def test_keys_are_in_no_file_that_a_worker_can_open(serving, pair):
    postern, _ = serving
    key = pathlib.Path(pair.key)
    for worker in postern.worker_pids():
        status = status_of(worker)
        # In no descriptor: what it holds are sockets, the ring, the log, memory without a name, and the kernel's
        # files on how much memory is left.
        for entry in pathlib.Path(f"/proc/{worker}/fd").iterdir():
            target = os.readlink(entry)
            assert target.startswith(("socket:", "anon_inode:", "/memfd:", "pipe:")) or target in (
                "/dev/null", "/proc/meminfo", str(postern.log)) or target.startswith("/sys/fs/cgroup/"), target
        # Nor in a file that its user may read, whatever its root directory.
        uid, gid = int(status["Uid"].split()[0]), int(status["Gid"].split()[0])
        refused = subprocess.run(["/usr/bin/setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "cat", key],
                                 capture_output=True)
        assert refused.returncode != 0 and b"Permission denied" in refused.stderr, refused
        # Nor by the memory of one that serves: not even its own user may look.
        refused = subprocess.run(["/usr/bin/setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups",
                                  "head", "-c1", f"/proc/{worker}/mem"], capture_output=True)
        assert refused.returncode != 0, refused
    assert stat.S_IMODE(key.stat().st_mode) & 0o077 == 0


def test_the_master_keeps_the_documented_capabilities_and_no_more(serving):
    postern, _ = serving
    documented = documented_capabilities()
    assert documented
    for which in ("CapPrm", "CapEff", "CapBnd"):
        assert capabilities(postern.process.pid, which) == documented, which
    for which in ("CapInh", "CapAmb"):
        assert capabilities(postern.process.pid, which) <= documented, which


def test_all_that_the_master_does_later_it_can_still_do(postern, directory):
    """With the capabilities that are left: read what belongs to others, bind, signal, replace workers, open logs."""
    with LineServer() as server:
        port = postern.serve(server.server)
        # A key that its owner alone may read, in a directory that its owner alone may enter.
        private = directory / "private"
        private.mkdir(mode=0o700)
        pair = postern.config["certificates"]["pair"][0]
        for key in ("certificate", "key"):
            copy = private / key
            copy.write_bytes(pathlib.Path(pair[key]).read_bytes())
            copy.chmod(0o600)
            os.chown(copy, 12345, 12345)
            pair[key] = copy
        os.chown(private, 12345, 12345)
        postern.start()
        assert serves(postern, port)
        low = next(number for number in range(1023, 600, -1) if free(number))
        postern.add_listener("low", backend="test", port=low)
        postern.reload()
        assert serves(postern, low)
        victim = postern.worker_pids()[0]
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: not alive(victim), "the worker to be gone")
        wait_for(lambda: len(postern.worker_pids()) == 2 and postern._serves(), "its successor")
        assert serves(postern, port)
        for worker in postern.worker_pids():
            assert status_of(worker)["Seccomp"] == "2"
        assert postern.stop() == 0
        assert not postern.pid_file.exists()


def free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def test_the_signal_of_the_filter_is_explained_in_the_log(serving):
    """That a forbidden call ends in this signal is shown by check --sandbox."""
    postern, port = serving
    os.kill(postern.worker_pids()[0], signal.SIGSYS)
    line = postern.wait_for_lines("worker died")[0]
    assert "SIGSYS" in line["how"] and "sandbox" in line["how"], line
    wait_for(lambda: postern._serves(), "its successor")
    assert serves(postern, port)


def test_servers_behind_unix_sockets_are_reached(postern, directory):
    """Their paths lead somewhere, so the root directory stays; files are out of reach all the same."""
    path = directory / "server.sock"
    with LineServer(path=path) as server:
        port = postern.serve(server.server)
        postern.start()
        assert serves(postern, port)
        for worker in postern.worker_pids():
            assert os.readlink(f"/proc/{worker}/root") == "/"
            assert status_of(worker)["Seccomp"] == "2"
        if not SANITIZED:
            assert "has to lead somewhere" in postern.lines("workers keep the root directory")[0]["reason"]


@needs_whole_sandbox
def test_a_server_behind_a_unix_socket_cannot_come_by_a_reload(serving, directory):
    postern, port = serving
    postern.config["backends"]["test"]["servers"] = [f"unix:{directory}/server.sock"]
    postern.write()
    answer = postern.command("reload")
    assert answer.status == 1 and "empty root directory" in answer.text and "restart" in answer.text, answer
    assert serves(postern, port)  # as before


def test_check_sandbox_shows_what_holds(postern):
    with LineServer() as server:
        postern.serve(server.server)
        postern.write()
    answer = postern.command("check", "--sandbox")
    if SANITIZED:
        assert answer.status == 1 and "sanitizers" in answer.text, answer
        return
    assert answer.status == 0, answer
    assert "NOT STOPPED" not in answer.text and re.search(r"\bNO\b", answer.text) is None, answer
    for measure in ("a user of their own", "no capabilities", "no new privileges", "no core dumps",
                    "an empty root directory", "files out of reach (Landlock)", "system calls by a list (seccomp)"):
        assert re.search(rf"^  {re.escape(measure)} +yes", answer.text, re.M), (measure, answer)
    for what, outcome in (("open a file", "killed"), ("open a file through the ring", "refused: Permission denied"),
                          ("start a program", "killed"), ("make another ring", "killed"),
                          ("make memory executable", "killed"), ("send a signal", "killed"), ("listen on a port", "refused")):
        assert re.search(rf"^  {what} +{outcome}", answer.text, re.M), (what, answer)
    kept = answer.text.split("The master keeps the capabilities ", 1)[1].split()
    assert set(kept) == documented_capabilities()


def test_check_sandbox_shows_what_does_not_hold(postern):
    with LineServer() as server:
        postern.serve(server.server)
        postern.config["process"]["sandbox"] = "off"
        postern.write()
    answer = postern.command("check", "--sandbox")
    assert answer.status == 1, answer
    assert re.search(r"^  system calls by a list \(seccomp\) +NO: ", answer.text, re.M), answer
    assert re.search(r"^  open a file +NOT STOPPED: it worked", answer.text, re.M), answer
    assert re.search(r"^  no capabilities +yes", answer.text, re.M), answer  # that has no switch


def test_check_sandbox_without_root(postern):
    """What can be had without root is had, and of the rest it is said how to get it."""
    with LineServer() as server:
        postern.serve(server.server)
        postern.write()
    postern.path.chmod(0o644)
    done = subprocess.run(["/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program(), "check",
                           "--sandbox", "-c", postern.path], capture_output=True, text=True)
    assert done.returncode == 1, done
    assert re.search(r"^  a user of their own +NO: .*start it as root", done.stdout, re.M), done
    if not SANITIZED:
        assert re.search(r"^  an empty root directory +NO: .*start as root", done.stdout, re.M), done
        assert re.search(r"^  system calls by a list \(seccomp\) +yes", done.stdout, re.M), done
        assert "NOT STOPPED" not in done.stdout, done


def test_without_root_workers_have_what_can_be_had(postern):
    nobody = 65534
    with LineServer() as server:
        port = postern.serve(server.server)
        pair = postern.config["certificates"]["pair"][0]
        for key in ("certificate", "key"):
            copy = postern.directory / key
            copy.write_bytes(pathlib.Path(pair[key]).read_bytes())
            copy.chmod(0o600)
            os.chown(copy, nobody, nobody)
            pair[key] = copy
        postern.write()
        postern.path.chmod(0o644)
        os.chown(postern.directory, nobody, nobody)
        postern.wrapper = ["setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups"]
        postern.start()
        assert serves(postern, port)
        for worker in postern.worker_pids():
            status = status_of(worker)
            assert set(status["Uid"].split()) == {str(nobody)}
            assert int(status["CapPrm"], 16) == int(status["CapEff"], 16) == int(status["CapAmb"], 16) == 0
            assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
            assert os.stat(f"/proc/{worker}/fd").st_uid == 0
        # Servers behind UNIX sockets may come and go here: no root directory was changed.
        with LineServer(path=postern.directory / "server.sock") as other:
            postern.config["backends"]["test"]["servers"] = [other.server]
            postern.reload()
            assert serves(postern, port)


@pytest.mark.parametrize("mode", ["log", "off"])
def test_modes(postern, mode):
    with LineServer() as server:
        port = postern.serve(server.server)
        postern.config["process"]["sandbox"] = mode
        postern.start()
        assert serves(postern, port)
        for worker in postern.worker_pids():
            status = status_of(worker)
            assert status["Seccomp"] == ("0" if mode == "off" else "2")
            assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
            assert status["NoNewPrivs"] == "1"
            if mode == "off":
                assert os.readlink(f"/proc/{worker}/root") == "/"
        postern.config["process"]["sandbox"] = "on"
        answer = postern.reload()
        assert "sandbox was changed" in answer.text and f'keeps "{mode}"' in answer.text, answer


def test_the_documented_list_of_calls_is_the_one_in_force():
    source = (TOP / "src/worker/system_calls.cc").read_text()
    tables = dict(re.findall(r"constexpr std::array (k\w+) = std::to_array<std::string_view>\(\{(.*?)\}\);", source, re.S))
    allowed = set(re.findall(r'"(\w+)"', tables["kAllowed"]))
    filtered = {"mmap", "mprotect", "socket", "fcntl", "io_uring_register", "prctl", "tgkill"}
    assert allowed and all(f'"{name}"' in source for name in filtered)
    text = (TOP / "docs/sandbox.md").read_text().split("### Allowed", 1)[1].split("\n### ", 1)[0]
    documented = set()
    for row in re.findall(r"^\| (`.*?) \|", text, re.M):
        documented |= set(re.findall(r"`(\w+)`", row))
    assert documented == allowed | filtered


def test_the_documented_operations_of_the_ring_are_those_in_force():
    source = (TOP / "src/ring/restrictions.cc").read_text()
    allowed = set(re.findall(r"^    IORING_OP_(\w+),", source, re.M))
    if "kOpFixedFdInstall" in source:
        allowed.add("FIXED_FD_INSTALL")
    text = (TOP / "docs/sandbox.md").read_text().split("\n## The ring", 1)[1].split("\n## ", 1)[0]
    documented = set()
    for row in re.findall(r"^\| (`.*?) \|", text, re.M):
        documented |= set(re.findall(r"`(\w+)`", row))
    assert len(allowed) > 5 and documented == allowed
