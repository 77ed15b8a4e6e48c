"""testssl.sh over each built-in policy (row C1): it finds no weakness that the policy does not intend.

Protocols, ciphers by strength, forward secrecy and the vulnerabilities that have names; not what it says of
certificates, which are these tests' own. Its time is mostly waiting, so all policies are looked at at once.
"""

import json
import shutil
import subprocess

import pytest

from support.backends import LineServer

CHECKS = ["--protocols", "--std", "--fs", "--vulnerable"]

# What `old` is for: TLS 1.0 and 1.1, and with them CBC with SHA-1 and key exchange by RSA. Names of findings are
# those of testssl.sh 3.0 and 3.2.
INTENDED = {
    "modern": set(),
    "intermediate": set(),
    "old": {"TLS1", "TLS1_1", "cipherlist_AVERAGE", "cipherlist_OBSOLETED", "BEAST", "BEAST_CBC_TLS1", "LUCKY13",
            "FS_TLS12_sig_algs"},
}

# What it warns that it cannot look into: another engine of its own OpenSSL, NPN where there is TLS 1.3 alone.
NOT_LOOKED_INTO = {"engine_problem", "NPN"}


def begin(directory, policy, port):
    findings = directory / f"{policy}.json"
    words = ["testssl", "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--ip", "127.0.0.1", *CHECKS,
             "--jsonfile", findings, f"localhost:{port}"]
    with open(directory / f"{policy}.txt", "wb") as shown:
        return findings, subprocess.Popen(list(map(str, words)), stdin=subprocess.DEVNULL, stdout=shown,
                                          stderr=subprocess.STDOUT, start_new_session=True)


@pytest.mark.skipif(shutil.which("testssl") is None, reason="testssl.sh is not installed")
def test_testssl_finds_no_weakness_that_the_policy_does_not_intend(postern, authority, tmp_path):
    postern.config["certificates"]["pair"] = []
    postern.add_pair("rsa", authority.issue("rsa", algorithm="rsa:2048"))
    with LineServer() as server:
        postern.add_backend("b", server.server)
        ports = {policy: postern.add_listener(policy, "imap", "b", policy=policy) for policy in INTENDED}
        postern.start()
        runs = {policy: begin(tmp_path, policy, port) for policy, port in ports.items()}
        try:
            for policy, (findings, process) in runs.items():
                process.wait(timeout=500)
                shown = (tmp_path / f"{policy}.txt").read_text(errors="replace")
                found = json.loads(findings.read_text())
                by_id = {finding["id"]: finding for finding in found}
                # It was there, and it did look.
                assert by_id["TLS1_2"]["finding"].startswith("offered") == (policy != "modern"), shown
                assert by_id["SSLv3"]["finding"] == "not offered", shown
                assert {"FS", "PFS"} & set(by_id) and {"heartbleed", "ROBOT", "LOGJAM", "DROWN"} <= set(by_id), shown
                weak = [finding for finding in found
                        if finding["severity"] not in ("OK", "INFO", "DEBUG") and finding["id"] not in INTENDED[policy]
                        and not (finding["severity"] == "WARN" and finding["id"] in NOT_LOOKED_INTO)]
                assert not weak, f"{policy}: {weak}\n{shown}"
        finally:
            for _, process in runs.values():
                process.kill()
                process.wait()
