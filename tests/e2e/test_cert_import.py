"""postern cert import and revert (rows B4 and B5): what openssl writes, in each of its forms, and every fault."""

import os
import stat
import subprocess

import pytest

from support.backends import LineServer
from support.command import run
from support.postern import program
from support.terminal import Terminal
from support.tls import openssl

EC = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")


class Issued:
    """A root, an intermediate below it, and a leaf below that, as files."""

    def __init__(self, path):
        self.path = path
        self.root, self.inter = path / "root.crt", path / "inter.crt"
        openssl("req", "-x509", "-newkey", *EC, "-nodes", "-days", 90, "-subj", "/CN=Root",
                "-addext", "keyUsage=critical,keyCertSign", "-keyout", path / "root.key", "-out", self.root)
        self.sign("inter", "Inter", self.root, path / "root.key",
                  "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n")
        self.leaf, self.key = self.make("mail")

    def sign(self, name, common_name, ca, ca_key, extensions, key=EC, days=60, digest="-sha256"):
        request, settings = self.path / f"{name}.csr", self.path / f"{name}.ext"
        settings.write_text(extensions)
        certificate, key_file = self.path / f"{name}.crt", self.path / f"{name}.key"
        openssl("req", "-newkey", *key, "-nodes", "-subj", f"/CN={common_name}", "-keyout", key_file, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", digest,
                "-days", days, "-extfile", settings, "-out", certificate)
        return certificate, key_file

    def make(self, name, host="mail.example.test", url="http://ca.example/inter.crt", **options):
        extensions = f"subjectAltName=DNS:{host}\nauthorityInfoAccess=caIssuers;URI:{url}\n"
        return self.sign(name, host, self.inter, self.path / "inter.key", extensions, **options)


@pytest.fixture(scope="module")
def issued(tmp_path_factory):
    return Issued(tmp_path_factory.mktemp("issued"))


@pytest.fixture
def certs(tmp_path):
    return tmp_path / "certs"


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_text("pass word\n")
    path.chmod(0o600)
    return path


def bundle(path, *files):
    path.write_bytes(b"".join(file.read_bytes() for file in files))
    return path


def subjects(path):
    text = openssl("crl2pkcs7", "-nocrl", "-certfile", path)
    listed = subprocess.run(["openssl", "pkcs7", "-print_certs", "-noout"], input=text, stdout=subprocess.PIPE,
                            check=True, timeout=60).stdout.decode()
    # "CN = Inter" or "CN=Inter", as the version has it.
    return [line.split("=", 1)[1].replace(" = ", "=").strip() for line in listed.splitlines()
            if line.startswith("subject")]


