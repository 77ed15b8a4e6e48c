"""Certificates as they are served: passphrases (row B6), modes (row B2), and an import that comes in the middle
of a reload (rows B4 and B7); and what list, show and check say of them.
"""

import os
import re
import signal
import time

import pytest

from support.backends import LineServer
from support.command import run
from support.postern import program
from support.process import children
from support.terminal import Terminal
from support.tls import common_name, connect, openssl
from support.waiting import wait_for


def sealed(pair, directory, name, passphrase="pass word"):
    """The pair's key, encrypted, as a file of its own."""
    path = directory / f"{name}.key"
    openssl("pkcs8", "-topk8", "-in", pair.key, "-passout", f"pass:{passphrase}", "-out", path)
    path.chmod(0o600)
    return path


def use_sealed(postern, pair, passphrase):
    key = sealed(pair, postern.directory, "sealed")
    postern.config["certificates"]["pair"] = [
        {"name": "localhost", "certificate": pair.certificate, "key": key, "passphrase": passphrase}]


def environ_of(pid):
    with open(f"/proc/{pid}/environ", "rb") as file:
        return file.read()


def serves(postern, port):
    with connect(port, postern.authority.context()) as client:
        return client.recv(100) == b"* OK server\r\n"


@pytest.mark.parametrize("kind", ["file", "env", "credential"])
def test_key_with_a_passphrase_is_served_and_reloaded(postern, pair, kind):
    secret = postern.directory / "secret"
    secret.write_text("pass word\n")
    secret.chmod(0o600)
    source = {"file": "file:secret", "env": "env:KEY_PASSPHRASE", "credential": "credential:secret"}[kind]
    if kind == "env":
        postern.environment = {**os.environ, "KEY_PASSPHRASE": "pass word"}
    if kind == "credential":
        postern.environment = {**os.environ, "CREDENTIALS_DIRECTORY": str(postern.directory)}
    use_sealed(postern, pair, source)
    with LineServer() as server:
        port = postern.serve(server.server)
        postern.start()
        assert serves(postern, port)
        # A renewed key is opened at the reload, too.
        renewed = postern.authority.issue("renewed")
        use_sealed(postern, renewed, source)
        postern.reload()
        with connect(port, postern.authority.context()) as client:
            assert common_name(client) == "renewed"
        for worker in children(postern.process.pid):
            assert b"pass word" not in environ_of(worker)
        assert postern.stop() == 0
    assert "pass word" not in postern.text()


def test_wrong_passphrase_refuses_a_reload_and_changes_nothing(postern, pair):
    secret = postern.directory / "secret"
    secret.write_text("pass word\n")
    secret.chmod(0o600)
    use_sealed(postern, pair, "file:secret")
    with LineServer() as server:
        port = postern.serve(server.server)
        postern.start()
        use_sealed(postern, postern.authority.issue("renewed"), "file:secret")
        secret.write_text("geheim\n")
        answer = postern.command("reload")
        assert answer.status == 1
        assert "is wrong" in answer.text and f"file:{secret}" in answer.text
        secret.chmod(0o644)
        answer = postern.command("reload")
        assert answer.status == 1 and f"chmod 600 {secret}" in answer.text
        assert serves(postern, port)
        assert "geheim" not in postern.text()


def test_passphrase_is_asked_for_at_the_start(postern, pair):
    use_sealed(postern, pair, "ask")
    postern.config["log"]["destination"] = str(postern.log)  # a terminal that nobody reads fills up
    key = postern.config["certificates"]["pair"][0]["key"]
    # What was written just before it was read is read again at a reload (docs/generations.md).
    wait_for(lambda: time.time() - key.stat().st_ctime > 2.5, "the key to be old enough")
    with LineServer() as server:
        port = postern.serve(server.server)
        postern.write()
        with Terminal([program(), "run", "-c", postern.path]) as terminal:
            terminal.expect("Passphrase of the private key in ")
            terminal.type("wrong")
            terminal.expect("Passphrase of the private key in ")
            terminal.type("pass word")
            wait_for(lambda: postern.command("status").status == 0, "Postern to serve")
            assert serves(postern, port)
            # Nobody is asked at a reload; what has not changed need not be asked for.
            answer = postern.command("reload")
            assert answer.status == 0, answer
            use_sealed(postern, postern.authority.issue("renewed"), "ask")
            postern.write()
            answer = postern.command("reload")
            assert answer.status == 1 and "asked for on a terminal, at a start alone" in answer.text
            assert serves(postern, port)
            assert "pass word" not in terminal.text
            terminal.signal(signal.SIGTERM)
            assert terminal.wait() == 0


