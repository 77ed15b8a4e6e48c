"""The first configuration that README.md gives is one that Postern takes, and the Postfix service that it
gives relays for nobody who has not logged in."""

import re
import shutil
import subprocess

import pytest

from support.demo import TOP
from support.postern import program

README = (TOP / "README.md").read_text()


def code_after(heading, fence="```"):
    return re.search(re.escape(fence) + r"\n(.*?)```", README[README.index(heading):], re.DOTALL)[1]


def test_first_configuration_passes_check(authority, directory):
    pair = authority.issue("mail.example.com", ["mail.example.com"])
    text = code_after("/etc/postern/postern.toml", "```toml")
    for name, path in (("fullchain", pair.certificate), ("privkey", pair.key)):
        text, count = re.subn(rf'"/etc/letsencrypt/[^"]*/{name}\.pem"', f'"{path}"', text)
        assert count == 1
    # What only the machine of the reader has to have.
    text += f'[process]\npid_file = "{directory}/pid"\ncontrol_socket = "{directory}/sock"\n'
    path = directory / "postern.toml"
    path.write_text(text)
    done = subprocess.run([program(), "check", "-c", path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def postconf(directory, *words):
    return subprocess.run([shutil.which("postconf", path="/usr/sbin:/usr/bin"), "-c", directory, *words],
                          check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.mark.skipif(not shutil.which("postconf", path="/usr/sbin:/usr/bin"), reason="Postfix is not installed")
def test_postfix_service_trusts_nobody_on_loopback(directory):
    (directory / "main.cf").write_text("compatibility_level = 3.6\nmynetworks = 127.0.0.0/8\n")
    (directory / "master.cf").write_text(code_after("### Postfix"))
    service = "127.0.0.1:10465/inet"
    assert postconf(directory, "-M", service).split()[:2] == ["127.0.0.1:10465", "inet"]
    settings = {}
    for line in postconf(directory, "-P", service + "/*").splitlines():
        key, _, value = line.partition("=")
        settings[key.strip().rpartition("/")[2]] = value.strip()
    assert settings["mynetworks"] == ""
    assert settings["smtpd_relay_restrictions"] == "permit_sasl_authenticated,reject"
    assert settings["smtpd_recipient_restrictions"] == "permit_sasl_authenticated,reject"
