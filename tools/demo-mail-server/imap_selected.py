"""The IMAP commands that work on the messages of the selected mailbox (RFC 3501 section 6.4)."""

import imap_fetch
from imap_search import Search
from imap_syntax import BadSyntax
from store import KEYWORD_LIMIT, SYSTEM_FLAGS, Full


def normal_flags(flags):
    """Flags as they are kept: system flags in their usual case, \\Recent and unknown \\ ones left out."""
    system = {flag.upper(): flag for flag in SYSTEM_FLAGS}
    return {system.get(flag.upper(), flag) for flag in flags
            if not flag.startswith("\\") or flag.upper() in system}


def uid_set(uids):
    """The uids, in ascending order, as "1:3,7"."""
    ranges = []
    for uid in uids:
        if ranges and uid == ranges[-1][1] + 1:
            ranges[-1][1] = uid
        else:
            ranges.append([uid, uid])
    return ",".join(f"{a}:{b}" if a != b else f"{a}" for a, b in ranges).encode()


class SelectedCommands:
    """Mixed into ImapConnection; `self.view` is a View."""

    async def do_fetch(self, tag, parser, by_uid=False):
        pairs = self.chosen(parser, by_uid)
        parser.space()
        items = imap_fetch.parse_items(parser)
        parser.end()
        if by_uid and "UID" not in items:
            items.insert(0, "UID")
        seen = imap_fetch.marks_seen(items) and not self.view.read_only
        for number, message in pairs:
            asked = items
            if seen and self.view.store_flags([(number, message)], lambda flags: flags | {"\\Seen"}):
                if "FLAGS" not in items:
                    asked = items + ["FLAGS"]
            answer = imap_fetch.render(asked, message, self.view.flags(message))
            await self.send(b"* %d FETCH " % number + answer + b"\r\n")
        await self.done(tag, b"FETCH", update=by_uid)

    async def do_store(self, tag, parser, by_uid=False):
        pairs = self.chosen(parser, by_uid)
        parser.space()
        mode = parser.atom("FLAGS").upper()
        silent = mode.endswith(".SILENT")
        mode = mode.removesuffix(".SILENT")
        parser.space()
        if parser.peek(b"("):
            flags = parser.parenthesised(parser.flag, "flags")
        else:
            flags = [parser.flag()]
            while parser.accept(b" "):
                flags.append(parser.flag())
        parser.end()
        flags = normal_flags(flags)
        changes = {"FLAGS": lambda old: set(flags), "+FLAGS": lambda old: old | flags,
                   "-FLAGS": lambda old: old - flags}
        if mode not in changes:
            raise BadSyntax("FLAGS, +FLAGS or -FLAGS expected")
        if self.view.read_only:
            return await self.no(tag, b"[READ-ONLY] The mailbox was opened by EXAMINE")
        if len(set(self.view.mailbox.keywords()) | (flags - set(SYSTEM_FLAGS))) > KEYWORD_LIMIT:
            return await self.no(tag, b"[LIMIT] Too many keywords")
        self.view.store_flags(pairs, changes[mode])
        if not silent:
            items = ["UID", "FLAGS"] if by_uid else ["FLAGS"]
            for number, message in pairs:
                answer = imap_fetch.render(items, message, self.view.flags(message))
                await self.send(b"* %d FETCH " % number + answer + b"\r\n")
        await self.done(tag, b"STORE", update=by_uid)

    async def do_search(self, tag, parser, by_uid=False):
        parser.space()
        search = Search(parser, len(self.view.messages), self.view.largest_uid(), self.view.recent)
        try:
            wanted = search.parse()
        except LookupError:
            return await self.no(tag, b"[BADCHARSET (UTF-8 US-ASCII)] Charset not known")
        found = [b" %d" % (m.uid if by_uid else n)
                 for n, m in enumerate(self.view.messages, 1) if wanted(m, n)]
        await self.send(b"* SEARCH" + b"".join(found) + b"\r\n")
        await self.done(tag, b"SEARCH", update=by_uid)

    async def do_copy(self, tag, parser, by_uid=False, move=False):
        pairs = self.chosen(parser, by_uid)
        parser.space()
        target = self.store.find(parser.mailbox())
        parser.end()
        if target is None:
            return await self.no(tag, b"[TRYCREATE] No such mailbox")
        if move and self.view.read_only:
            return await self.no(tag, b"[READ-ONLY] The mailbox was opened by EXAMINE")
        copies = []
        try:
            for _, message in pairs:
                copies.append(self.store.add(target, message.octets, message.flags, message.date))
        except Full:  # RFC 3501 section 6.4.7: all or none
            self.store.remove(target, copies)
            return await self.no(tag, b"[OVERQUOTA] No room for the copies")
        code = b""
        if pairs:
            code = b"[COPYUID %d %s %s]" % (target.uid_validity, uid_set(m.uid for _, m in pairs),
                                            uid_set(m.uid for m in copies))
        if not move:
            return await self.done(tag, b"COPY", code=code)
        if code:
            await self.send(b"* OK " + code + b" Moved\r\n")  # RFC 6851 section 4.3
        self.store.remove(self.view.mailbox, [m for _, m in pairs])
        await self.done(tag, b"MOVE")

    async def do_move(self, tag, parser, by_uid=False):
        await self.do_copy(tag, parser, by_uid, move=True)

    async def do_uid(self, tag, parser):
        parser.space()
        name = parser.atom("command").upper()
        commands = {"FETCH": self.do_fetch, "STORE": self.do_store, "SEARCH": self.do_search,
                    "COPY": self.do_copy, "MOVE": self.do_move, "EXPUNGE": self.do_expunge}
        if name not in commands:
            raise BadSyntax("UID goes with FETCH, STORE, SEARCH, COPY, MOVE or EXPUNGE")
        await commands[name](tag, parser, by_uid=True)

    async def do_expunge(self, tag, parser, by_uid=False):
        pairs = self.chosen(parser, True) if by_uid else list(enumerate(self.view.messages, 1))
        parser.end()
        if self.view.read_only:
            return await self.no(tag, b"[READ-ONLY] The mailbox was opened by EXAMINE")
        self.remove_deleted(pairs)
        await self.done(tag, b"EXPUNGE")

    async def do_check(self, tag, parser):
        parser.end()
        await self.done(tag, b"CHECK")

    async def do_close(self, tag, parser):
        parser.end()
        if not self.view.read_only:
            self.remove_deleted(enumerate(self.view.messages, 1))
        self.unselect()
        await self.done(tag, b"CLOSE")

    async def do_unselect(self, tag, parser):
        parser.end()
        self.unselect()
        await self.done(tag, b"UNSELECT")

    def chosen(self, parser, by_uid):
        parser.space()
        return self.view.choose(parser.sequence_set(), by_uid)

    def remove_deleted(self, pairs):
        self.store.remove(self.view.mailbox, [m for _, m in pairs if "\\Deleted" in m.flags])
