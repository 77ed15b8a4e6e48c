"""The command line, without a running Postern: check (row E1), cert self-signed (row B1), and what bad
commands get. reload, stop and status of one that runs are in test_reload.py and test_supervision.py.
"""

import os
import pathlib
import re
import stat
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("POSTERN", TOP / "build/src/cli/postern")).resolve()

LEAST = """\
[listeners.imaps]
address = "127.0.0.1"
port = 9993
service = "imap"
backend = "dovecot"
[backends.dovecot]
servers = ["127.0.0.1:1143"]
"""


class Answer:
    def __init__(self, words, **options):
        run = subprocess.run([PROGRAM, *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, timeout=120, text=True, check=False, **options)
        self.status, self.out, self.err = run.returncode, run.stdout, run.stderr


def postern(*words, **options):
    return Answer(words, **options)


def write(directory, text, name="postern.toml"):
    path = directory / name
    path.write_text(text)
    return path


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=60)


def self_signed(directory, name, days=30):
    """A certificate and a key of its own as files in `directory`."""
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", days,
            "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
            "-keyout", directory / f"{name}.key", "-out", directory / f"{name}.crt")


# --- check -------------------------------------------------------------------------------------

def test_example_passes_with_nothing_but_the_tree(tmp_path):
    answer = postern("check", "-c", TOP / "conf/postern.toml", env={**os.environ, "TMPDIR": str(tmp_path)})
    assert (answer.status, answer.err) == (0, "")
    assert "no faults" in answer.out
    for part in ("imaps", "*:993", "pop3s", "*:995", "submissions", "*:465", "127.0.0.1:143"):
        assert part in answer.out
    assert list(tmp_path.iterdir()) == []  # nothing is left of the trial


def test_fresh_install_is_told_of_the_pair_that_a_start_makes(tmp_path):
    path = write(tmp_path, LEAST + '[certificates]\ndirectory = "certs"\n')
    answer = postern("check", "-c", path)
    assert answer.status == 0
    assert f"a start makes a self-signed pair, {tmp_path}/certs/default.crt" in answer.out
    assert not (tmp_path / "certs").exists()


def test_every_fault_is_shown_with_place_and_remedy(tmp_path):
    path = write(tmp_path, LEAST.replace("address", "adress").replace('"imap"', '"imapp"') + "[lmits]\n")
    answer = postern("check", "-c", path)
    assert answer.status == 1
    assert answer.out == ""
    lines = answer.err.splitlines()
    assert [line.split(": ")[0] for line in lines[:-1]] == [
        f"{path}:{place}" for place in ("1:1", "2:1", "4:11", "8:2")]
    assert lines[1] == f'{path}:2:1: unknown key "adress" in [listeners.imaps]; did you mean "address"?'
    assert lines[-1].startswith("postern: 4 faults in ")


def test_certificate_faults_name_the_line_of_the_pair(tmp_path):
    self_signed(tmp_path, "one.example")
    self_signed(tmp_path, "two.example")
    pairs = (
        '[[certificates.pair]]\ncertificate = "one.example.crt"\nkey = "two.example.key"\n'
        '[[certificates.pair]]\ncertificate = "missing.crt"\nkey = "one.example.key"\n'
    )
    path = write(tmp_path, LEAST + pairs)
    answer = postern("check", "-c", path)
    assert answer.status == 1
    lines = answer.err.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"{path}:8:1: ")
    assert lines[1].startswith(f"{path}:11:1: ") and f"{tmp_path}/missing.crt" in lines[1]


def test_expired_certificate_is_a_warning(tmp_path):
    certs = tmp_path / "certs"
    certs.mkdir(mode=0o700)
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=old.example",
            "-keyout", certs / "default.key", "-out", tmp_path / "old.csr")
    # Only `ca` makes a certificate of the past, and only with a database.
    write(tmp_path, "", "index.txt")
    settings = write(tmp_path, f"[ca]\ndefault_ca = own\n[own]\ndatabase = {tmp_path}/index.txt\n"
                     f"new_certs_dir = {tmp_path}\nrand_serial = yes\ndefault_md = sha256\npolicy = any\n"
                     "[any]\ncommonName = supplied\n", "ca.cnf")
    openssl("ca", "-config", settings, "-batch", "-selfsign", "-keyfile", certs / "default.key", "-notext",
            "-in", tmp_path / "old.csr", "-out", certs / "default.crt",
            "-startdate", "20200101000000Z", "-enddate", "20200131000000Z")
    path = write(tmp_path, LEAST + '[certificates]\ndirectory = "certs"\n')
    answer = postern("check", "-c", path)
    assert answer.status == 0
    assert "warning: " in answer.err and "expired" in answer.err
    assert "expired on 2020-01-31, " in answer.out


def test_summary_shows_names_and_days_left(tmp_path):
    self_signed(tmp_path, "mail.example", days=30)
    path = write(tmp_path, LEAST + '[[certificates.pair]]\ncertificate = "mail.example.crt"\n'
                 'key = "mail.example.key"\n')
    answer = postern("check", "-c", path)
    assert (answer.status, answer.err) == (0, "")
    assert "mail.example (default): mail.example; EC P-256; until " in answer.out
    assert re.search(", (29|30) days left$", answer.out, re.MULTILINE)
    assert postern("check", "-q", "-c", path).out == ""


def test_user_that_is_not_there_is_a_fault(tmp_path):
    path = write(tmp_path, LEAST + '[process]\nuser = "no-such-user"\n')
    answer = postern("check", "-c", path)
    assert answer.status == 1
    assert f'{path}:8:1: there is no user "no-such-user"' in answer.err


