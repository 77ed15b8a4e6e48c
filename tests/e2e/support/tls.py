"""Certificates made for the tests, and TLS clients that let a test see what a library hides."""

import contextlib
import socket
import ssl
import subprocess

import pytest

SUITES_12 = "ECDHE+AESGCM:ECDHE+CHACHA20"


def openssl(*words):
    done = subprocess.run(["openssl", *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 0, f"openssl {words[0]}: {done.stderr.decode('utf-8', 'replace')}"
    return done.stdout


class Pair:
    """A certificate with its key, as files."""

    def __init__(self, certificate, key):
        self.certificate = certificate
        self.key = key

    def put_in_place_of(self, other):
        """Replaces the files of `other` as an administrator's tool would: by renaming.

        A file that this pair has lost is lost there too."""
        for mine, theirs in ((self.certificate, other.certificate), (self.key, other.key)):
            if not mine.exists():
                theirs.unlink()
                continue
            new = theirs.with_suffix(".new")
            new.write_bytes(mine.read_bytes())
            new.chmod(0o600)
            new.rename(theirs)


class Authority:
    """A certificate authority; `ca` is what clients trust."""

    def __init__(self, directory):
        self.directory = directory
        self.ca = directory / "ca.crt"
        self._count = 0
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 30,
                "-subj", "/CN=Tests", "-addext", "keyUsage=critical,keyCertSign",
                "-keyout", directory / "ca.key", "-out", self.ca)

    def issue(self, common_name, names=("localhost",), algorithm="ec", expired=False, digest="sha256"):
        """A new pair for the host `names` (and the loopback addresses); `algorithm` as "rsa:2048" or "ec:P-384"."""
        self._count += 1
        base = self.directory / f"{self._count}-{common_name}"
        pair = Pair(base.with_suffix(".crt"), base.with_suffix(".key"))
        request = base.with_suffix(".csr")
        kind, _, curve = algorithm.partition(":")
        kind = ["ec", "-pkeyopt", f"ec_paramgen_curve:{curve or 'P-256'}"] if kind == "ec" else [algorithm]
        openssl("req", "-newkey", *kind, "-nodes", "-subj", f"/CN={common_name}",
                "-keyout", pair.key, "-out", request)
        extensions = base.with_suffix(".ext")
        alternatives = ",".join([f"DNS:{name}" for name in names] + ["IP:127.0.0.1", "IP:::1"])
        extensions.write_text(f"subjectAltName={alternatives}\nauthorityKeyIdentifier=keyid\n")
        files = ["-in", request, "-extfile", extensions, "-out", pair.certificate]
        if expired:  # `openssl ca` alone takes dates in every version
            (self.directory / "index.txt").touch()
            settings = self.directory / "ca.cnf"
            settings.write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={self.directory}/index.txt\n"
                                f"new_certs_dir={self.directory}\nserial={self.directory}/ca-serial\n"
                                "default_md=sha256\npolicy=p\nunique_subject=no\n"
                                "[p]\ncommonName=supplied\n")
            openssl("ca", "-batch", "-notext", "-create_serial", "-config", settings, "-cert", self.ca, "-keyfile",
                    self.directory / "ca.key", "-startdate", "20200101000000Z", "-enddate", "20200201000000Z",
                    *files)
        else:
            openssl("x509", "-req", "-CA", self.ca, "-CAkey", self.directory / "ca.key", "-CAcreateserial",
                    f"-{digest}", "-days", 20, *files)
        return pair

    def context(self, version=None, alpn=None):
        """A client that trusts this authority and nobody else, for one TLS version or any."""
        context = ssl.create_default_context(cafile=str(self.ca))
        # Python asks OpenSSL to take a cut-off stream for a whole one; these tests want the truth.
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        if version is not None:
            context.minimum_version = context.maximum_version = version
        if alpn is not None:
            context.set_alpn_protocols(alpn)
        return context


def connect(port, context, name="localhost", address="127.0.0.1", session=None, timeout=None):
    """A TLS connection with its handshake done. A cut-off stream is an error to it, not an end."""
    options = {} if timeout is None else {"timeout": timeout}
    raw = socket.create_connection((address, port), **options)
    try:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context.wrap_socket(raw, server_hostname=name, session=session, suppress_ragged_eofs=False)
    except BaseException:
        raw.close()
        raise


def common_name(sock):
    """The CN of the certificate that the server showed."""
    return dict(pair for row in sock.getpeercert()["subject"] for pair in row)["commonName"]


def cut_off():
    """For a read that has to find the stream cut off: no close_notify came before the end."""
    return pytest.raises((ssl.SSLError, ConnectionResetError), match="(?i)eof|reset")


def read_exactly(sock, count):
    out = bytearray()
    while len(out) < count:
        got = sock.recv(min(count - len(out), 65536))
        if not got:
            raise EOFError(f"the stream ended after {len(out)} of {count} octets")
        out += got
    return bytes(out)


def read_to_end(sock):
    out = bytearray()
    while True:
        got = sock.recv(65536)
        if not got:
            return bytes(out)
        out += got


class Wire:
    """A TLS client over memory: the test decides when which octets go out, and may end one direction.

    ssl.SSLSocket cannot: its unwrap() waits for the other side's end and takes data for an error.
    """

    def __init__(self, port, context, name="localhost", sock=None):
        """Over a new connection, or over `sock`, which may be a TLS connection itself."""
        self.sock = sock or socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        self._through(self.tls.do_handshake)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def _flush(self):
        if self.outgoing.pending:
            self.sock.sendall(self.outgoing.read())

    def _through(self, operation):
        while True:
            try:
                result = operation()
                self._flush()
                return result
            except ssl.SSLWantReadError:
                self._flush()
                got = self.sock.recv(65536)
                if got:
                    self.incoming.write(got)
                else:
                    self.incoming.write_eof()

    def send(self, octets):
        self.tls.write(octets)
        self._flush()

    def sealed(self, octets):
        """The records that would carry `octets`, not sent."""
        self.tls.write(octets)
        return self.outgoing.read()

    def recv(self, count=65536):
        """b"" at close_notify; an error when the stream is cut off (see cut_off)."""
        try:
            return self._through(lambda: self.tls.read(count))
        except ssl.SSLZeroReturnError:
            return b""

    def close_notify(self):
        """Ends our direction; the other one goes on."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self._flush()
