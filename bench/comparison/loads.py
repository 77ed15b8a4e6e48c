"""Measures of work under load: handshakes, greetings, echoes, bulk. Server CPU per unit of work."""

import ssl
import time
from typing import NamedTuple, Optional

from . import Trouble
from .accounting import connections_begun
from .certificates import HOST
from .generator import Generator
from .server import CIPHERS_12, POST_QUANTUM, SUITES_13, Server

# Handshakes at once: enough that the server always has another one to do. Fewer where each connection's
# first session has to come from a full handshake.
CONCURRENT = 32
CONCURRENT_RESUMED = 8
MOST_FULL = 0.01  # Of resumed handshakes.
SIGNATURES = {"ecdsa": "ecdsa_secp256r1_sha256", "rsa": "rsa_pss_rsae_sha256"}


NO_RELAY = "it does not relay before a login"


class Load(NamedTuple):
    ident: str
    title: str
    unit: str
    mode: str  # Of postern-bench.
    connections: int
    arguments: tuple = ()
    version: str = "1.3"
    kind: str = "ecdsa"  # Of the certificate.
    tickets: bool = True
    logged: bool = False
    backend: str = "wire"
    group: str = "X25519"
    standard: bool = True
    note: str = ""
    nanoseconds: float = 1e3  # In the unit: of CPU time per round trip, handshake or octet.

    def service(self) -> str:
        return "imap" if self.backend == "greeting" else "raw"

    def refuses(self, kind: type[Server]) -> Optional[str]:
        """Why a server is not in this measure, if so."""
        if self.service() not in kind.services:
            return NO_RELAY
        if "--starttls" in self.arguments and not kind.can_starttls:
            return "it knows no STARTTLS"
        if self.logged and not kind.can_log:
            return "it has no log of one line for each connection"
        if not self.tickets and not kind.can_switch_tickets:
            return "its tickets cannot be switched off"
        return None

    def unavailable(self) -> Optional[str]:
        """Why it cannot be measured on this system, if so."""
        if self.group == POST_QUANTUM and ssl.OPENSSL_VERSION_INFO < (3, 5):
            return f"{POST_QUANTUM} takes OpenSSL 3.5, and this is {ssl.OPENSSL_VERSION}"
        return None


def _handshake(ident: str, title: str, *arguments, **settings) -> Load:
    return Load(ident, title, "µs of CPU per handshake", "handshake",
                CONCURRENT_RESUMED if "--resume" in arguments else CONCURRENT, arguments, **settings)


def _echo(connections: int) -> Load:
    return Load(f"echo-{connections}", f"Echo of 64 octets on {connections} connection{'s' * (connections > 1)}",
                "µs of CPU per round trip", "echo", connections, ("--size", 64))


def _bulk(direction: str, words: str) -> Load:
    return Load(f"bulk-{direction}", f"Bulk, {words}", "CPU-seconds per GB", "bulk", 4, ("--direction", direction),
                nanoseconds=1)


RESUMED_NOTE = "The load generator's first sessions come from full handshakes, one for each of its connections, " \
               "which are in the server's CPU time and not in the count: below 1 %."

STARTTLS_NOTE = "The client ends after the handshake. Postern connects to the server behind once TLS is there, nginx only after " \
                "a login, so that Postern's share of connections behind is work that nginx does not do here."

LOADS = (
    _handshake("full-13-ecdsa", "Full handshake, TLS 1.3, ECDSA P-256"),
    _handshake("full-13-rsa", "Full handshake, TLS 1.3, RSA 2048", kind="rsa"),
    _handshake("full-12-ecdsa", "Full handshake, TLS 1.2, ECDSA P-256", version="1.2"),
    _handshake("full-12-rsa", "Full handshake, TLS 1.2, RSA 2048", version="1.2", kind="rsa", standard=False),
    _handshake("full-13-mlkem", f"Full handshake, TLS 1.3, ECDSA P-256, {POST_QUANTUM}", group=POST_QUANTUM),
    _handshake("resumed-13", "Resumed handshake, TLS 1.3 (ticket, with (EC)DHE)", "--resume", note=RESUMED_NOTE),
    _handshake("resumed-12", "Resumed handshake, TLS 1.2 (ticket)", "--resume", version="1.2", note=RESUMED_NOTE),
    _handshake("full-13-logged", "Full handshake, TLS 1.3, ECDSA P-256, a log line for each", logged=True,
               note="Each at its own usual level: stunnel writes several lines. HAProxy's go to its standard "
                    "output, a file."),
    _handshake("full-13-no-tickets", "Full handshake, TLS 1.3, ECDSA P-256, tickets off", tickets=False,
               note="With tickets off, nginx and HAProxy still send two in TLS 1.3, which name a session that they "
                    "keep; Postern and stunnel send none."),
    _handshake("greeting", "Full handshake and the IMAP greeting, TLS 1.3, ECDSA P-256", "--greeting",
               backend="greeting",
               note="nginx's mail module greets by itself; the others connect to the server behind and relay its "
                    "greeting."),
    _handshake("greeting-resumed", "Resumed handshake and the IMAP greeting, TLS 1.3", "--greeting", "--resume",
               backend="greeting", note=RESUMED_NOTE),
    _handshake("starttls", "IMAP's STARTTLS and a full handshake, TLS 1.3, ECDSA P-256", "--starttls", "imap",
               backend="greeting", note=STARTTLS_NOTE),
    _handshake("starttls-resumed", "IMAP's STARTTLS and a resumed handshake, TLS 1.3", "--starttls", "imap", "--resume",
               backend="greeting", note=f"{STARTTLS_NOTE} {RESUMED_NOTE}"),
    _echo(1),
    _echo(64),
    _bulk("down", "from the server behind to the client"),
    _bulk("up", "from the client to the server behind"),
    _bulk("both", "both ways at once (octets of both counted)"),
)


