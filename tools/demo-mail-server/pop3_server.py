"""POP3 (RFC 1939) with CAPA, SASL-less login, UIDL and TOP, on the user's INBOX."""

from connection import Connection, Hangup


class Pop3Connection(Connection):
    too_long = b"-ERR Line too long\r\n"

    def __init__(self, reader, writer, store):
        super().__init__(reader, writer, store)
        self.user = None
        self.messages = None  # the session's view, None before login
        self.deleted = set()  # indexes into it
        self.before_login = {b"CAPA": self.do_capa, b"USER": self.do_user, b"PASS": self.do_pass,
                             b"QUIT": self.do_quit}
        self.after_login = {b"CAPA": self.do_capa, b"STAT": self.do_stat, b"LIST": self.do_list,
                            b"UIDL": self.do_uidl, b"RETR": self.do_retr, b"TOP": self.do_top,
                            b"DELE": self.do_dele, b"RSET": self.do_rset, b"NOOP": self.do_noop,
                            b"QUIT": self.do_quit}

    async def serve(self):
        await self.ok(b"demo mail server")
        while True:
            line = (await self.read_line()).rstrip(b"\r\n")
            verb, _, rest = line.partition(b" ")
            commands = self.before_login if self.messages is None else self.after_login
            command = commands.get(verb.upper())
            if command is None:
                known = verb.upper() in self.after_login or verb.upper() in self.before_login
                await self.refuse(b"Not now" if known else b"Command not known")
            else:
                await command(rest)

    async def ok(self, text=b"", body=None):
        out = b"+OK " + text + b"\r\n"
        if body is not None:
            stuffed = b"\r\n".join(b"." + line if line.startswith(b".") else line
                                   for line in body.split(b"\r\n"))
            out += stuffed + (b".\r\n" if stuffed.endswith(b"\r\n") or not stuffed else b"\r\n.\r\n")
        await self.send(out)

    async def refuse(self, text):
        await self.send(b"-ERR " + text + b"\r\n")
        self.count_error(b"-ERR Too many errors\r\n")

    def left(self):
        return [(i, m) for i, m in enumerate(self.messages) if i not in self.deleted]

    async def index(self, text):
        """The index of the message with the number `text`, or None after the refusal was sent."""
        index = int(text) - 1 if text.isdigit() and len(text) < 9 else -1
        if 0 <= index < len(self.messages) and index not in self.deleted:
            return index
        await self.refuse(b"No such message")
        return None

    async def do_capa(self, rest):
        await self.ok(b"Capabilities", b"USER\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nPIPELINING\r\n"
                                       b"IMPLEMENTATION demo-mail-server\r\n")

    async def do_user(self, rest):
        self.user = rest
        await self.ok(b"Now the password")

    async def do_pass(self, rest):
        if self.user is None:
            return await self.refuse(b"Say USER first")
        if not self.store.authenticate(self.user, rest):
            self.user = None
            return await self.refuse(b"[AUTH] User or password wrong")
        self.messages = list(self.store.inbox.messages.values())
        await self.ok(b"%d messages" % len(self.messages))

    async def do_stat(self, rest):
        left = self.left()
        await self.ok(b"%d %d" % (len(left), sum(len(m.octets) for _, m in left)))

    async def listing(self, rest, value):
        if rest:
            index = await self.index(rest)
            if index is not None:
                await self.ok(b"%d %s" % (index + 1, value(self.messages[index])))
            return
        await self.ok(b"Here they are",
                      b"".join(b"%d %s\r\n" % (i + 1, value(m)) for i, m in self.left()))

    async def do_list(self, rest):
        await self.listing(rest, lambda m: b"%d" % len(m.octets))

    async def do_uidl(self, rest):
        validity = self.store.inbox.uid_validity
        await self.listing(rest, lambda m: b"%08x%08x" % (validity, m.uid))

    async def do_retr(self, rest):
        index = await self.index(rest)
        if index is not None:
            octets = self.messages[index].octets
            await self.ok(b"%d octets" % len(octets), octets)

    async def do_top(self, rest):
        number, _, count = rest.partition(b" ")
        if not count.isdigit() or len(count) > 8:
            return await self.refuse(b"Say TOP message lines")
        index = await self.index(number)
        if index is None:
            return
        header, blank, body = self.messages[index].octets.partition(b"\r\n\r\n")
        lines = body.split(b"\r\n")[:int(count)]
        await self.ok(b"Top of it", header + blank + b"".join(line + b"\r\n" for line in lines))

    async def do_dele(self, rest):
        index = await self.index(rest)
        if index is not None:
            self.deleted.add(index)
            await self.ok(b"Gone at QUIT")

    async def do_rset(self, rest):
        self.deleted.clear()
        await self.ok(b"%d messages" % len(self.messages))

    async def do_noop(self, rest):
        await self.ok()

    async def do_quit(self, rest):
        if self.messages is not None:
            self.store.remove(self.store.inbox, [self.messages[i] for i in self.deleted])
        raise Hangup(b"+OK Bye\r\n")
