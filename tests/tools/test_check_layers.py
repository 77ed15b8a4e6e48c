"""tools/check_layers on tiny trees, each with one thing wrong that it must find."""

import pathlib
import subprocess
import sys
import textwrap

import pytest

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "check_layers"

# A tree with nothing wrong: downward, sideways, private-to-own and libcrypto includes.
GOOD = {
    "include/postern/base/bytes.h": "#pragma once\n",
    "include/postern/os/clock.h": '#include "postern/base/bytes.h"\n',
    "include/postern/config/config.h": '#include "postern/os/clock.h"\n',
    "include/postern/tls/record.h": '#include <openssl/evp.h>\n#include "postern/config/config.h"\n',
    "src/tls/openssl_glue.h": "#include <openssl/ssl.h>\n",
    "src/tls/record.cc": '#include "postern/tls/record.h"\n#include "openssl_glue.h"\n',
    "src/tls/meson.build": "tls_deps = [base_dep, config_dep]  # not worker_dep\n",
}


def run(tmp_path: pathlib.Path, files: dict[str, str]) -> subprocess.CompletedProcess:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return subprocess.run([sys.executable, TOOL, tmp_path], capture_output=True, text=True)


def test_a_clean_tree_passes(tmp_path):
    result = run(tmp_path, GOOD)
    assert result.stdout == ""
    assert result.returncode == 0


@pytest.mark.parametrize("name, text, violation", [
    ("src/base/log.cc", '\n#include "postern/os/clock.h"\n',
     "src/base/log.cc:2: base (floor 1) includes os (floor 2)"),
    ("include/postern/os/socket.h", '#include "postern/tls/record.h"\n',
     "include/postern/os/socket.h:1: os (floor 2) includes tls (floor 5)"),
    ("src/mail/smtp.cc", '#include "postern/os/clock.h"\n',
     "src/mail/smtp.cc:1: mail includes os, but may use only base"),
    ("src/session/session.cc", '#include "src/tls/openssl_glue.h"\n',
     "src/session/session.cc:1: session includes src/tls/openssl_glue.h, which is private to tls"),
    ("src/session/session.cc", '#include "tls/openssl_glue.h"\n',
     "src/session/session.cc:1: session includes src/tls/openssl_glue.h, which is private to tls"),
    ("src/session/session.cc", '#include "../tls/openssl_glue.h"\n',
     "src/session/session.cc:1: session includes src/tls/openssl_glue.h, which is private to tls"),
    ("include/postern/tls/handshake.h", '#include "tls/openssl_glue.h"\n',
     "include/postern/tls/handshake.h:1: a public header includes src/tls/openssl_glue.h"),
    ("src/session/session.cc", "  #  include <openssl/ssl.h>\n",
     "src/session/session.cc:1: session includes <openssl/ssl.h>; only tls may"),
    ("src/session/session.cc", '#include "postern/tls/recrod.h"\n',
     "src/session/session.cc:1: there is no header postern/tls/recrod.h"),
    ("src/sesion/session.cc", "\n", "src/sesion/session.cc:1: is in no module"),
    ("src/os/meson.build", "os_deps = [base_dep,\n  ring_dep]\n",
     "src/os/meson.build:2: os (floor 2) links ring (floor 3)"),
    ("src/mail/meson.build", "mail_deps = [base_dep, pki_dep]\n",
     "src/mail/meson.build:1: mail links pki, but may use only base"),
])
def test_a_violation_is_named_with_its_line(tmp_path, name, text, violation):
    result = run(tmp_path, {**GOOD, name: text})
    assert result.returncode == 1
    assert [line.startswith(violation) for line in result.stdout.splitlines()] == [True], result.stdout


def test_a_cycle_within_a_floor_is_refused(tmp_path):
    result = run(tmp_path, {
        **GOOD,
        "include/postern/pki/certificate.h": '#include "postern/config/config.h"\n',
        "include/postern/os/files.h": '#include "postern/pki/certificate.h"\n',
    })
    assert result.returncode == 1
    assert "closes the cycle config -> os -> pki -> config" in result.stdout


def test_all_violations_are_reported_at_once(tmp_path):
    result = run(tmp_path, {
        **GOOD,
        "src/base/a.cc": '#include "postern/os/clock.h"\n#include <openssl/ssl.h>\n',
        "src/mail/b.cc": '#include "postern/config/config.h"\n',
    })
    assert len(result.stdout.splitlines()) == 3


def test_an_empty_tree_is_no_success(tmp_path):
    assert run(tmp_path, {}).returncode == 1
