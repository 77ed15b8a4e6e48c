"""The words of IMAP commands (RFC 3501 section 9): read by Parser, written by the functions below."""

import bisect
import datetime
import re

LITERAL = re.compile(rb"\{(\d{1,10})(\+?)\}$")
ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
ASTRING_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]+')
LIST_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){"\\]+')
FLAG = re.compile(rb'\\?[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
SEQUENCE_SET = re.compile(rb"(?:\d{1,10}|\*)(?::(?:\d{1,10}|\*))?(?:,(?:\d{1,10}|\*)(?::(?:\d{1,10}|\*))?)*")
QUOTED = re.compile(rb'"((?:[^"\\\r\n\x00]|\\["\\])*)"')
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DATE = re.compile(r"(\d{1,2})-(\w{3})-(\d{4})", re.ASCII)
DATE_TIME = re.compile(r" ?(\d{1,2})-(\w{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)", re.ASCII)


class BadSyntax(Exception):
    """The command is not IMAP; its text is for the client."""


class SequenceSet:
    """A set of numbers as in "1:3,7,9:*"."""

    def __init__(self, text):
        self.parts = [part.partition(":")[::2] for part in text.split(",")]

    def resolve(self, largest):
        """A function that tells whether a number is in the set, "*" being `largest`."""
        ranges = []
        for low, high in self.parts:
            first = largest if low == "*" else int(low)
            last = first if not high else largest if high == "*" else int(high)
            ranges.append((min(first, last), max(first, last)))
        ranges.sort()
        merged = []
        for low, high in ranges:
            if merged and low <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(merged[-1][1], high))
            else:
                merged.append((low, high))
        starts = [low for low, _ in merged]

        def contains(number):
            at = bisect.bisect_right(starts, number) - 1
            return at >= 0 and number <= merged[at][1]

        return contains


class Parser:
    """Reads one command, literals included where they were sent."""

    def __init__(self, octets):
        self.octets = octets
        self.at = 0

    def peek(self, octets):
        return self.octets.startswith(octets, self.at)

    def accept(self, octets):
        if self.octets[self.at:self.at + len(octets)].upper() == octets:
            self.at += len(octets)
            return True
        return False

    def expect(self, octets, what):
        if not self.accept(octets):
            raise BadSyntax(f"{what} expected")

    def space(self):
        self.expect(b" ", "space")

    def end(self):
        if self.at != len(self.octets):
            raise BadSyntax("too many arguments")

    def match(self, pattern, what):
        match = pattern.match(self.octets, self.at)
        if match is None:
            raise BadSyntax(f"{what} expected")
        self.at = match.end()
        return match

    def atom(self, what="atom"):
        return self.match(ATOM, what)[0].decode("ascii")

    def number(self, what="number"):
        return int(self.match(re.compile(rb"\d{1,10}"), what)[0])

    def string(self, what="string"):
        """A quoted string or literal, as octets."""
        if self.peek(b"{"):
            head = self.match(re.compile(rb"\{(\d{1,10})\+?\}\r\n"), what)
            size = int(head[1])
            self.at += size
            if self.at > len(self.octets):
                raise BadSyntax(f"{what} is cut short")
            return self.octets[self.at - size:self.at]
        return re.sub(rb'\\(["\\])', rb"\1", self.match(QUOTED, what)[1])

    def astring(self, what="string"):
        if self.peek(b'"') or self.peek(b"{"):
            return self.string(what)
        return self.match(ASTRING_ATOM, what)[0]

    def mailbox(self):
        return ascii_text(self.astring("mailbox"))

    def list_mailbox(self):
        if self.peek(b'"') or self.peek(b"{"):
            return ascii_text(self.string("pattern"))
        return self.match(LIST_ATOM, "pattern")[0].decode("ascii")

    def sequence_set(self):
        return SequenceSet(self.match(SEQUENCE_SET, "message numbers")[0].decode("ascii"))

    def parenthesised(self, item, what):
        """A list of what `item()` reads, in parentheses."""
        self.expect(b"(", what)
        found = []
        while not self.accept(b")"):
            if found:
                self.space()
            found.append(item())
        return found

    def flag(self):
        return self.match(FLAG, "flag")[0].decode("ascii")

    def date(self):
        text = ascii_text(self.astring("date"))
        match = DATE.fullmatch(text)
        try:
            return datetime.date(int(match[3]), month(match[2]), int(match[1]))
        except (TypeError, ValueError):
            raise BadSyntax("date as 1-Feb-2026 expected") from None

    def date_time(self):
        match = DATE_TIME.fullmatch(ascii_text(self.string("date and time")))
        try:
            offset = datetime.timedelta(hours=int(match[8]), minutes=int(match[9]))
            zone = datetime.timezone(-offset if match[7] == "-" else offset)
            return datetime.datetime(int(match[3]), month(match[2]), int(match[1]), int(match[4]),
                                     int(match[5]), int(match[6]), tzinfo=zone)
        except (TypeError, ValueError):
            raise BadSyntax("date as 1-Feb-2026 10:20:30 +0000 expected") from None


def month(name):
    return MONTHS.index(name.capitalize()) + 1


def ascii_text(octets):
    try:
        return octets.decode("ascii")
    except UnicodeDecodeError:
        raise BadSyntax("only ASCII can stand here") from None


def string(octets):
    """A quoted string where that can be, else a literal."""
    if len(octets) < 1000 and re.fullmatch(rb"[\x20-\x7e]*", octets):
        return b'"' + re.sub(rb'(["\\])', rb"\\\1", octets) + b'"'
    return b"{%d}\r\n" % len(octets) + octets


def nstring(octets):
    return b"NIL" if octets is None else string(octets)


def internal_date(date):
    text = f"{date.day:2d}-{MONTHS[date.month - 1]}-{date.year:04d} {date:%H:%M:%S %z}"
    return b'"' + text.encode() + b'"'


def matches(pattern, name):
    """Whether a LIST pattern takes a mailbox name. No regular expression: a client writes the pattern."""
    if pattern.upper() == "INBOX":
        pattern = pattern.upper()
    places = {0}  # in the pattern, reachable with what was read of the name
    for character in name + "\0":
        for at in sorted(places):
            while at < len(pattern) and pattern[at] in "*%":
                at += 1
                places.add(at)
        if character == "\0":
            return len(pattern) in places
        stay = {at for at in places if pattern[at:at + 1] == "*" or (pattern[at:at + 1] == "%" and character != "/")}
        places = stay | {at + 1 for at in places if pattern[at:at + 1] == character}
    return False
