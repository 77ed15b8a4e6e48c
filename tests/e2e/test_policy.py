"""TLS policies as clients meet them: versions and suites, old clients, application protocols, client
certificates, and what the log says of those that are refused (rows B10 and C1 to C5)."""

import re
import shutil
import socket
import ssl
import subprocess

import pytest

from support.backends import LineServer
from support.tls import connect, openssl, read_exactly

GREETING = b"* OK server\r\n"
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
OPENSSL_VERSIONS = {"TLSv1": "-tls1", "TLSv1.1": "-tls1_1", "TLSv1.2": "-tls1_2", "TLSv1.3": "-tls1_3"}


@pytest.fixture
def server():
    with LineServer() as made:
        yield made


@pytest.fixture
def three(request, postern, server, authority):
    """Postern with a listener for each built-in policy, by name; an RSA certificate, or those of the parameter."""
    postern.config["certificates"]["pair"] = []
    for kind in getattr(request, "param", ("rsa:2048",)):
        postern.add_pair(kind.partition(":")[0], authority.issue("localhost", algorithm=kind))
    postern.add_backend("b", server.server)
    ports = {policy: postern.add_listener(policy, "imap", "b", policy=policy)
             for policy in ("modern", "intermediate", "old")}
    postern.start()
    return ports


def s_client(port, *options):
    """What `openssl s_client` says of a connection: "TLSv1.2, AES128-SHA", or None when it fails."""
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-brief", *options],
                          input=b"", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    text = done.stdout.decode("utf-8", "replace")
    version = re.search(r"Protocol version: (\S+)", text)
    cipher = re.search(r"Ciphersuite: (\S+)", text)
    return f"{version[1]}, {cipher[1]}" if version and cipher else None


def test_each_policy_serves_the_versions_that_it_is_for(postern, three):
    served = {"modern": ["TLSv1.3"], "intermediate": ["TLSv1.2", "TLSv1.3"],
              "old": ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]}
    for policy, port in three.items():
        for version, option in OPENSSL_VERSIONS.items():
            got = s_client(port, option, "-cipher", "ALL:@SECLEVEL=0")
            assert (got is not None) == (version in served[policy]), (policy, version, got)
            assert got is None or got.startswith(version + ","), (policy, got)


@pytest.mark.parametrize("suite", ["AES128-SHA", "ECDHE-RSA-AES256-SHA", "DHE-RSA-AES128-SHA256",
                                   "AES256-GCM-SHA384", "DHE-RSA-AES256-GCM-SHA384"])
def test_old_suites_are_served_by_old_alone(postern, three, suite):
    options = ("-tls1_2", "-cipher", suite + ":@SECLEVEL=0")
    assert s_client(three["old"], *options) == f"TLSv1.2, {suite}"
    assert s_client(three["intermediate"], *options) is None
    line = postern.closed(listener="intermediate")
    assert line["failure"] == "no-shared-cipher"
    assert f'policy = "old" would admit it (TLSv1.2, {suite})' in line["reason"]


