"""SMTP (RFC 5321) and submission (RFC 6409): everything that comes is put into the user's INBOX."""

import base64
import binascii
import email.utils
import re
import sys

from connection import Connection, Hangup
from store import Full

HOST = b"demo.postern.invalid"
RECIPIENT_LIMIT = 1000
PATH = re.compile(rb"^(?:FROM|TO):\s*<([^<>\r\n]*)>\s*(.*)$", re.IGNORECASE)


class SmtpConnection(Connection):
    too_long = b"500 5.5.6 Line too long\r\n"

    def __init__(self, reader, writer, store):
        super().__init__(reader, writer, store)
        self.helo = b""
        self.authenticated = False
        self.sender = None
        self.recipients = []
        self.commands = {
            b"EHLO": self.do_ehlo, b"HELO": self.do_helo, b"AUTH": self.do_auth,
            b"MAIL": self.do_mail, b"RCPT": self.do_rcpt, b"DATA": self.do_data,
            b"RSET": self.do_rset, b"NOOP": self.do_noop, b"QUIT": self.do_quit,
            b"VRFY": self.do_vrfy, b"HELP": self.do_help,
        }

    async def serve(self):
        await self.send(b"220 " + HOST + b" ESMTP demo mail server\r\n")
        while True:
            line = (await self.read_line()).rstrip(b"\r\n")
            verb, _, rest = line.partition(b" ")
            command = self.commands.get(verb.upper())
            if command is None:
                await self.refuse(b"500 5.5.2 Command not known")
            else:
                await command(rest.strip())

    async def reply(self, text):
        await self.send(text + b"\r\n")

    async def refuse(self, text):
        await self.reply(text)
        self.count_error(b"421 4.7.0 " + HOST + b" Too many errors\r\n")

    def reset(self):
        self.sender = None
        self.recipients = []

    async def do_ehlo(self, rest):
        if not rest:
            return await self.refuse(b"501 5.5.4 Say EHLO with your name")
        self.helo = rest
        self.reset()
        lines = [HOST, b"PIPELINING", b"SIZE %d" % self.store.message_limit, b"8BITMIME",
                 b"AUTH PLAIN LOGIN", b"ENHANCEDSTATUSCODES", b"HELP"]
        text = b"".join(b"250-" + line + b"\r\n" for line in lines[:-1]) + b"250 " + lines[-1]
        await self.reply(text)

    async def do_helo(self, rest):
        if not rest:
            return await self.refuse(b"501 5.5.4 Say HELO with your name")
        self.helo = rest
        self.reset()
        await self.reply(b"250 " + HOST)

    async def ask(self, prompt):
        """One base64 answer to a 334 prompt; None when the client gave up or sent none."""
        await self.reply(b"334 " + base64.b64encode(prompt))
        return self.decode((await self.read_line()).strip())

    @staticmethod
    def decode(text):
        try:
            return base64.b64decode(b"" if text == b"=" else text, validate=True)
        except binascii.Error:  # "*" is no base64 either
            return None

    async def do_auth(self, rest):
        if self.authenticated or self.sender is not None:
            return await self.refuse(b"503 5.5.1 Not now")
        mechanism, _, initial = rest.partition(b" ")
        good = False
        if mechanism.upper() == b"PLAIN":
            response = self.decode(initial) if initial else await self.ask(b"")
            good = response is not None and self.store.authenticate_plain(response)
        elif mechanism.upper() == b"LOGIN":
            user = self.decode(initial) if initial else await self.ask(b"Username:")
            password = None if user is None else await self.ask(b"Password:")
            good = password is not None and self.store.authenticate(user, password)
        else:
            return await self.refuse(b"504 5.5.4 Mechanism not known")
        if not good:
            return await self.refuse(b"535 5.7.8 User or password wrong")
        self.authenticated = True
        await self.reply(b"235 2.7.0 Welcome")

    async def do_mail(self, rest):
        match = PATH.match(rest)
        if match is None or not rest.upper().startswith(b"FROM:"):
            return await self.refuse(b"501 5.5.4 Say MAIL FROM:<address>")
        if not self.helo:
            return await self.refuse(b"503 5.5.1 Say EHLO first")
        if self.sender is not None:
            return await self.refuse(b"503 5.5.1 There is a sender already")
        size = re.search(rb"\bSIZE=(\d{1,18})\b", match[2], re.IGNORECASE)
        if size is not None and int(size[1]) > self.store.message_limit:
            return await self.refuse(b"552 5.3.4 Message too large")
        self.sender = match[1]
        await self.reply(b"250 2.1.0 Ok")

    async def do_rcpt(self, rest):
        match = PATH.match(rest)
        if match is None or not rest.upper().startswith(b"TO:") or not match[1]:
            return await self.refuse(b"501 5.5.4 Say RCPT TO:<address>")
        if self.sender is None:
            return await self.refuse(b"503 5.5.1 Say MAIL first")
        if len(self.recipients) >= RECIPIENT_LIMIT:
            return await self.refuse(b"452 4.5.3 Too many recipients")
        self.recipients.append(match[1])
        await self.reply(b"250 2.1.5 Ok")

    async def do_data(self, rest):
        if not self.recipients:
            return await self.refuse(b"503 5.5.1 Say RCPT first")
        await self.reply(b"354 End with <CRLF>.<CRLF>")
        octets = await self.read_message()
        try:
            if octets is None:
                raise Full
            message = self.store.add(self.store.inbox, self.trace_header() + octets)
        except Full:
            return await self.refuse(b"552 5.3.4 No room for this message")
        finally:
            recipients = len(self.recipients)
            self.reset()
        print(f"mail {message.uid}: {len(octets)} octets for {recipients} recipient(s)",
              file=sys.stderr, flush=True)
        await self.reply(b"250 2.0.0 Ok, kept as %d" % message.uid)

    async def read_message(self):
        """The message, or None when it went over the bound; it is read to its end either way.

        Only CRLF.CRLF ends it (RFC 5321 section 4.1.1.4): a lone LF before or behind the dot does
        not, or two servers could disagree where a message ends. Lone LFs are stored as CRLF.
        """
        lines, size, after_crlf = [], 0, True
        while True:
            line = await self.read_line()
            if line == b".\r\n" and after_crlf:
                return None if size > self.store.message_limit else b"".join(lines)
            after_crlf = line.endswith(b"\r\n")
            if not after_crlf:
                line = line[:-1] + b"\r\n"
            if line.startswith(b"."):
                line = line[1:]
            size += len(line)
            if size <= self.store.message_limit:
                lines.append(line)
            else:
                lines.clear()

    def trace_header(self):
        helo = re.sub(rb"[^\w.:\[\]-]", b"?", self.helo)[:255]
        how = b"ESMTPA" if self.authenticated else b"ESMTP"
        sender = re.sub(rb"[^\x21-\x7e]", b"?", self.sender)
        return (b"Return-Path: <" + sender + b">\r\nReceived: from " + helo + b" by " + HOST + b" with " + how +
                b"; " + email.utils.formatdate(localtime=True).encode() + b"\r\n")

    async def do_rset(self, rest):
        self.reset()
        await self.reply(b"250 2.0.0 Ok")

    async def do_noop(self, rest):
        await self.reply(b"250 2.0.0 Ok")

    async def do_vrfy(self, rest):
        await self.reply(b"252 2.1.5 Everybody is taken here")

    async def do_help(self, rest):
        await self.reply(b"214 2.0.0 " + b" ".join(self.commands))

    async def do_quit(self, rest):
        raise Hangup(b"221 2.0.0 " + HOST + b" Bye\r\n")
