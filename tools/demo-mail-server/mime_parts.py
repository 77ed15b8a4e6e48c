"""The MIME structure of a message (RFC 2045, RFC 2046) with the exact octets of every part.

The standard library's parser keeps no offsets, and BODY[1.2] must come out as it came in; so parts
are split here, and only single header fields are left to it.
"""

import email.parser
import email.policy
import email.utils
import re

from imap_syntax import nstring, string

DEPTH_LIMIT = 20
PART_LIMIT = 500


def split_header(octets):
    """(header with the blank line, body)."""
    match = re.search(rb"(?:\A|\r?\n)\r?\n", octets)
    if match is None:
        return octets, b""
    return octets[:match.end()], octets[match.end():]


def fields(header):
    """The header's fields as (name, raw octets with line end) in their order."""
    found = []
    for match in re.finditer(rb"(?m)^([^\s:]+)[ \t]*:.*(?:\r?\n|\Z)(?:[ \t].*(?:\r?\n|\Z))*", header):
        found.append((match[1].decode("latin-1").upper(), match[0]))
    return found


def value(header, name):
    """The unfolded value of the first field `name`, or None."""
    for found, raw in fields(header):
        if found == name:
            return re.sub(rb"\r?\n", b"", raw.partition(b":")[2]).strip()
    return None


class Part:
    def __init__(self, octets, default="text/plain", depth=0, budget=None):
        budget = budget if budget is not None else [PART_LIMIT]
        self.octets = octets
        self.header, self.body = split_header(octets)
        self.parameters = []
        self.disposition = None
        self.children = []  # of a multipart, or the one message of message/rfc822
        kind = default
        try:
            parsed = email.parser.BytesParser(policy=email.policy.compat32).parsebytes(self.header, headersonly=True)
            parsed.set_default_type(default)
            kind = parsed.get_content_type()
            self.parameters = [(k, v) for k, v in (parsed.get_params() or [])[1:] if isinstance(v, str)]
            self.boundary = parsed.get_boundary()
            if parsed.get_content_disposition():
                rest = parsed.get_params(header="content-disposition")[1:]
                self.disposition = (parsed.get_content_disposition(),
                                    [(k, v) for k, v in rest if isinstance(v, str)])
        except Exception:  # that library's answer to odd fields is many kinds of exception
            self.boundary = None
        self.main, _, self.sub = kind.partition("/")
        self.split(depth, budget)
        if self.main == "multipart" and not self.children:
            self.main, self.sub, self.parameters = "text", "plain", []

    def split(self, depth, budget):
        if depth >= DEPTH_LIMIT:
            return
        if self.main == "multipart" and self.boundary:
            default = "message/rfc822" if self.sub == "digest" else "text/plain"
            for octets in split_multipart(self.body, self.boundary.encode("utf-8", "surrogateescape")):
                budget[0] -= 1
                if budget[0] < 0:
                    return
                self.children.append(Part(octets, default, depth + 1, budget))
        elif (self.main, self.sub) == ("message", "rfc822"):
            self.children.append(Part(self.body, depth=depth + 1, budget=budget))

    def is_message(self):
        return (self.main, self.sub) == ("message", "rfc822") and bool(self.children)

    def find(self, path):
        """The part with the numbers `path` (RFC 3501 section 6.4.5), or None."""
        part = self
        for number in path:
            if part.is_message():
                part = part.children[0]
            if part.main == "multipart":
                if not 1 <= number <= len(part.children):
                    return None
                part = part.children[number - 1]
            elif number != 1:
                return None
        return part


def split_multipart(body, boundary):
    delimiter = re.compile(rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r?\n|\Z)")
    start, found = None, []
    for match in delimiter.finditer(body):
        if start is not None:
            found.append(body[start:match.start()])
        if match[1]:
            return found
        start = match.end() + (2 if body.startswith(b"\r\n", match.end()) else 1)
    if start is not None:
        found.append(body[start:])
    return found


def parenthesised(items):
    return b"(" + b" ".join(items) + b")" if items else b"NIL"


def parameter_list(pairs):
    return parenthesised([string(text.encode("utf-8", "surrogateescape")) for pair in pairs for text in pair])


def disposition(part):
    if part.disposition is None:
        return b"NIL"
    return b"(" + string(part.disposition[0].encode()) + b" " + parameter_list(part.disposition[1]) + b")"


def body_structure(part, extended):
    """BODYSTRUCTURE, or BODY when not `extended` (RFC 3501 section 7.4.2)."""
    if part.main == "multipart":
        out = b"".join(body_structure(child, extended) for child in part.children)
        out += b" " + string(part.sub.encode())
        if extended:
            out += b" " + parameter_list(part.parameters) + b" " + disposition(part) + b" NIL NIL"
        return b"(" + out + b")"
    encoding = value(part.header, "CONTENT-TRANSFER-ENCODING") or b"7BIT"
    items = [string(part.main.encode()), string(part.sub.encode()), parameter_list(part.parameters),
             nstring(value(part.header, "CONTENT-ID")), nstring(value(part.header, "CONTENT-DESCRIPTION")),
             string(encoding), b"%d" % len(part.body)]
    if part.is_message():
        items += [envelope(part.children[0].header), body_structure(part.children[0], extended)]
    if part.main == "text" or part.is_message():
        items.append(b"%d" % part.body.count(b"\n"))
    if extended:
        items += [b"NIL", disposition(part), b"NIL", b"NIL"]
    return b"(" + b" ".join(items) + b")"


def addresses(header, name):
    raw = value(header, name)
    if raw is None:
        return None
    found = []
    for shown, address in email.utils.getaddresses([raw.decode("utf-8", "surrogateescape")]):
        if address:
            box, _, host = address.rpartition("@")
            texts = (shown or None, None, box or host, host if box else "")
            found.append(b"(" + b" ".join(nstring(None if t is None else t.encode("utf-8", "surrogateescape"))
                                          for t in texts) + b")")
    return b"(" + b"".join(found) + b")" if found else None


def envelope(header):
    sender = addresses(header, "FROM") or b"NIL"
    items = [nstring(value(header, "DATE")), nstring(value(header, "SUBJECT")), sender,
             addresses(header, "SENDER") or sender, addresses(header, "REPLY-TO") or sender]
    items += [addresses(header, name) or b"NIL" for name in ("TO", "CC", "BCC")]
    items += [nstring(value(header, "IN-REPLY-TO")), nstring(value(header, "MESSAGE-ID"))]
    return b"(" + b" ".join(items) + b")"