def test_a_tls_1_0_client_is_served_by_old_and_refused_in_words_by_intermediate(postern, three, server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("AES128-SHA:@SECLEVEL=0")
    context.load_verify_locations(postern.authority.ca)
    with pytest.warns(DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    with connect(three["old"], context) as client:
        assert read_exactly(client, len(GREETING)) == GREETING
        for size in (1, 100, 40_000):  # records of CBC with the split that BEAST asks for
            text = b"x" * size + b"\n"
            client.sendall(text)
            assert read_exactly(client, size + 8) == b"server " + text
    line = postern.closed(listener="old")
    assert (line["tls_version"], line["cipher"]) == ("TLSv1", "AES128-SHA")
    with pytest.raises(ssl.SSLError):
        connect(three["intermediate"], context)
    line = postern.closed(listener="intermediate")
    assert line["failure"] == "no-shared-version"
    assert line["reason"] == ("the client offers at most TLSv1, this listener wants TLSv1.2 or TLSv1.3; "
                              'policy = "old" would admit it (TLSv1, AES128-SHA)')
    # And it is counted under its reason.
    counted = {}
    for worker in postern.workers():
        for reason, count in worker["handshake_failures"].items():
            counted[reason] = counted.get(reason, 0) + count
    assert {reason: count for reason, count in counted.items() if count} == {"no-shared-version": 1}
    assert re.search(r"\b1\s+no-shared-version", postern.command("status").text)


def test_a_hello_in_sslv2_format_is_answered_by_old(three):
    body = bytes.fromhex("010301" "0003" "0000" "0010" "00002f") + b"c" * 16
    with socket.create_connection(("127.0.0.1", three["old"])) as sock:
        sock.sendall(bytes([0x80, len(body)]) + body)
        assert read_exactly(sock, 6)[0::5] == b"\x16\x02"  # a ServerHello in a handshake record


KINDS = pytest.mark.parametrize("three", [("rsa:2048",), ("ec",), ("ec", "rsa:2048")], indirect=True,
                                ids=["RSA", "ECDSA", "both"])
GNUTLS = [("modern", "NORMAL:-VERS-ALL:+VERS-TLS1.3", True), ("modern", "NORMAL:-VERS-ALL:+VERS-TLS1.2", False),
          ("intermediate", "NORMAL:-VERS-ALL:+VERS-TLS1.2", True),
          ("intermediate", "LEGACY:-VERS-ALL:+VERS-TLS1.1", False),
          ("old", "LEGACY:-VERS-ALL:+VERS-TLS1.0:-KX-ALL:+RSA:-CIPHER-ALL:+AES-128-CBC", True),
          ("old", "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+DHE-RSA", True)]


@pytest.mark.skipif(shutil.which("gnutls-cli") is None, reason="gnutls-cli is not installed")
@KINDS
def test_gnutls(request, three, authority):
    only_ecdsa = request.node.callspec.params["three"] == ("ec",)
    for policy, priority, served in GNUTLS:
        served = served and not (only_ecdsa and "KX-ALL" in priority)  # those key exchanges are RSA's
        done = subprocess.run(["gnutls-cli", "--priority", priority, f"--x509cafile={authority.ca}", "--port",
                               str(three[policy]), "localhost"], input=b"", stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=60)
        text = done.stdout.decode("utf-8", "replace")
        assert ("Handshake was completed" in text) == served, (policy, priority, text)


@KINDS
@pytest.mark.skipif(shutil.which("sslscan") is None, reason="sslscan is not installed")
def test_sslscan_finds_no_weakness_that_the_policy_does_not_intend(three):
    for policy, port in three.items():
        done = subprocess.run(["sslscan", "--no-colour", f"127.0.0.1:{port}"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=100)
        text = done.stdout.decode("utf-8", "replace")
        enabled = set(re.findall(r"^(SSLv2|SSLv3|TLSv1\.\d)\s+enabled", text, re.M))
        wanted = {"modern": {"TLSv1.3"}, "intermediate": {"TLSv1.2", "TLSv1.3"},
                  "old": {"TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"}}[policy]
        assert enabled == wanted, text
        assert "Insecure session renegotiation" not in text, text
        assert re.search(r"Compression disabled|OpenSSL version does not support compression", text), text
        assert "vulnerable to heartbleed" not in text.replace("not vulnerable to heartbleed", ""), text
        names = re.findall(r"^(?:Preferred|Accepted)\s+TLSv1\.\d\s+(\d+) bits\s+(\S+)", text, re.M)
        assert names, text
        for bits, name in names:
            assert int(bits) >= 128 and not re.search("RC4|NULL|EXP|ADH|AECDH|MD5|IDEA|SEED", name), text
            if policy != "old":
                assert name.startswith(("TLS_", "ECDHE-")) and not name.endswith("-SHA"), text


def test_a_foreign_application_protocol_is_refused(postern, server):
    port = postern.serve(server.server, "imap")
    postern.start()
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        connect(port, postern.authority.context(alpn=["h2", "http/1.1"]))
    line = postern.closed(how="handshake-failed")
    assert line["failure"] == "no-application-protocol"
    assert "h2, http/1.1" in line["reason"] and "imap" in line["reason"]
    with connect(port, postern.authority.context(alpn=["h2", "imap"])) as client:
        assert client.selected_alpn_protocol() == "imap"
    assert postern.wait_for_lines("connection closed", alpn="imap")
    with connect(port, postern.authority.context()) as client:
        assert client.selected_alpn_protocol() is None
        assert read_exactly(client, len(GREETING)) == GREETING


def test_a_policy_of_the_file_is_served_and_changed_by_a_reload(postern, server):
    postern.config["policies"] = {"narrow": {"versions": "TLSv1.2", "groups": "P-384",
                                             "ciphers": ["ECDHE-ECDSA-AES256-GCM-SHA384"]}}
    port = postern.serve(server.server, "imap", policy="narrow")
    postern.start()
    with connect(port, postern.authority.context()) as client:
        assert (client.version(), client.cipher()[0]) == ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384")
        postern.config["policies"]["narrow"]["versions"] = ["TLSv1.3"]
        postern.reload()
        assert read_exactly(client, len(GREETING)) == GREETING  # what was begun goes on
    with connect(port, postern.authority.context()) as client:
        assert client.version() == "TLSv1.3"


def test_what_the_library_lacks_is_a_fault_with_its_version(postern, server):
    postern.config["policies"] = {"p": {"base": "old", "versions": ["SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2"],
                                        "ciphers": "AES128-SHA:RC4-SHA:IDEA-CBC-SHA", "groups": "X25519:P-999"}}
    postern.serve(server.server, policy="p")
    postern.write()
    answer = postern.command("check")
    assert answer.status == 1
    for word in ("SSLv3", "cipher RC4-SHA", "cipher IDEA-CBC-SHA", "group P-999"):
        assert re.search(rf"postern\.toml:\d+:\d+: the policy \"p\" asks for (the )?{word}, which OpenSSL 3\.\S+ "
                         "does not have; ", answer.text), answer
    assert "AES128-SHA," not in answer.text


def openssl_has_post_quantum():
    """Whether this machine's OpenSSL has X25519MLKEM768: from 3.5 on."""
    version = subprocess.run(["openssl", "version"], stdout=subprocess.PIPE, check=True, timeout=60).stdout.decode()
    return tuple(map(int, re.match(r"OpenSSL (\d+)\.(\d+)", version).groups())) >= (3, 5)


@pytest.mark.skipif(not openssl_has_post_quantum(), reason="this OpenSSL has no X25519MLKEM768")
def test_post_quantum_key_exchange_comes_first(postern, three):
    for policy, port in three.items():
        listed = postern.command("ciphers", policy).text
        assert re.search(r"^groups +X25519MLKEM768[ ,]", listed, re.M), listed
        assert s_client(port, "-tls1_3")
        line = postern.closed(listener=policy)
        assert line["group"] == "X25519MLKEM768", line
    # A client that has no such group is served as before.
    assert s_client(three["modern"], "-tls1_3", "-groups", "X25519")
    found = postern.wait_for_lines("connection closed", count=2, listener="modern")
    assert found[-1]["group"].lower() == "x25519", found


@pytest.mark.skipif(openssl_has_post_quantum(), reason="this OpenSSL has X25519MLKEM768")
def test_without_post_quantum_key_exchange_policies_do_without(postern, server, three):
    for policy, port in three.items():
        listed = postern.command("ciphers", policy).text
        assert re.search(r"^groups +X25519,", listed, re.M), listed
        assert re.search(r"^not in this OpenSSL .*X25519MLKEM768", listed, re.M), listed
        assert s_client(port, "-tls1_3")
        assert postern.closed(listener=policy)["group"].lower() == "x25519"
    # Who asks for it by name is told.
    postern.config["policies"] = {"p": {"base": "modern", "groups": "X25519MLKEM768:X25519"}}
    postern.serve(server.server, policy="p")
    postern.write()
    answer = postern.command("check")
    assert answer.status == 1
    assert re.search(r'the policy "p" asks for the group X25519MLKEM768, which OpenSSL 3\.\S+ does not have; '
                     r".*\(3\.5 on\)", answer.text), answer


def test_ciphers_shows_the_policy_of_a_name_or_of_a_listener(postern, server):
    postern.serve(server.server, policy="old")
    postern.write()
    shown = postern.command("ciphers", "test")  # the listener's name
    assert shown.status == 0
    assert re.search(r'^policy "old" with OpenSSL 3\.', shown.text)
    assert re.search(r"^ECDHE-RSA-AES128-SHA +TLSv1-TLSv1\.2 +ECDHE +RSA +AES-128-CBC +128 +SHA-1$", shown.text,
                     re.M), shown
    assert re.search(r"^TLS_AES_256_GCM_SHA384 +TLSv1\.3 .* 256 +AEAD$", shown.text, re.M), shown
    assert 'policy "intermediate"' in postern.command("ciphers").text
    unknown = postern.command("ciphers", "oldd")
    assert unknown.status == 1 and 'did you mean "old"?' in unknown.text


def has_cipher(name):
    return subprocess.run(["openssl", "ciphers", name + ":@SECLEVEL=0"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, timeout=60).returncode == 0


@pytest.mark.parametrize("cipher", ["DES-CBC3-SHA", "RC4-SHA", "IDEA-CBC-SHA"])
def test_a_cipher_that_openssl_does_not_have_is_a_fault(postern, server, cipher):
    if has_cipher(cipher):
        pytest.skip("this OpenSSL has it")
    postern.config["policies"] = {"p": {"base": "old", "ciphers": f"AES128-SHA:{cipher}"}}
    postern.serve(server.server, policy="p")
    postern.write()
    answer = postern.command("check")
    assert answer.status == 1
    assert re.search(rf'the policy "p" asks for the cipher {cipher}, which OpenSSL 3\.\S+ does not have', answer.text), answer
    # `old` names 3DES itself, for libraries that have it, and does without.
    assert postern.command("ciphers", "old").status == 0


class Clients:
    """An authority of clients: pairs, and revocation lists, as openssl makes them."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir()
        self.ca, self.key = directory / "clients.pem", directory / "clients.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 30,
                "-subj", f"/CN={directory.name}", "-keyout", self.key, "-out", self.ca)
        (directory / "index.txt").touch()
        self.settings = directory / "ca.cnf"
        self.settings.write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={directory}/index.txt\ncrlnumber={directory}/n\n"
                                 f"new_certs_dir={directory}\nserial={directory}/serial\ndefault_md=sha256\n"
                                 "policy=p\nunique_subject=no\ndefault_crl_days=5\ndefault_days=5\n"
                                 "[p]\ncommonName=supplied\n")
        (directory / "n").write_text("01\n")
        (directory / "serial").write_text("01\n")

    def _ca(self, *words):
        openssl("ca", "-batch", "-notext", "-config", self.settings, "-cert", self.ca, "-keyfile", self.key, *words)

    def issue(self, name):
        base = self.directory / name
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-keyout", f"{base}.key", "-out", f"{base}.csr")
        self._ca("-in", f"{base}.csr", "-out", f"{base}.crt")
        return f"{base}.crt", f"{base}.key"

    def revoke(self, pair):
        self._ca("-revoke", pair[0])

    def list(self):
        path = self.directory / "clients.crl"
        self._ca("-gencrl", "-out", path)
        return path


def test_client_certificates(postern, server, tmp_path):
    clients = Clients(tmp_path / "clients")
    strangers = Clients(tmp_path / "strangers")
    alice, bob, mallory = clients.issue("alice"), clients.issue("bob"), strangers.issue("mallory")
    clients.revoke(bob)
    postern.add_backend("b", server.server)
    trust = {"client_ca": clients.ca, "client_crl": [str(clients.list())]}
    ports = {mode: postern.add_listener(mode, "imap", "b", client_certificates=mode, **trust)
             for mode in ("optional", "required")}
    postern.start()

    def attempt(mode, pair, version):
        """The subject in the log of a client that was let in, or the failure and its reason."""
        before = len(postern.lines("connection closed"))
        context = postern.authority.context(version)
        if pair is not None:
            context.load_cert_chain(*pair)
        try:
            with connect(ports[mode], context) as client:
                let_in = client.recv(100) == GREETING
        except (ssl.SSLError, ConnectionError):
            let_in = False
        line = postern.wait_for_lines("connection closed", before + 1)[-1]
        assert let_in == ("failure" not in line), line
        return line.get("client_certificate", "") if let_in else f'{line["failure"]}: {line["reason"]}'

    for version in (V12, V13):
        for mode in ports:
            assert attempt(mode, alice, version) == "CN=alice"
            assert attempt(mode, bob, version).endswith("(CN=bob) is revoked")
            assert attempt(mode, mallory, version).endswith("authority (CN=strangers) that is not in client_ca")
        assert attempt("optional", None, version) == ""
        assert attempt("required", None, version).startswith("client-certificate-missing: ")


def test_a_revoked_client_cannot_come_back_by_a_ticket(postern, server, tmp_path):
    clients = Clients(tmp_path / "clients")
    alice = clients.issue("alice")
    trust = {"client_certificates": "required", "client_ca": clients.ca, "client_crl": clients.list()}
    port = postern.serve(server.server, "imap", **trust)
    postern.start()
    context = postern.authority.context(V12)
    context.load_cert_chain(*alice)
    with connect(port, context) as client:
        assert read_exactly(client, len(GREETING)) == GREETING
        session = client.session
    with connect(port, context, session=session) as client:
        assert read_exactly(client, len(GREETING)) == GREETING
        assert client.session_reused
    resumed = postern.wait_for_lines("connection closed", resumed="true")
    assert resumed[0]["client_certificate"] == "CN=alice"
    clients.revoke(alice)
    clients.list()
    postern.reload()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connect(port, context, session=session).recv(1)
    assert "is revoked" in postern.closed(failure="client-certificate-refused")["reason"]


def test_faults_of_client_authorities_are_shown_with_the_line(postern, server, tmp_path):
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing\n")
    postern.serve(server.server, "imap", client_certificates="required", client_ca=empty)
    postern.write()
    answer = postern.command("check")
    assert answer.status == 1
    assert re.search(r"postern\.toml:\d+:\d+: \S+empty\.pem holds no certificate in PEM form; ", answer.text), answer
