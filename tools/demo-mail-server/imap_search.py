"""SEARCH (RFC 3501 section 6.4.4): criteria become one function of a message."""

import email.header
import email.utils

import mime_parts
from imap_syntax import BadSyntax, ascii_text

DEPTH_LIMIT = 50
HEADERS = ("BCC", "CC", "FROM", "SUBJECT", "TO")
FLAGS = {
    "ANSWERED": "\\Answered", "DELETED": "\\Deleted", "DRAFT": "\\Draft", "FLAGGED": "\\Flagged",
    "SEEN": "\\Seen",
}


class Search:
    def __init__(self, parser, largest_number, largest_uid, recent):
        self.parser = parser
        self.largest_number = largest_number
        self.largest_uid = largest_uid
        self.recent = recent  # uids that are \\Recent in this session
        self.charset = "utf-8"

    def parse(self):
        """A function of (message, its number). Raises LookupError for a charset nobody knows."""
        if self.parser.accept(b"CHARSET "):
            self.charset = ascii_text(self.parser.astring("charset"))
            "".encode(self.charset)
            self.parser.space()
        found = self.keys(0)
        self.parser.end()
        return found

    def keys(self, depth):
        found = [self.key(depth)]
        while self.parser.accept(b" "):
            found.append(self.key(depth))
        return found[0] if len(found) == 1 else lambda m, n: all(key(m, n) for key in found)

    def key(self, depth):
        if depth > DEPTH_LIMIT:
            raise BadSyntax("criteria nested too deep")
        if self.parser.accept(b"("):
            found = self.keys(depth + 1)
            self.parser.expect(b")", ")")
            return found
        if self.parser.octets[self.parser.at:self.parser.at + 1].isdigit() or self.parser.peek(b"*"):
            contains = self.parser.sequence_set().resolve(self.largest_number)
            return lambda m, n: contains(n)
        name = self.parser.atom("search key").upper()
        if name in FLAGS or (name.startswith("UN") and name[2:] in FLAGS):
            flag, wanted = FLAGS[name.removeprefix("UN")], not name.startswith("UN")
            return lambda m, n: (flag in m.flags) == wanted
        if name in HEADERS:
            return self.header(name, self.text())
        method = getattr(self, "key_" + name.lower(), None)
        if method is None:
            raise BadSyntax(f"search key {name} is not known")
        return method(depth)

    def text(self):
        self.parser.space()
        return self.parser.astring().decode(self.charset, "replace").lower()

    def date(self):
        self.parser.space()
        return self.parser.date()

    def size(self):
        self.parser.space()
        return self.parser.number()

    @staticmethod
    def header(name, text):
        def contains(message, _):
            header = mime_parts.split_header(message.octets)[0]
            return any(text in decoded(raw.partition(b":")[2])
                       for found, raw in mime_parts.fields(header) if found == name)
        return contains

    def key_all(self, depth):
        return lambda m, n: True

    def key_recent(self, depth):
        return lambda m, n: m.uid in self.recent

    def key_old(self, depth):
        return lambda m, n: m.uid not in self.recent

    def key_new(self, depth):
        return lambda m, n: m.uid in self.recent and "\\Seen" not in m.flags

    def key_not(self, depth):
        self.parser.space()
        inner = self.key(depth + 1)
        return lambda m, n: not inner(m, n)

    def key_or(self, depth):
        self.parser.space()
        one = self.key(depth + 1)
        self.parser.space()
        other = self.key(depth + 1)
        return lambda m, n: one(m, n) or other(m, n)

    def key_keyword(self, depth):
        self.parser.space()
        flag = self.parser.atom("keyword").lower()
        return lambda m, n: any(f.lower() == flag for f in m.flags)

    def key_unkeyword(self, depth):
        has = self.key_keyword(depth)
        return lambda m, n: not has(m, n)

    def key_uid(self, depth):
        self.parser.space()
        contains = self.parser.sequence_set().resolve(self.largest_uid)
        return lambda m, n: contains(m.uid)

    def key_header(self, depth):
        self.parser.space()
        name = ascii_text(self.parser.astring("header name")).upper()
        return self.header(name, self.text())

    def key_body(self, depth):
        text = self.text().encode()
        return lambda m, n: text in mime_parts.split_header(m.octets)[1].lower()

    def key_text(self, depth):
        text = self.text().encode()
        return lambda m, n: text in m.octets.lower()

    def key_larger(self, depth):
        size = self.size()
        return lambda m, n: len(m.octets) > size

    def key_smaller(self, depth):
        size = self.size()
        return lambda m, n: len(m.octets) < size

    def key_before(self, depth):
        date = self.date()
        return lambda m, n: m.date.date() < date

    def key_on(self, depth):
        date = self.date()
        return lambda m, n: m.date.date() == date

    def key_since(self, depth):
        date = self.date()
        return lambda m, n: m.date.date() >= date

    def key_sentbefore(self, depth):
        date = self.date()
        return lambda m, n: (sent_date(m) or date) < date

    def key_senton(self, depth):
        date = self.date()
        return lambda m, n: sent_date(m) == date

    def key_sentsince(self, depth):
        date = self.date()
        return lambda m, n: (sent := sent_date(m)) is not None and sent >= date


def decoded(raw):
    text = raw.decode("utf-8", "replace")
    try:
        return str(email.header.make_header(email.header.decode_header(text))).lower()
    except Exception:  # that library's answer to odd encoded words is many kinds of exception
        return text.lower()


def sent_date(message):
    raw = mime_parts.value(mime_parts.split_header(message.octets)[0], "DATE")
    try:
        return email.utils.parsedate_to_datetime(raw.decode("ascii")).date()
    except (AttributeError, ValueError, TypeError):
        return None
