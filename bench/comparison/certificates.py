"""Keys and certificates for the measurements, the same files for every server.

The two pairs that most measures use come from the openssl program. At scale each name has a key and a
certificate of its own. A process of openssl for each takes 10 to 30 ms, python3-cryptography one at most
(100,000 in about a minute and a half), so those come from there. They are made once and kept.
"""

import datetime
import pathlib
import shutil
import subprocess
import time
from typing import Iterator, NamedTuple, Optional

from . import Trouble

HOST = "mail.example.com"
# Postern reads again at a reload what has changed, and takes files that were written a moment before it
# read them for changed, since it cannot know. Real files are older.
AGE_S = 4


class Pair(NamedTuple):
    certificate: pathlib.Path
    key: pathlib.Path
    combined: pathlib.Path  # Both in one file, for those that want it so.


def _openssl(*words) -> None:
    run = subprocess.run(["openssl", *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if run.returncode != 0:
        raise Trouble(f"openssl {words[0]} failed: {run.stderr.strip()}")


def _combine(base: pathlib.Path) -> Pair:
    pair = Pair(base.with_suffix(".crt"), base.with_suffix(".key"), base.with_suffix(".pem"))
    pair.combined.write_bytes(pair.key.read_bytes() + pair.certificate.read_bytes())
    pair.combined.chmod(0o600)
    return pair


def make_pair(directory: pathlib.Path, kind: str) -> Pair:
    """A self-signed pair for HOST: "ecdsa" is P-256, "rsa" has 2,048 bits."""
    base = directory / kind
    key = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ecdsa" else ["rsa:2048"]
    _openssl("req", "-x509", "-newkey", *key, "-nodes", "-days", 30, "-subj", f"/CN={HOST}",
             "-addext", f"subjectAltName=DNS:{HOST}", "-keyout", base.with_suffix(".key"),
             "-out", base.with_suffix(".crt"))
    return _combine(base)


# --- Many ----------------------------------------------------------------------------------------

def name(number: int) -> str:
    return f"mail{number:06}.example.com"


class Store:
    """`count` pairs in one directory: NAME.crt and NAME.key; and a second pair for the last name."""

    def __init__(self, directory: pathlib.Path, count: int):
        self.directory = directory / "pairs"
        self.spare = directory / "spare"
        self.count = count

    @property
    def last(self) -> str:
        return name(self.count - 1)

    def names(self) -> Iterator[str]:
        return map(name, range(self.count))

    def pair(self, host: str) -> tuple[pathlib.Path, pathlib.Path]:
        return self.directory / f"{host}.crt", self.directory / f"{host}.key"

    def certificate(self, renewed: bool) -> str:
        """The last name's certificate, as PEM."""
        return (self.spare / ("new.crt" if renewed else "old.crt")).read_text()

    def put(self, renewed: bool) -> None:
        """Puts the last name's renewed pair in place, or the one that it had at first."""
        which = "new" if renewed else "old"
        for path in self.pair(self.last):
            beside = path.with_suffix(".tmp")
            shutil.copyfile(self.spare / (which + path.suffix), beside)
            beside.chmod(0o600)
            beside.rename(path)


def unavailable() -> Optional[str]:
    """Why no certificates at scale can be made here, if so."""
    try:
        import cryptography.x509  # noqa: F401
    except ImportError:
        return "python3-cryptography is not installed"
    return None


def _new_pair(host: str) -> tuple[bytes, bytes]:
    # Imported here because nothing else needs it, and it may not be installed.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    certificate = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
                   .public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(now - datetime.timedelta(days=1))
                   .not_valid_after(now + datetime.timedelta(days=365))
                   .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
                   .sign(key, hashes.SHA256()))
    encoding = serialization.Encoding.PEM
    return certificate.public_bytes(encoding), key.private_bytes(
        encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def make_store(place: pathlib.Path, count: int) -> Store:
    """The store of `count` pairs below `place`, made when it is not there yet."""
    directory = place / f"certificates-{count}"
    store = Store(directory, count)
    complete = directory / "complete"
    age_s = datetime.datetime.now().timestamp() - complete.stat().st_mtime if complete.exists() else None
    if age_s is not None and age_s < 300 * 86400:
        store.directory.chmod(0o700)
        store.put(renewed=False)
        return store
    shutil.rmtree(directory, ignore_errors=True)
    store.directory.mkdir(parents=True)
    store.directory.chmod(0o700)  # Postern keeps no keys where others may look.
    store.spare.mkdir()
    for host in store.names():
        for path, octets in zip(store.pair(host), _new_pair(host)):
            path.write_bytes(octets)
            path.chmod(0o600)
    for which, pair in (("old", [path.read_bytes() for path in store.pair(store.last)]),
                        ("new", _new_pair(store.last))):
        for suffix, octets in zip((".crt", ".key"), pair):
            (store.spare / (which + suffix)).write_bytes(octets)
    time.sleep(AGE_S)
    complete.touch()
    return store
