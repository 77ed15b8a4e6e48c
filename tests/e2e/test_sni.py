"""Many domains: which certificate a client gets, and what comes with it.

Shows rows B8 (a certificate per domain by SNI, a default, strict SNI), B9 (an ECDSA and an RSA
certificate per name) and B11 (stapled OCSP responses).
"""

import concurrent.futures
import re
import subprocess

import pytest

from support.backends import LineServer
from support.tls import common_name, connect, openssl
from support.waiting import scale


@pytest.fixture
def server():
    with LineServer() as made:
        yield made


def s_client(port, *words, name="localhost", ca=None):
    """What `openssl s_client` prints of a handshake."""
    asked = ["-servername", name] if name else ["-noservername"]
    trusted = ["-CAfile", ca] if ca else []
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *asked, *trusted, *words],
                          input=b"", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    return done.stdout.decode("utf-8", "replace")


def subject(text):
    return re.search(r"^subject=.*?CN ?= ?(\S+)", text, re.M).group(1)


def ask(port, context, name):
    context.check_hostname = False  # which certificate comes is what the tests are about
    with connect(port, context, name=name) as client:
        return common_name(client)


def test_each_name_gets_its_certificate(postern, server, authority):
    postern.config["certificates"]["pair"] = []
    postern.add_pair("main", authority.issue("main", names=["mail.example.com"]))
    postern.add_pair("wild", authority.issue("wild", names=["*.example.com", "example.org"]))
    postern.add_pair("idn", authority.issue("idn", names=["xn--mller-kva.example"]))
    port = postern.serve(server.server)
    postern.start()
    context = authority.context()
    for name, expected in (("mail.example.com", "main"), ("MAIL.Example.COM", "main"), ("imap.example.com", "wild"),
                           ("example.org", "wild"), ("example.com", "main"), ("a.b.example.com", "main"),
                           ("xn--mller-kva.example", "idn"), ("unknown.example", "main"), (None, "main")):
        assert ask(port, context, name) == expected, name
    assert subject(s_client(port, name="imap.example.com.")) == "wild"
    assert subject(s_client(port, name=None)) == "main"


def test_list_tells_which_of_several_serve_a_name(postern, server, authority):
    postern.config["certificates"]["pair"] = []
    for name, algorithm in (("first", "ec"), ("second", "ec"), ("other-key", "rsa:2048")):
        postern.add_pair(name, authority.issue(name, names=["mail.example.com"], algorithm=algorithm))
    postern.serve(server.server, name="imaps")
    postern.write()
    listed = postern.command("cert", "list").text
    used = dict(re.findall(r"^(\S+).*?\n(?:  .*\n)*?  used by  (.*)$", listed, re.M))
    assert used == {"first": "imaps", "other-key": "imaps",
                    "second": "no listener: other certificates serve its names"}, listed


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_strict_sni_refuses_who_names_no_host_of_ours(postern, server, version):
    port = postern.serve(server.server, strict_sni=True)
    lenient = postern.serve(server.server, name="lenient")
    postern.start()
    assert subject(s_client(port, version)) == "localhost"
    assert subject(s_client(lenient, version, name="unknown.example")) == "localhost"
    assert "unrecognized name" in s_client(port, version, name="unknown.example")
    line = postern.closed(listener="test", failure="no-certificate")
    assert line["sni"] == "unknown.example"
    assert "no certificate is for unknown.example" in line["reason"]
    assert "unrecognized name" in s_client(port, version, name=None)


def test_strict_sni_for_all_listeners_but_those_that_say_otherwise(postern, server):
    postern.config["certificates"]["strict_sni"] = True
    port = postern.serve(server.server)
    lenient = postern.serve(server.server, name="lenient", strict_sni=False)
    postern.start()
    assert "unrecognized name" in s_client(port, name="unknown.example")
    assert subject(s_client(lenient, name="unknown.example")) == "localhost"


