"""conf/postern.service.in and conf/postern.socket are units that systemd takes without a complaint, and the
service is a well-closed one."""

import pathlib
import re
import subprocess

import pytest

UNIT = pathlib.Path(__file__).resolve().parents[2] / "conf/postern.service.in"


@pytest.fixture
def unit(tmp_path):
    made = tmp_path / "postern.service"
    made.write_text(UNIT.read_text().replace("@postern@", "/bin/true"))  # verify wants the program there
    return made


def analyze(*words):
    return subprocess.run(["systemd-analyze", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True).stdout


def test_systemd_knows_every_setting(unit):
    said = analyze("verify", "--man=no", str(unit))
    assert not [line for line in said.splitlines() if "postern.service" in line], said


def test_systemd_knows_every_setting_of_the_socket(unit):
    socket = unit.with_name("postern.socket")
    socket.write_text((UNIT.parent / "postern.socket").read_text())
    said = analyze("verify", "--man=no", str(socket))
    assert not [line for line in said.splitlines() if "postern.s" in line], said


def test_what_it_leaves_open_is_little(unit):
    said = analyze("security", "--offline=true", "--no-pager", str(unit))
    exposure = re.search(r"Overall exposure level for postern.service: ([0-9.]+)", said)
    assert exposure and float(exposure[1]) < 5.0, said