def groups_of(load: Load) -> str:
    """What the client offers. In TLS 1.2 a certificate's curve must be among its groups (RFC 8422 section 5.1);
    the first is the one that is agreed on, and check_verified() sees to it."""
    return f"{load.group}:P-256" if load.version == "1.2" else load.group


def arguments_of(load: Load, seconds: float, processes: int, bulk_bytes: int) -> list:
    """The command line of one run, but for its target."""
    words = [*load.arguments, "--connections", load.connections, "--processes", min(processes, load.connections),
             "--duration", f"{seconds:g}", "--timeout", 20, "--sni", HOST, "--tls", load.version,
             "--groups", groups_of(load), "--sigalgs", SIGNATURES[load.kind]]
    words += ["--ciphers", CIPHERS_12] if load.version == "1.2" else ["--ciphersuites", SUITES_13]
    return words + (["--bytes", bulk_bytes] if load.mode == "bulk" else [])


def units(report: dict) -> int:
    """How much work a report counts: octets for bulk, else what it says."""
    if report.get("units") == "bytes" and "bytes" in report:
        return report["bytes"]["sent"] + report["bytes"]["received"]
    return report["count"]


def check_resumed(full: int, resumed: int) -> None:
    """A full handshake in between gets a ticket when none is left. It costs several resumed ones and is not
    counted, so there must not be many."""
    if not resumed:
        raise Trouble("no session was resumed")
    if full > max(2, resumed * MOST_FULL):
        raise Trouble(f"{full} full handshakes were made beside {resumed} resumed ones")


def check_verified(load: Load, report: dict) -> None:
    """What the load generator saw must be what was to be measured."""
    verified = report.get("verified", {})
    wanted = f"TLSv{load.version}"
    if any(version != wanted for version in verified.get("versions", {})):
        raise Trouble(f"not all connections were {wanted}: {verified['versions']}")
    groups = [group for group in verified.get("groups", {}) if group.lower() != load.group.lower()]
    if groups:
        raise Trouble(f"the group was to be {load.group} and was also {', '.join(groups)}")
    resumed = verified.get("resumed", 0)
    if "--resume" in load.arguments:
        check_resumed(verified.get("full", 0), resumed)
    if "--resume" not in load.arguments and resumed:
        raise Trouble("sessions were resumed where full handshakes were wanted")
    if verified.get("bytes_right") is False:
        raise Trouble("octets came back wrong")


def run_round(load: Load, server: Server, generator: Generator, words: list, seconds: float) -> dict:
    """One round of one server: its cost per unit, and what the load generator saw."""
    begun = connections_begun()
    before, started = server.cpu_ns(), time.monotonic()
    report = generator.run(load.mode, words, f"127.0.0.1:{server.port}", seconds * 4 + 60)
    spent, wall_s = server.cpu_ns() - before, time.monotonic() - started
    begun = connections_begun() - begun
    check_verified(load, report)
    server.check_pinned()
    count = units(report)
    latency = report.get("latency_us", {})
    return {
        "value": spent / load.nanoseconds / count,
        "count": count,
        "per_second": count / report["seconds"] if report.get("seconds") else None,
        "server_cpu_share": spent / 1e9 / wall_s,
        # Who ends a connection at once may find that a server had not yet connected to the one behind.
        "connections_behind": begun / count - 1 if load.mode == "handshake" else None,
        "p50_us": latency.get("p50"),
        "p99_us": latency.get("p99"),
        "failures": report.get("failures", {}).get("total", 0),
        "generator_cpu_us": report.get("generator", {}).get("cpu_us_per_unit"),
    }
