"""What the four protocols share: a connection that reads bounded lines and never dies of bad input."""

import asyncio
import sys
import traceback

# Longest line taken. RFC 9051 section 4 and RFC 7162 ask for 8,192 octets at least for IMAP; long
# FETCH sets of real clients come to more.
LINE_LIMIT = 64 * 1024
# Output that may wait for a client that does not read, beyond what it asked for itself.
PUSH_LIMIT = 1024 * 1024
# Commands in error before the connection is given up.
ERROR_LIMIT = 25


class Hangup(Exception):
    """Ends the connection after what was written so far; `last` goes out as its last line."""

    def __init__(self, last=b""):
        super().__init__()
        self.last = last


class Connection:
    too_long = b""  # the protocol's reply to a line beyond LINE_LIMIT

    def __init__(self, reader, writer, store):
        self.reader = reader
        self.writer = writer
        self.store = store
        self.errors = 0

    async def serve(self):
        raise NotImplementedError

    def closed(self):
        """Called once at the end, however it came."""

    async def run(self):
        try:
            await self.serve()
        except Hangup as hangup:
            self.writer.write(hangup.last)
        except (OSError, EOFError):  # the client is gone; IncompleteReadError is an EOFError
            pass
        except Exception:  # our bug: this connection ends, the server does not
            traceback.print_exc(file=sys.stderr)
        finally:
            self.closed()
            await self.close()

    async def close(self):
        try:
            self.writer.close()
            await self.writer.wait_closed()
        except OSError:
            pass

    async def read_line(self):
        """The next line with its end (CRLF or LF). Hangup at the stream's end or beyond the bound."""
        try:
            return await self.reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            raise Hangup(self.too_long) from None
        except asyncio.IncompleteReadError:
            raise Hangup() from None

    async def send(self, octets):
        self.writer.write(octets)
        await self.writer.drain()

    def push(self, octets):
        """Writes without waiting, from outside the connection's own flow; gives up on who never reads."""
        transport = self.writer.transport
        if transport.get_write_buffer_size() > PUSH_LIMIT:
            transport.abort()
        elif not transport.is_closing():
            transport.write(octets)

    def count_error(self, last):
        self.errors += 1
        if self.errors >= ERROR_LIMIT:
            raise Hangup(last)
