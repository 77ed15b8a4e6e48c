"""FETCH (RFC 3501 section 6.4.5): what is asked for, and what one message answers."""

import re

import mime_parts
from imap_syntax import BadSyntax, internal_date

MACROS = {
    "ALL": ("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"),
    "FAST": ("FLAGS", "INTERNALDATE", "RFC822.SIZE"),
    "FULL": ("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY"),
}
SIMPLE = ("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODYSTRUCTURE", "UID", "BODY")
# The names RFC 3501 keeps from RFC 1730: (section, peek).
OLD_NAMES = {"RFC822": ("", False), "RFC822.HEADER": ("HEADER", True), "RFC822.TEXT": ("TEXT", False)}
ITEM_NAME = re.compile(rb"[A-Za-z0-9.]+")
SECTION_PART = re.compile(rb"\d{1,6}(?:\.\d{1,6})*")


class Section:
    """BODY[...]: which octets, under which name they are answered."""

    def __init__(self, label, path=(), text="", names=(), peek=False, partial=None):
        self.label = label
        self.path = path
        self.text = text  # "", HEADER, HEADER.FIELDS, HEADER.FIELDS.NOT, TEXT or MIME
        self.names = names
        self.peek = peek
        self.partial = partial

    def render(self, root):
        octets = self.octets(root)
        if octets is None:
            return self.label + b" NIL"
        label = self.label
        if self.partial is not None:
            start, count = self.partial
            octets = octets[start:start + count]
            label += b"<%d>" % start
        return label + b" {%d}\r\n" % len(octets) + octets

    def octets(self, root):
        part = root.find(self.path)
        if part is None:
            return None
        if not self.text:
            return part.body if self.path else part.octets
        if self.text == "MIME":
            return part.header
        if self.path:  # HEADER and TEXT of a part are those of the message in it
            if not part.is_message():
                return None
            part = part.children[0]
        if self.text == "TEXT":
            return part.body
        if self.text == "HEADER":
            return part.header
        wanted = self.text == "HEADER.FIELDS"
        return b"".join(raw if raw.endswith(b"\n") else raw + b"\r\n"
                        for name, raw in mime_parts.fields(part.header)
                        if (name in self.names) == wanted) + b"\r\n"


def parse_items(parser):
    """The items asked for: names of SIMPLE and Sections."""
    if parser.peek(b"("):
        return [item for items in parser.parenthesised(lambda: [parse_item(parser)], "items") for item in items]
    start = parser.at
    name = parser.match(ITEM_NAME, "item")[0].decode().upper()
    if name in MACROS:
        return list(MACROS[name])
    parser.at = start
    return [parse_item(parser)]


def parse_item(parser):
    name = parser.match(ITEM_NAME, "item")[0].decode().upper()
    if name in ("BODY", "BODY.PEEK") and parser.accept(b"["):
        return parse_section(parser, name == "BODY.PEEK")
    if name in OLD_NAMES:
        text, peek = OLD_NAMES[name]
        return Section(name.encode(), text=text, peek=peek)
    if name not in SIMPLE:
        raise BadSyntax(f"item {name} is not known")
    return name


def parse_section(parser, peek):
    start = parser.at
    path, text, names = (), "", ()
    if not parser.peek(b"]"):
        match = SECTION_PART.match(parser.octets, parser.at)
        if match is not None:
            path = tuple(int(number) for number in match[0].split(b"."))
            parser.at = match.end()
        if not path or parser.accept(b"."):
            text = parser.match(ITEM_NAME, "section")[0].decode().upper()
    if text.startswith("HEADER.FIELDS"):
        parser.space()
        names = tuple(name.decode("latin-1").upper()
                      for name in parser.parenthesised(parser.astring, "header names"))
    allowed = ("", "HEADER", "HEADER.FIELDS", "HEADER.FIELDS.NOT", "TEXT") + (("MIME",) if path else ())
    if text not in allowed:
        raise BadSyntax(f"section {text} is not known")
    label = b"BODY[" + parser.octets[start:parser.at].upper() + b"]"
    parser.expect(b"]", "]")
    partial = None
    if parser.accept(b"<"):
        first = parser.number()
        parser.expect(b".", "dot")
        partial = (first, parser.number())
        parser.expect(b">", ">")
    return Section(label, path, text, names, peek, partial)


def marks_seen(items):
    return any(isinstance(item, Section) and not item.peek for item in items)


def render(items, message, flags):
    """The answer for one message, without its number; `flags` as the session shows them."""
    root = None
    out = []
    for item in items:
        if item == "FLAGS":
            out.append(b"FLAGS " + flags)
        elif item == "UID":
            out.append(b"UID %d" % message.uid)
        elif item == "INTERNALDATE":
            out.append(b"INTERNALDATE " + internal_date(message.date))
        elif item == "RFC822.SIZE":
            out.append(b"RFC822.SIZE %d" % len(message.octets))
        elif item == "ENVELOPE":
            out.append(b"ENVELOPE " + mime_parts.envelope(mime_parts.split_header(message.octets)[0]))
        elif isinstance(item, Section) and not item.path and not item.text:
            # A whole message needs no look at its structure.
            out.append(item.render(WholeMessage(message.octets)))
        else:
            root = root or mime_parts.Part(message.octets)
            if isinstance(item, Section):
                out.append(item.render(root))
            else:
                out.append(item.encode() + b" " + mime_parts.body_structure(root, item == "BODYSTRUCTURE"))
    return b"(" + b" ".join(out) + b")"


class WholeMessage:
    def __init__(self, octets):
        self.octets = octets

    def find(self, _):
        return self