def test_without_a_terminal_ask_is_a_fault(postern, pair):
    use_sealed(postern, pair, "ask")
    with LineServer() as server:
        postern.serve(server.server)
        postern.run()
        assert postern.process.wait() == 1
        assert "cannot be asked for" in postern.text() and "credential:NAME" in postern.text()


def test_modes_that_are_too_wide_are_faults_with_the_remedy(postern, pair):
    certs = postern.directory / "certs"
    certs.mkdir(mode=0o700)
    for source, name in ((pair.certificate, "default.crt"), (pair.key, "default.key")):
        (certs / name).write_bytes(source.read_bytes())
        (certs / name).chmod(0o600)
    postern.config["certificates"] = {"directory": certs}
    with LineServer() as server:
        port = postern.serve(server.server)
        postern.start()
        for path, mode, narrow in ((certs, 0o750, 0o700), (certs / "default.key", 0o640, 0o600)):
            path.chmod(mode)
            for command in (["check"], ["reload"]):
                answer = postern.command(*command)
                assert answer.status == 1, answer
                assert f"chmod {narrow:o} {path}" in answer.text
            path.chmod(narrow)
            assert postern.command("reload").status == 0
        assert serves(postern, port)


def test_import_that_is_cut_off_or_reloaded_half_way_serves_the_old_pair(postern, pair):
    certs = postern.directory / "certs"
    postern.config["certificates"] = {"directory": certs}
    renewed = postern.authority.issue("renewed")
    imported = run("cert", "import", pair.certificate, pair.key, "--name", "default", "--directory", certs, "--yes")
    assert imported.status == 0, imported
    with LineServer() as server:
        port = postern.serve(server.server)
        postern.start()

        def served():
            with connect(port, postern.authority.context()) as client:
                return common_name(client)

        # As a crash between the two files leaves it (pki/store.h): the new key, the old certificate.
        (certs / "default.key.previous").write_bytes((certs / "default.key").read_bytes())
        (certs / "default.key.previous").chmod(0o600)
        half = certs / "default.key.import"
        half.write_bytes(renewed.key.read_bytes())
        half.chmod(0o600)
        half.rename(certs / "default.key")
        assert postern.command("reload").status == 0
        assert served() == "localhost"
        assert "the pair of before serves" in postern.command("check").text
        # So does a start.
        assert postern.stop() == 0
        postern.start()
        assert served() == "localhost"
        # The next import puts it right, and its revert leads to the pair that served.
        imported = run("cert", "import", renewed.certificate, renewed.key, "--name", "default", "--directory", certs,
                       "--yes")
        assert imported.status == 0, imported
        assert postern.command("reload").status == 0
        assert served() == "renewed"
        assert run("cert", "revert", "--directory", certs).status == 0
        assert postern.command("reload").status == 0
        assert served() == "localhost"


def test_chain_file_beside_the_certificate_is_sent(postern, directory, pair):
    certs = postern.directory / "certs"
    certs.mkdir(mode=0o700)
    (directory / "inter.ext").write_text("basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n")
    (directory / "leaf.ext").write_text("subjectAltName=DNS:localhost\n")
    ca = postern.authority
    for name in ("inter", "default"):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-keyout", certs / f"{name}.key", "-out", directory / f"{name}.csr")
    openssl("x509", "-req", "-in", directory / "inter.csr", "-CA", ca.ca, "-CAkey", ca.directory / "ca.key",
            "-CAcreateserial", "-extfile", directory / "inter.ext", "-out", certs / "default.chain")
    openssl("x509", "-req", "-in", directory / "default.csr", "-CA", certs / "default.chain", "-CAkey",
            certs / "inter.key", "-CAcreateserial", "-extfile", directory / "leaf.ext", "-out", certs / "default.crt")
    (certs / "inter.key").unlink()
    postern.config["certificates"] = {"directory": certs}
    with LineServer() as server:
        port = postern.serve(server.server)
        postern.start()
        assert serves(postern, port)  # which the client's trust in the root alone does not make possible


