"""IMAP4rev1 (RFC 3501) with what clients of today expect beside it.

Extensions: LITERAL+ (RFC 7888), SASL-IR (RFC 4959), IDLE (RFC 2177), NAMESPACE (RFC 2342), ID (RFC
2971), UIDPLUS (RFC 4315), UNSELECT (RFC 3691), MOVE (RFC 6851), CHILDREN (RFC 3348).
"""

import base64
import binascii
import re

import connection
from connection import Connection, Hangup
from imap_selected import SelectedCommands, normal_flags
from imap_syntax import LITERAL, BadSyntax, Parser, matches, string
from imap_view import View
from store import SYSTEM_FLAGS, Full

CAPABILITIES = (b"IMAP4rev1 LITERAL+ SASL-IR AUTH=PLAIN IDLE NAMESPACE ID UIDPLUS UNSELECT MOVE "
                b"CHILDREN")
TAG = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\+]+')
# Where a command is allowed, by how far the session is.
ANY, BEFORE_LOGIN, LOGGED_IN, SELECTED = range(4)


class ImapConnection(SelectedCommands, Connection):
    too_long = b"* BYE Line too long\r\n"

    def __init__(self, reader, writer, store):
        super().__init__(reader, writer, store)
        self.logged_in = False
        self.view = None
        self.idling = False
        self.commands = {
            "CAPABILITY": (self.do_capability, ANY), "NOOP": (self.do_noop, ANY),
            "LOGOUT": (self.do_logout, ANY), "ID": (self.do_id, ANY),
            "LOGIN": (self.do_login, BEFORE_LOGIN), "AUTHENTICATE": (self.do_authenticate, BEFORE_LOGIN),
            "SELECT": (self.do_select, LOGGED_IN), "EXAMINE": (self.do_examine, LOGGED_IN),
            "CREATE": (self.do_create, LOGGED_IN), "DELETE": (self.do_delete, LOGGED_IN),
            "RENAME": (self.do_rename, LOGGED_IN), "SUBSCRIBE": (self.do_subscribe, LOGGED_IN),
            "UNSUBSCRIBE": (self.do_unsubscribe, LOGGED_IN), "LIST": (self.do_list, LOGGED_IN),
            "LSUB": (self.do_lsub, LOGGED_IN), "STATUS": (self.do_status, LOGGED_IN),
            "APPEND": (self.do_append, LOGGED_IN), "NAMESPACE": (self.do_namespace, LOGGED_IN),
            "IDLE": (self.do_idle, LOGGED_IN),
            "FETCH": (self.do_fetch, SELECTED), "STORE": (self.do_store, SELECTED),
            "SEARCH": (self.do_search, SELECTED), "COPY": (self.do_copy, SELECTED),
            "MOVE": (self.do_move, SELECTED), "UID": (self.do_uid, SELECTED),
            "EXPUNGE": (self.do_expunge, SELECTED), "CHECK": (self.do_check, SELECTED),
            "CLOSE": (self.do_close, SELECTED), "UNSELECT": (self.do_unselect, SELECTED),
        }

    async def serve(self):
        await self.send(b"* OK [CAPABILITY " + CAPABILITIES + b"] demo mail server\r\n")
        while True:
            octets = await self.read_command()
            if octets is not None:
                await self.run_command(octets)

    async def read_command(self):
        """One command with its literals, or None when a literal was refused."""
        read = b""
        while True:
            line = (await self.read_line()).rstrip(b"\r\n")
            literal = LITERAL.search(line)
            if literal is None:
                return read + line
            size, now = int(literal[1]), bool(literal[2])
            words = (read + line).split(b" ", 2)
            append = self.logged_in and len(words) > 1 and words[1].upper() == b"APPEND"
            limit = self.store.message_limit if append else connection.LINE_LIMIT
            if len(read) + size > limit:
                if now:  # it is on its way already: there is no way to refuse it but to hang up
                    raise Hangup(b"* BYE [TOOBIG] Literal too large\r\n")
                await self.no(TAG.match(words[0] + b"*")[0] if TAG.match(words[0]) else b"*",
                              b"[TOOBIG] Literal too large")
                return None
            if not now:
                await self.send(b"+ Go on\r\n")
            read += line + b"\r\n" + await self.reader.readexactly(size)

    async def run_command(self, octets):
        parser = Parser(octets)
        tag = b"*"
        try:
            tag = parser.match(TAG, "tag")[0]
            parser.space()
            name = parser.atom("command").upper()
            if name not in self.commands:
                raise BadSyntax("command not known")
            command, where = self.commands[name]
            if where == BEFORE_LOGIN and self.logged_in:
                raise BadSyntax("logged in already")
            if where in (LOGGED_IN, SELECTED) and not self.logged_in:
                raise BadSyntax("log in first")
            if where == SELECTED and self.view is None:
                raise BadSyntax("no mailbox is selected")
            await command(tag, parser)
        except BadSyntax as bad:
            await self.send(tag + b" BAD " + str(bad).capitalize().encode("ascii", "replace") + b"\r\n")
            self.count_error(b"* BYE Too many errors\r\n")

    async def done(self, tag, name, code=b"", update=True):
        changes = self.view.changes() if update and self.view is not None else b""
        await self.send(changes + tag + b" OK " + (code + b" " if code else b"") + name + b" done\r\n")

    async def no(self, tag, text):
        await self.send(tag + b" NO " + text + b"\r\n")

    def closed(self):
        self.unselect()

    def unselect(self):
        if self.view is not None:
            self.view.mailbox.watchers.discard(self)
            self.view = None

    def mailbox_changed(self):
        if self.idling and self.view is not None:
            self.push(self.view.changes())

    # --- any state ---

    async def do_capability(self, tag, parser):
        parser.end()
        await self.send(b"* CAPABILITY " + CAPABILITIES + b"\r\n")
        await self.done(tag, b"CAPABILITY")

    async def do_noop(self, tag, parser):
        parser.end()
        await self.done(tag, b"NOOP")

    async def do_id(self, tag, parser):
        await self.send(b'* ID ("name" "demo-mail-server")\r\n')
        await self.done(tag, b"ID")

    async def do_logout(self, tag, parser):
        raise Hangup(b"* BYE Logging out\r\n" + tag + b" OK LOGOUT done\r\n")

    # --- before login ---

    async def do_login(self, tag, parser):
        parser.space()
        user = parser.astring("user")
        parser.space()
        password = parser.astring("password")
        parser.end()
        await self.finish_login(tag, self.store.authenticate(user, password), b"LOGIN")

    async def do_authenticate(self, tag, parser):
        parser.space()
        if parser.atom("mechanism").upper() != "PLAIN":
            return await self.no(tag, b"Mechanism not known")
        if parser.accept(b" "):
            response = parser.octets[parser.at:]
        else:
            await self.send(b"+ \r\n")
            response = (await self.read_line()).strip()
        try:
            plain = base64.b64decode(b"" if response == b"=" else response, validate=True)
        except binascii.Error:  # "*", by which the client gives up, is no base64 either
            raise BadSyntax("no base64") from None
        await self.finish_login(tag, self.store.authenticate_plain(plain), b"AUTHENTICATE")

    async def finish_login(self, tag, good, name):
        if good:
            self.logged_in = True
            return await self.done(tag, name, code=b"[CAPABILITY " + CAPABILITIES + b"]")
        await self.no(tag, b"[AUTHENTICATIONFAILED] User or password wrong")
        self.count_error(b"* BYE Too many errors\r\n")

    # --- mailboxes ---

    async def do_select(self, tag, parser, read_only=False):
        parser.space()
        name = parser.mailbox()
        parser.end()
        self.unselect()  # also when it fails (RFC 3501 section 6.3.1)
        mailbox = self.store.find(name)
        if mailbox is None:
            return await self.no(tag, b"[NONEXISTENT] No such mailbox")
        self.view = view = View(mailbox, read_only)
        mailbox.watchers.add(self)
        flags = " ".join(list(SYSTEM_FLAGS) + mailbox.keywords()).encode()
        permanent = b"" if read_only else flags + b" \\*"
        lines = [b"%d EXISTS" % len(view.messages), b"%d RECENT" % len(view.recent),
                 b"FLAGS (" + flags + b")", b"OK [PERMANENTFLAGS (" + permanent + b")] Kept",
                 b"OK [UIDVALIDITY %d] Valid" % mailbox.uid_validity,
                 b"OK [UIDNEXT %d] Next" % mailbox.uid_next]
        unseen = next((n for n, m in enumerate(view.messages, 1) if "\\Seen" not in m.flags), None)
        if unseen is not None:
            lines.append(b"OK [UNSEEN %d] First" % unseen)
        await self.send(b"".join(b"* " + line + b"\r\n" for line in lines))
        code = b"[READ-ONLY]" if read_only else b"[READ-WRITE]"
        await self.done(tag, b"EXAMINE" if read_only else b"SELECT", code=code)

    async def do_examine(self, tag, parser):
        await self.do_select(tag, parser, read_only=True)

    async def do_create(self, tag, parser):
        parser.space()
        name = parser.mailbox()
        parser.end()
        try:
            created = self.store.create(name)
        except Full:
            return await self.no(tag, b"[LIMIT] Too many mailboxes")
        if not created:
            return await self.no(tag, b"[ALREADYEXISTS] There is such a mailbox, or this is no name")
        await self.done(tag, b"CREATE")

    async def do_delete(self, tag, parser):
        parser.space()
        name = parser.mailbox()
        parser.end()
        if not self.store.delete(name):
            return await self.no(tag, b"[NONEXISTENT] No such mailbox that can be deleted")
        await self.done(tag, b"DELETE")

    async def do_rename(self, tag, parser):
        parser.space()
        old = parser.mailbox()
        parser.space()
        new = parser.mailbox()
        parser.end()
        if not self.store.rename(old, new):
            return await self.no(tag, b"[CANNOT] This cannot be renamed so")
        await self.done(tag, b"RENAME")

    async def do_subscribe(self, tag, parser):
        parser.space()
        name = self.store.canonical(parser.mailbox())
        parser.end()
        if self.store.find(name) is None:
            return await self.no(tag, b"[NONEXISTENT] No such mailbox")
        self.store.subscribed.add(name)
        await self.done(tag, b"SUBSCRIBE")

    async def do_unsubscribe(self, tag, parser):
        parser.space()
        self.store.subscribed.discard(self.store.canonical(parser.mailbox()))
        parser.end()
        await self.done(tag, b"UNSUBSCRIBE")

    async def do_list(self, tag, parser, name=b"LIST", among=None):
        parser.space()
        reference = parser.mailbox()
        parser.space()
        pattern = parser.list_mailbox()
        parser.end()
        if not pattern:  # asks for the hierarchy delimiter alone (RFC 3501 section 6.3.8)
            await self.send(b"* " + name + b' (\\Noselect) "/" ""\r\n')
            return await self.done(tag, name)
        names = sorted(self.store.mailboxes if among is None else among)
        for mailbox in names:
            if matches(reference + pattern, mailbox):
                parent = any(other.startswith(mailbox + "/") for other in self.store.mailboxes)
                children = b"\\HasChildren" if parent else b"\\HasNoChildren"
                await self.send(b"* " + name + b" (" + children + b') "/" ' +
                                string(mailbox.encode()) + b"\r\n")
        await self.done(tag, name)

    async def do_lsub(self, tag, parser):
        await self.do_list(tag, parser, b"LSUB", self.store.subscribed)

    async def do_status(self, tag, parser):
        parser.space()
        name = parser.mailbox()
        parser.space()
        items = [item.upper() for item in parser.parenthesised(parser.atom, "items")]
        parser.end()
        mailbox = self.store.find(name)
        if mailbox is None:
            return await self.no(tag, b"[NONEXISTENT] No such mailbox")
        values = {"MESSAGES": len(mailbox.messages), "RECENT": mailbox.recent(),
                  "UIDNEXT": mailbox.uid_next, "UIDVALIDITY": mailbox.uid_validity,
                  "UNSEEN": mailbox.unseen()}
        if not set(items) <= set(values):
            raise BadSyntax("status item not known")
        shown = " ".join(f"{item} {values[item]}" for item in items).encode()
        await self.send(b"* STATUS " + string(mailbox.name.encode()) + b" (" + shown + b")\r\n")
        await self.done(tag, b"STATUS")

    async def do_append(self, tag, parser):
        parser.space()
        mailbox = self.store.find(parser.mailbox())
        parser.space()
        flags, date = (), None
        if parser.peek(b"("):
            flags = normal_flags(parser.parenthesised(parser.flag, "flags"))
            parser.space()
        if parser.peek(b'"'):
            date = parser.date_time()
            parser.space()
        octets = parser.string("message")
        parser.end()
        if mailbox is None:
            return await self.no(tag, b"[TRYCREATE] No such mailbox")
        try:
            message = self.store.add(mailbox, octets, flags, date)
        except Full:
            return await self.no(tag, b"[OVERQUOTA] No room for this message")
        code = b"[APPENDUID %d %d]" % (mailbox.uid_validity, message.uid)
        await self.done(tag, b"APPEND", code=code)

    async def do_namespace(self, tag, parser):
        parser.end()
        await self.send(b'* NAMESPACE (("" "/")) NIL NIL\r\n')
        await self.done(tag, b"NAMESPACE")

    async def do_idle(self, tag, parser):
        parser.end()
        changes = self.view.changes() if self.view is not None else b""
        self.idling = True
        try:
            await self.send(b"+ Idling\r\n" + changes)
            line = (await self.read_line()).strip()
        finally:
            self.idling = False
        if line.upper() != b"DONE":
            raise BadSyntax("DONE expected")
        await self.done(tag, b"IDLE")