def test_file_that_cannot_be_read(tmp_path):
    answer = postern("check", "-c", tmp_path / "none.toml")
    assert answer.status == 1
    assert f"cannot open {tmp_path}/none.toml" in answer.err and "-c FILE" in answer.err


# --- cert self-signed --------------------------------------------------------------------------

def certificate_text(path):
    return subprocess.run(["openssl", "x509", "-in", path, "-noout", "-text"], check=True, timeout=60,
                          stdout=subprocess.PIPE, text=True).stdout


def test_self_signed_pair_is_installed_and_the_one_before_kept(tmp_path):
    certs = tmp_path / "certs"
    first = postern("cert", "self-signed", "mail.example", "192.0.2.1", "--directory", certs)
    assert (first.status, first.err) == (0, "")
    assert f"wrote {certs}/default.crt" in first.out and "postern reload" in first.out
    assert "previous" not in first.out
    assert stat.S_IMODE((certs / "default.key").stat().st_mode) == 0o600
    text = certificate_text(certs / "default.crt")
    assert "DNS:mail.example" in text and "IP Address:192.0.2.1" in text
    before = (certs / "default.crt").read_bytes(), (certs / "default.key").read_bytes()

    second = postern("cert", "self-signed", "--directory", certs)
    assert second.status == 0
    assert f"{certs}/default.crt.previous" in second.out and f"{certs}/default.key.previous" in second.out
    assert ((certs / "default.crt.previous").read_bytes(), (certs / "default.key.previous").read_bytes()) == before
    assert "DNS:localhost" in certificate_text(certs / "default.crt")


def test_self_signed_goes_where_the_configuration_looks(tmp_path):
    path = write(tmp_path, LEAST + '[certificates]\ndirectory = "certs"\n')
    assert postern("cert", "self-signed", "-c", path).status == 0
    answer = postern("check", "-c", path)
    assert answer.status == 0
    assert "default (default): " in answer.out


def test_self_signed_with_a_faulty_configuration_says_what_to_do(tmp_path):
    path = write(tmp_path, "nonsense\n")
    answer = postern("cert", "self-signed", "-c", path)
    assert answer.status == 1
    assert f"{path}:1:" in answer.err and "--directory DIR" in answer.err


# --- what is not understood, and nobody to ask -------------------------------------------------

@pytest.mark.parametrize("words, complaint", [
    ((), "no command given; see `postern --help`"),
    (("chek",), 'unknown command "chek"; did you mean "check"? See `postern --help`'),
    (("check", "--confg", "x"), 'unknown option "--confg"; did you mean "--config"? See `postern check --help`'),
    (("check", "x"), 'unknown argument "x"; see `postern check --help`'),
    (("stop", "--nwo"), 'unknown option "--nwo"; did you mean "--now"? See `postern stop --help`'),
    (("cert",), "no command given; see `postern cert --help`"),
    (("cert", "show"), "FILE|NAME is missing; see `postern cert show --help`"),
    (("cert", "import"), "FILE is missing; see `postern cert import --help`"),
    (("cert", "selfsigned"), 'unknown command "selfsigned"; did you mean "self-signed"? See `postern cert --help`'),
])
def test_what_is_not_understood_is_explained(words, complaint):
    answer = postern(*words)
    assert (answer.status, answer.out) == (2, "")
    assert answer.err == f"postern: {complaint}\n"


@pytest.mark.parametrize("words", [("status", "-c", "x", "--socket", "y"), ("check", "-c"), ("worker", "--id", "x")])
def test_bad_use_of_options_is_status_2(words):
    answer = postern(*words)
    assert (answer.status, answer.out) == (2, "")
    assert answer.err.startswith("postern: ") and "--help" in answer.err


@pytest.mark.parametrize("command", ["reload", "stop", "status"])
def test_nobody_to_ask(tmp_path, command):
    path = write(tmp_path, LEAST + '[process]\ncontrol_socket = "control.sock"\n')
    answer = postern(command, "-c", path)
    assert (answer.status, answer.out) == (1, "")
    assert f"{tmp_path}/control.sock does not exist" in answer.err and "postern run" in answer.err
    # Something that is no Postern.
    (tmp_path / "control.sock").write_text("")
    answer = postern(command, "--socket", tmp_path / "control.sock")
    assert (answer.status, answer.out) == (1, "")
    assert f"{tmp_path}/control.sock" in answer.err


def test_no_control_socket_is_said(tmp_path):
    path = write(tmp_path, LEAST + '[process]\ncontrol_socket = ""\n')
    answer = postern("stop", "-c", path)
    assert answer.status == 1
    assert "has no control socket" in answer.err


def test_worker_is_no_command_for_people():
    assert "worker" not in postern("--help").out.lower().split()
    answer = postern("worker", "--id", 1)
    assert answer.status == 1
    assert "for the master process only" in answer.err


@pytest.mark.parametrize("words", [(), ("run",), ("check",), ("reload",), ("stop",), ("status",), ("cert",),
                                   ("cert", "self-signed")])
def test_every_command_explains_itself(words):
    answer = postern(*words, "--help")
    assert (answer.status, answer.err) == (0, "")
    assert "Usage: " in answer.out
    if words not in ((), ("cert",)):
        assert "Exit status" in answer.out


def test_version_names_the_libraries():
    answer = postern("--version")
    assert answer.status == 0
    lines = answer.out.splitlines()
    assert [line.split()[0] for line in lines] == ["postern", "OpenSSL", "liburing"]