def test_the_client_gets_the_certificate_that_it_can_verify(postern, server, authority):
    postern.config["certificates"]["pair"] = []
    # Under whatever names, and in whatever order.
    postern.add_pair("a", authority.issue("rsa", algorithm="rsa:2048"))
    postern.add_pair("b", authority.issue("ecdsa"))
    port = postern.serve(server.server)
    postern.write()
    done = postern.command("check")
    assert "does not serve" not in done.text
    postern.start()
    for words, expected in ((["-tls1_3"], "ecdsa"),
                            (["-tls1_3", "-sigalgs", "RSA-PSS+SHA256:RSA+SHA256:ECDSA+SHA256"], "ecdsa"),
                            (["-tls1_3", "-sigalgs", "RSA-PSS+SHA256:RSA+SHA256"], "rsa"),
                            (["-tls1_2"], "ecdsa"),
                            (["-tls1_2", "-sigalgs", "RSA+SHA256"], "rsa"),
                            (["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "rsa"),
                            (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], "ecdsa")):
        assert subject(s_client(port, *words)) == expected, words
        # Clients without a name get one of the two likewise.
        assert subject(s_client(port, *words, name=None)) == expected, words


def respond(authority, pair, *words):
    """The authority's OCSP response for `pair`, in a file beside it."""
    serial = openssl("x509", "-in", pair.certificate, "-noout", "-serial").decode().strip().split("=")[1]
    index = authority.directory / f"{serial}.index"
    index.write_text(f"V\t491231235959Z\t\t{serial}\tunknown\t/CN=x\n")
    request, response = pair.certificate.with_suffix(".request"), pair.certificate.with_suffix(".ocsp")
    openssl("ocsp", "-issuer", authority.ca, "-cert", pair.certificate, "-no_nonce", "-reqout", request)
    openssl("ocsp", "-index", index, "-CA", authority.ca, "-rsigner", authority.ca, "-rkey",
            authority.directory / "ca.key", "-reqin", request, "-respout", response, *(words or ("-ndays", 1)))
    return response


def with_chain(authority, pair):
    pair.certificate.write_bytes(pair.certificate.read_bytes() + authority.ca.read_bytes())
    return pair


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_ocsp_response_is_stapled_and_renewed_by_a_reload(postern, server, authority, version):
    pair = with_chain(authority, authority.issue("stapled"))
    postern.config["certificates"]["pair"] = []
    postern.add_pair("main", pair)
    postern.config["certificates"]["pair"][0]["ocsp"] = str(respond(authority, pair))
    port = postern.serve(server.server)
    postern.start()
    text = s_client(port, version, "-status", ca=authority.ca)
    assert "OCSP Response Status: successful" in text and "Cert Status: good" in text
    assert "OCSP response" not in s_client(port, version, ca=authority.ca)  # who does not ask is sent none
    until = re.search("Next Update: (.*)", text).group(1)
    respond(authority, pair, "-ndays", 2)
    done = postern.reload()
    assert "0 read again" in done.text or "1 read again" in done.text
    renewed = s_client(port, version, "-status", ca=authority.ca)
    assert re.search("Next Update: (.*)", renewed).group(1) != until


def test_ocsp_response_in_the_certificate_directory_is_stapled(postern, server, authority, directory):
    pair = with_chain(authority, authority.issue("stapled"))
    store = directory / "certs"
    store.mkdir(mode=0o700)
    for name, path in (("crt", pair.certificate), ("key", pair.key), ("ocsp", respond(authority, pair))):
        (store / f"default.{name}").write_bytes(path.read_bytes())
        (store / f"default.{name}").chmod(0o600)
    postern.config["certificates"] = {"directory": store}
    port = postern.serve(server.server)
    postern.start()
    assert "Cert Status: good" in s_client(port, "-status", ca=authority.ca)
    # A pair without its response serves on.
    (store / "default.ocsp").unlink()
    postern.reload()
    assert "OCSP response: no response sent" in s_client(port, "-status", ca=authority.ca)


def test_ocsp_response_of_another_certificate_is_left_out_with_a_warning(postern, server, authority):
    pair, other = (with_chain(authority, authority.issue(name)) for name in ("mine", "other"))
    postern.config["certificates"]["pair"] = []
    postern.add_pair("main", pair)
    postern.config["certificates"]["pair"][0]["ocsp"] = str(respond(authority, other))
    port = postern.serve(server.server)
    postern.write()
    done = postern.command("check")
    assert done.status == 0 and "it is not about this certificate" in done.text
    postern.start()
    assert "OCSP response: no response sent" in s_client(port, "-status")


def test_a_thousand_domains_have_a_certificate_each(postern, server, authority, directory):
    count = scale(1000, 100)
    store = directory / "certs"
    store.mkdir(mode=0o700)
    # Keys take longest to make and matter least here: all share one.
    spare = authority.issue("spare")
    request = spare.certificate.with_suffix(".csr")

    def issue(number):
        host = f"domain{number}.example"
        extensions = store / f"{host}.ext"
        extensions.write_text(f"subjectAltName=DNS:{host},DNS:*.{host}\n")
        openssl("x509", "-req", "-in", request, "-CA", authority.ca, "-CAkey", authority.directory / "ca.key",
                "-set_serial", 10_000 + number, "-days", 20, "-extfile", extensions, "-subj", f"/CN={host}",
                "-out", store / f"{host}.crt")
        extensions.unlink()
        key = store / f"{host}.key"
        key.write_bytes(spare.key.read_bytes())
        key.chmod(0o600)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(issue, range(count)))
    postern.config["certificates"] = {"directory": store, "default": "domain0.example"}
    port = postern.serve(server.server)
    postern.start()
    context = authority.context()
    for number in range(count):
        host = f"domain{number}.example"
        assert ask(port, context, host if number % 2 else f"imap.{host}") == host
    assert ask(port, context, "unknown.example") == "domain0.example"