def assert_imported(certs, key, chain=("CN=mail.example.test", "CN=Inter"), name="mail.example.test"):
    assert subjects(certs / f"{name}.crt") == list(chain)
    assert openssl("pkey", "-in", certs / f"{name}.key", "-pubout") == openssl("pkey", "-in", key, "-pubout")
    assert stat.S_IMODE((certs / f"{name}.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(certs.stat().st_mode) == 0o700


def forms(issued, path):
    """Each form with the files that it takes."""
    key, leaf, inter, root = issued.key, issued.leaf, issued.inter, issued.root
    secret = "pass:pass word"
    files = {
        "PEM, a file each": [leaf, inter, key],
        "PEM combined, in the wrong order": [bundle(path / "a.pem", root, inter, key, leaf)],
        "DER": [path / "leaf.der", path / "inter.der", path / "key.der"],
        "PKCS#7 in PEM and a key": [path / "bag.p7b", key],
        "PKCS#7 in DER and a key": [path / "bag.p7c", key],
        "PKCS#12": [path / "all.p12"],
        "PKCS#12 with RC2 and 3DES": [path / "old.p12"],
        "PKCS#8 encrypted": [leaf, inter, path / "sealed.key"],
        "PKCS#8 encrypted in DER": [leaf, inter, path / "sealed.der"],
        "Proc-Type: 4,ENCRYPTED": [leaf, inter, path / "old.key"],
    }
    for name, certificate in (("leaf", leaf), ("inter", inter)):
        openssl("x509", "-in", certificate, "-outform", "DER", "-out", path / f"{name}.der")
    openssl("pkey", "-in", key, "-outform", "DER", "-out", path / "key.der")
    for name, form in (("bag.p7b", "PEM"), ("bag.p7c", "DER")):
        openssl("crl2pkcs7", "-nocrl", "-certfile", inter, "-certfile", leaf, "-outform", form, "-out", path / name)
    export = ["pkcs12", "-export", "-inkey", key, "-in", leaf, "-certfile", inter, "-passout", secret]
    openssl(*export, "-out", path / "all.p12")
    openssl(*export, "-legacy", "-certpbe", "PBE-SHA1-RC2-40", "-keypbe", "PBE-SHA1-3DES", "-out", path / "old.p12")
    for name, form in (("sealed.key", "PEM"), ("sealed.der", "DER")):
        openssl("pkcs8", "-topk8", "-in", key, "-passout", secret, "-outform", form, "-out", path / name)
    openssl("ec", "-in", key, "-aes128", "-passout", secret, "-out", path / "old.key")
    assert b"Proc-Type: 4,ENCRYPTED" in (path / "old.key").read_bytes()
    return files


def test_every_form_is_imported(issued, tmp_path, secret):
    for number, (form, files) in enumerate(forms(issued, tmp_path).items()):
        certs = tmp_path / f"certs{number}"
        answer = run("cert", "import", *files, "--directory", certs, "--yes", "--passphrase", f"file:{secret}")
        assert answer.status == 0, (form, answer)
        assert "imported as mail.example.test" in answer.out
        assert_imported(certs, issued.key)
        assert b"ENCRYPTED" not in (certs / "mail.example.test.key").read_bytes()


def test_rsa_key_of_the_old_encrypted_form(issued, certs, tmp_path, secret):
    leaf, key = issued.make("rsa", key=("rsa:2048",))
    openssl("rsa", "-in", key, "-aes128", "-traditional", "-passout", "pass:pass word", "-out", tmp_path / "old.key")
    answer = run("cert", "import", tmp_path / "old.key", leaf, issued.inter, "--directory", certs, "-y",
                 "--passphrase", f"file:{secret}")
    assert answer.status == 0, answer
    assert_imported(certs, key)


def test_what_the_library_lacks_is_said(issued, certs, tmp_path, secret):
    files = forms(issued, tmp_path)["PKCS#12 with RC2 and 3DES"]
    answer = run("cert", "import", *files, "--directory", certs, "--yes", "--passphrase", f"file:{secret}",
                 env={**os.environ, "OPENSSL_MODULES": str(tmp_path)})
    assert answer.status == 1
    assert "OpenSSL 3." in answer.err and "RC2" in answer.err and "AES-256" in answer.err
    assert not certs.exists()


def test_request_key_and_answer_find_each_other(issued, certs, tmp_path):
    made = run("cert", "csr", "mail.example.test", "--directory", certs, "--organization", "Example")
    assert made.status == 0, made
    assert "BEGIN CERTIFICATE REQUEST" in made.out
    assert "waits    for its certificate" in run("cert", "list", "--directory", certs).out

    def answer_of_the_authority(name):
        settings = tmp_path / f"{name}.ext"
        settings.write_text("subjectAltName=DNS:mail.example.test\n")
        openssl("x509", "-req", "-in", certs / "mail.example.test.csr", "-CA", issued.inter, "-CAkey",
                issued.path / "inter.key", "-CAcreateserial", "-days", 60, "-extfile", settings,
                "-out", tmp_path / name)
        return tmp_path / name

    first = answer_of_the_authority("first.crt")
    answer = run("cert", "import", first, issued.inter, issued.root, "--directory", certs, "--yes")
    assert answer.status == 0, answer
    assert (answer.err, "the root CN=Root" in answer.out) == ("", True)
    old_key = (certs / "mail.example.test.key").read_bytes()

    # A new key beside the one that serves, which stays until its certificate is there; the
    # intermediate is known from before.
    assert run("cert", "csr", "mail.example.test", "--directory", certs, "--key", "ed25519").status == 0
    assert (certs / "mail.example.test.key").read_bytes() == old_key
    again = run("cert", "csr", "mail.example.test", "--directory", certs)
    assert again.status == 1 and "waits for its certificate" in again.err
    second = answer_of_the_authority("second.crt")
    answer = run("cert", "import", second, "--directory", certs, "--yes")
    assert answer.status == 0, answer
    assert "ED25519, from" in answer.out and "the intermediate CN=Inter is taken from" in answer.out
    assert not (certs / "mail.example.test.key.new").exists()
    assert (certs / "mail.example.test.key.previous").read_bytes() == old_key
    assert subjects(certs / "mail.example.test.crt")[1:] == ["CN=Inter"]


def test_dry_run_and_no_terminal_change_nothing(issued, certs):
    files = [issued.leaf, issued.inter, issued.key]
    answer = run("cert", "import", *files, "--directory", certs, "--dry-run")
    assert answer.status == 0, answer
    assert f"makes     {certs}/mail.example.test.crt" in answer.out
    assert not certs.exists()
    answer = run("cert", "import", *files, "--directory", certs)
    assert answer.status == 1
    assert "--yes" in answer.err and not certs.exists()


def test_asks_on_a_terminal(issued, certs, tmp_path):
    openssl("pkcs8", "-topk8", "-in", issued.key, "-passout", "pass:pass word", "-out", tmp_path / "sealed.key")
    command = [program(), "cert", "import", issued.leaf, issued.inter, tmp_path / "sealed.key", "--directory", certs]
    with Terminal(command) as terminal:
        terminal.expect("Passphrase of the key in ")
        terminal.type("wrong")
        terminal.expect("Passphrase of the key in ")
        terminal.type("pass word")
        terminal.expect("Import it? [y/N] ")
        terminal.type("n")
        assert terminal.wait() == 1
        assert "nothing was imported" in terminal.text
        assert "pass word" not in terminal.text and not certs.exists()
    with Terminal(command) as terminal:
        terminal.expect("Passphrase of the key in ")
        terminal.press(b"\x03")
        assert terminal.wait() == 1
        assert "not answered" in terminal.text
    with Terminal(command) as terminal:
        terminal.expect("Passphrase of the key in ")
        terminal.type("pass word")
        terminal.expect("Import it? [y/N] ")
        terminal.type("y")
        assert terminal.wait() == 0
    assert_imported(certs, issued.key)


def test_name_and_warnings(issued, certs):
    answer = run("cert", "import", issued.leaf, issued.key, "--name", "new", "--directory", certs, "--yes")
    assert answer.status == 0, answer
    assert "intermediate certificate CN=Inter is missing" in answer.err
    assert "http://ca.example/inter.crt" in answer.err
    assert_imported(certs, issued.key, chain=("CN=mail.example.test",), name="new")
    other, key = issued.make("other", host="other.example.test")
    answer = run("cert", "import", other, key, issued.inter, "--name", "new", "--directory", certs, "--yes")
    assert answer.status == 0, answer
    assert "no longer for mail.example.test" in answer.err
    wildcard, key = issued.make("wildcard", host="*.example.test")
    answer = run("cert", "import", wildcard, key, issued.inter, "--directory", certs, "--yes")
    assert answer.status == 0, answer
    assert (certs / "_.example.test.crt").exists()


def expired(issued, path):
    """Only `openssl ca` makes a certificate of the past."""
    (path / "index.txt").touch()
    (path / "ca.cnf").write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={path}/index.txt\nnew_certs_dir={path}\n"
                                 "rand_serial=yes\nunique_subject=no\ndefault_md=sha256\npolicy=p\nx509_extensions=e\n[p]\n"
                                 "commonName=supplied\n[e]\nsubjectAltName=DNS:mail.example.test\n")

    def make(name, start, end):
        openssl("ca", "-batch", "-notext", "-config", path / "ca.cnf", "-cert", issued.inter, "-keyfile",
                issued.path / "inter.key", "-startdate", start, "-enddate", end, "-in", issued.path / "mail.csr",
                "-out", path / name)
        return path / name

    return make


def test_every_fault_has_its_message_and_replaces_nothing(issued, certs, tmp_path, secret):
    good = run("cert", "import", issued.leaf, issued.inter, issued.key, "--directory", certs, "--yes")
    assert good.status == 0, good
    before = {path.name: path.read_bytes() for path in certs.iterdir()}
    make = expired(issued, tmp_path)
    other_leaf, other_key = issued.make("stranger", host="stranger.example.test")
    weak, weak_key = issued.make("weak", key=("rsa:1024",))
    sha1, sha1_key = issued.make("sha1", digest="-sha1")
    openssl("pkcs8", "-topk8", "-in", issued.key, "-passout", "pass:another", "-out", tmp_path / "sealed.key")
    (tmp_path / "junk").write_text("no certificate\n")
    cut = tmp_path / "cut.pem"
    cut.write_bytes(issued.leaf.read_bytes()[:300])
    for files, words in (
        ([issued.leaf, other_key], ["belongs to no certificate", "fingerprint"]),
        ([other_leaf], ["there is no key for the certificate of CN=stranger.example.test"]),
        ([issued.leaf, tmp_path / "sealed.key"], [f"from file:{secret}, is wrong"]),
        ([make("expired.crt", "20200101000000Z", "20200201000000Z"), issued.key], ["expired at 2020-02-01"]),
        ([make("early.crt", "20480101000000Z", "20490101000000Z"), issued.key], ["is not valid before 2048-01-01"]),
        ([weak, weak_key], ["is only RSA 1024", "RSA 2048"]),
        ([sha1, sha1_key], ["is signed with SHA-1", "SHA-256"]),
        ([issued.leaf, issued.key, other_leaf, other_key], ["several pairs", "one at a time"]),
        ([issued.path / "mail.csr"], ["certificate request"]),
        ([tmp_path / "junk"], ["holds no certificate and no key"]),
        ([cut], ["is damaged"]),
        ([tmp_path / "missing.pem"], ["does not exist"]),
    ):
        answer = run("cert", "import", *files, "--directory", certs, "--yes", "--passphrase", f"file:{secret}")
        assert answer.status == 1, answer
        for word in [*words, "nothing was imported or replaced"]:
            assert word in answer.err, answer
        assert "pass word" not in answer.err + answer.out
        assert {path.name: path.read_bytes() for path in certs.iterdir()} == before


def test_a_pair_of_another_kind_is_told_how_both_can_serve(issued, certs):
    assert run("cert", "import", issued.leaf, issued.inter, issued.key, "--directory", certs, "--yes").status == 0
    rsa, rsa_key = issued.make("rsa-kind", key=("rsa:2048",))
    words = ("cert", "import", rsa, issued.inter, rsa_key, "--directory", certs)
    answer = run(*words, "--dry-run")
    assert "has a key of another kind (EC P-256), and is replaced" in answer.err, answer
    assert "--name mail.example.test-rsa" in answer.err, answer
    both = run(*words, "--yes", "--name", "mail.example.test-rsa")
    assert both.status == 0 and "another kind" not in both.err, both
    assert_imported(certs, issued.key)
    assert_imported(certs, rsa_key, name="mail.example.test-rsa")


def test_a_key_that_waits_is_shown(issued, certs):
    assert run("cert", "import", issued.leaf, issued.inter, issued.key, "--directory", certs, "--yes").status == 0
    assert run("cert", "csr", "mail.example.test", "--directory", certs).status == 0
    shown = run("cert", "show", "mail.example.test", "--directory", certs)
    assert shown.status == 0, shown
    assert f"private key in {certs}/mail.example.test.key.new" in shown.out, shown
    assert "none yet: this key waits for its own" in shown.out and "does not belong" not in shown.err, shown


@pytest.mark.parametrize("words, complaint", [
    (("müller.example",), ["müller.example", "xn-- form"]),
    (("a.example", "--email", "foo"), ['"foo" is no e-mail address']),
])
def test_requests_with_bad_names_make_no_files(certs, words, complaint):
    answer = run("cert", "csr", *words, "--directory", certs)
    assert answer.status == 1
    assert all(word in answer.err for word in complaint), answer
    assert not certs.exists() or not list(certs.iterdir())


def test_passphrase_does_not_go_onto_the_command_line(issued, certs):
    answer = run("cert", "import", issued.leaf, issued.key, "--directory", certs, "--yes", "--passphrase", "pass:geheim")
    assert answer.status == 1
    assert "must not stand here" in answer.err and "geheim" not in answer.err


def test_revert_goes_back_and_forth(issued, certs):
    assert run("cert", "self-signed", "mail.example.test", "--directory", certs).status == 0
    own = (certs / "default.crt").read_bytes()
    nothing = run("cert", "revert", "--directory", certs)
    assert nothing.status == 1 and "no pair before" in nothing.err
    files = [issued.leaf, issued.inter, issued.key, "--name", "default"]
    assert run("cert", "import", *files, "--directory", certs, "--yes").status == 0
    assert_imported(certs, issued.key, name="default")
    assert run("cert", "revert", "--directory", certs).status == 0
    assert (certs / "default.crt").read_bytes() == own
    assert run("cert", "check", "default", "--directory", certs).status == 0
    assert run("cert", "revert", "--directory", certs).status == 0
    assert_imported(certs, issued.key, name="default")
    # The self-made pair comes back without one that was kept, too.
    assert run("cert", "revert", "--self-signed", "--directory", certs).status == 0
    assert "CN=Inter" not in subjects(certs / "default.crt")


def test_directory_that_others_may_look_into_is_refused(issued, certs):
    certs.mkdir(mode=0o755)
    answer = run("cert", "import", issued.leaf, issued.inter, issued.key, "--directory", certs, "--yes")
    assert answer.status == 1
    assert f"chmod 700 {certs}" in answer.err
    assert list(certs.iterdir()) == []


def test_check_of_a_configuration_names_a_missing_intermediate(issued, postern):
    with LineServer() as server:
        postern.serve(server.server)
        postern.config["certificates"]["pair"] = []
        whole = bundle(postern.directory / "whole.crt", issued.leaf, issued.inter)
        for name, certificate in (("short", issued.leaf), ("whole", whole)):
            postern.config["certificates"]["pair"].append(
                {"name": name, "certificate": certificate, "key": issued.key})
        postern.write()
        answer = postern.command("check")
    assert answer.status == 0, answer
    said = [line for line in answer.text.splitlines() if "is missing" in line]
    assert len(said) == 1, answer
    assert str(issued.leaf) in said[0] and "CN=Inter" in said[0] and "http://ca.example/inter.crt" in said[0]
