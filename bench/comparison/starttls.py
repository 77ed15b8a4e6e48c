"""The plain text before a handshake of a client that asks for TLS in the middle (RFC 9051 section 6.2.1)."""

import socket

from . import Trouble


def _line(connection: socket.socket) -> bytes:
    """One line, octet by octet: what follows it belongs to the handshake."""
    line = b""
    while not line.endswith(b"\n"):
        octet = connection.recv(1)
        if not octet or len(line) > 8192:
            raise OSError("no whole line came")
        line += octet
    return line


def imap(connection: socket.socket) -> None:
    """Leads an IMAP connection up to its ClientHello."""
    greeting = _line(connection)
    if not greeting.startswith(b"* OK"):
        raise Trouble(f"an IMAP server greeted with {greeting[:80]!r}")
    connection.sendall(b"a STARTTLS\r\n")
    while not (line := _line(connection)).startswith(b"a "):
        pass
    if not line.startswith(b"a OK"):
        raise Trouble(f"an IMAP server answered STARTTLS with {line[:80]!r}")