def test_list_show_and_check(postern, pair):
    certs = postern.directory / "certs"
    postern.config["certificates"]["directory"] = certs
    assert run("cert", "self-signed", "own.example.test", "--key", "rsa2048", "--days", 10,
               "--directory", certs).status == 0
    assert run("cert", "csr", "next.example.test", "--directory", certs).status == 0
    (certs / "broken.crt").write_bytes(pair.certificate.read_bytes())
    (certs / "broken.key").write_bytes((certs / "default.key").read_bytes())
    (certs / "broken.key").chmod(0o600)
    with LineServer() as server:
        postern.serve(server.server, name="imaps")
    postern.write()
    listed = postern.command("cert", "list")
    assert listed.status == 0, listed
    entries = {entry.splitlines()[0]: entry for entry in listed.text.replace("\n  ", "\t").splitlines()}
    entries = {name.split("\t")[0]: text for name, text in entries.items()}
    assert set(entries) == {"localhost", "default (default)", "broken", "next.example.test"}
    assert "used by  imaps" in entries["localhost"] and re.search("(19|20) days left", entries["localhost"])
    assert "RSA 2048" in entries["default (default)"]
    assert "FAULT" in entries["broken"] and "does not belong to the certificate" in entries["broken"]
    assert "waits" in entries["next.example.test"]
    checked = postern.command("cert", "check")
    assert checked.status == 1
    assert "3 certificates checked: 1 fault, " in checked.text
    for text in ("does not belong to the certificate", "expires in (9|10) days", "is self-signed"):
        assert re.search(text, checked.text), checked
    assert postern.command("cert", "check", "localhost").status == 0
    nothing = postern.command("cert", "check", "nothing")
    assert nothing.status == 1 and 'no certificate "nothing"' in nothing.text

    shown = postern.command("cert", "show", "default", pair.certificate, "next.example.test")
    assert shown.status == 0, shown
    digest = openssl("x509", "-in", pair.certificate, "-noout", "-fingerprint", "-sha256").decode().split("=")[1].strip()
    assert digest in shown.text
    for text in ("names        localhost, 127.0.0.1, ::1", "_25._tcp.localhost. IN TLSA 3 1 1 ", "issuer       CN=Tests",
                 "certificate request in", "certificate  fits"):
        assert text in shown.text, shown
    assert postern.command("cert", "show", "nothing").status == 1


def test_tlsa_record_is_what_openssl_computes(pair, tmp_path):
    shown = run("cert", "show", pair.certificate)
    (tmp_path / "key.pem").write_bytes(openssl("x509", "-in", pair.certificate, "-noout", "-pubkey"))
    openssl("pkey", "-pubin", "-in", tmp_path / "key.pem", "-outform", "DER", "-out", tmp_path / "key.der")
    digest = openssl("dgst", "-sha256", "-r", tmp_path / "key.der").decode().split()[0]
    assert f"IN TLSA 3 1 1 {digest}" in shown.out


def test_csr_asks_on_a_terminal(tmp_path):
    certs = tmp_path / "certs"
    with Terminal([program(), "cert", "csr", "--directory", certs, "--locality", "Berlin"]) as terminal:
        for question, answer in (("Host names", "mail.example.test imap.example.test"), ("Organization", "Example"),
                                 ("State", ""), ("Country", "de")):
            terminal.expect(question)
            terminal.type(answer)
        assert terminal.wait() == 0
    text = openssl("req", "-in", certs / "mail.example.test.csr", "-noout", "-text", "-verify").decode()
    text = text.replace(" = ", "=")  # versions differ
    for part in ("C=DE", "L=Berlin", "O=Example", "DNS:mail.example.test, DNS:imap.example.test"):
        assert part in text
    assert run("cert", "csr").status == 1


def test_certificate_faults_come_together_with_those_of_the_file(postern, pair):
    postern.config["certificates"]["pair"].append(
        {"name": "second", "certificate": pair.certificate, "key": postern.directory / "none.key"})
    postern.config["process"]["wrokers"] = 3
    with LineServer() as server:
        postern.serve(server.server)
    postern.write()
    answer = postern.command("check")
    assert answer.status == 1
    assert 'unknown key "wrokers"' in answer.text
    assert f"key file {postern.directory}/none.key does not exist" in answer.text
