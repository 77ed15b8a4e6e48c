"""The mail of the one user, in memory: mailboxes, messages, flags, and who wants to hear of changes."""

import datetime
import hmac
import time

INBOX = "INBOX"
SYSTEM_FLAGS = ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft")
MAILBOX_LIMIT = 200
MESSAGE_COUNT_LIMIT = 100_000
KEYWORD_LIMIT = 30


class Full(Exception):
    """There is no room for the message (or mailbox)."""


class Message:
    __slots__ = ("uid", "octets", "flags", "date", "recent", "changed")

    def __init__(self, uid, octets, flags, date):
        self.uid = uid
        self.octets = octets
        self.flags = set(flags)
        self.date = date
        self.recent = True  # until the first session has selected the mailbox (RFC 3501 section 2.3.2)
        self.changed = 0  # Mailbox.version at which the flags changed last


class Mailbox:
    def __init__(self, name):
        self.name = name
        self.uid_validity = int(time.time())
        self.uid_next = 1
        self.messages = {}  # uid to Message, in the order of uids
        self.version = 0  # grows with every change
        self.watchers = set()  # objects with mailbox_changed()

    def touch(self):
        self.version += 1
        for watcher in list(self.watchers):
            watcher.mailbox_changed()

    def set_flags(self, message, flags):
        if message.flags != flags:
            message.flags = set(flags)
            message.changed = self.version + 1
            return True
        return False

    def unseen(self):
        return sum("\\Seen" not in m.flags for m in self.messages.values())

    def recent(self):
        return sum(m.recent for m in self.messages.values())

    def keywords(self):
        found = set()
        for message in self.messages.values():
            found |= message.flags
        return sorted(found - set(SYSTEM_FLAGS))


class Store:
    def __init__(self, user, password, message_limit, total_limit):
        self.user = user
        self.password = password
        self.message_limit = message_limit
        self.total_limit = total_limit
        self.held = 0
        self.mailboxes = {INBOX: Mailbox(INBOX)}
        self.subscribed = {INBOX}

    @property
    def inbox(self):
        return self.mailboxes[INBOX]

    def authenticate(self, user, password):
        """`user` and `password` as octets from the client."""
        right_user = hmac.compare_digest(user, self.user.encode())
        return hmac.compare_digest(password, self.password.encode()) and right_user

    def authenticate_plain(self, response):
        """The octets of a SASL PLAIN response (RFC 4616): authzid NUL authcid NUL password."""
        parts = response.split(b"\0")
        if len(parts) != 3 or parts[0] not in (b"", parts[1]):
            return False
        return self.authenticate(parts[1], parts[2])

    @staticmethod
    def canonical(name):
        return INBOX if name.upper() == INBOX else name

    def find(self, name):
        return self.mailboxes.get(self.canonical(name))

    def create(self, name):
        """False when it is there already or is no name for a mailbox."""
        name = self.canonical(name.rstrip("/"))
        if name in self.mailboxes or not name or len(name) > 200 or name.startswith("/"):
            return False
        if len(self.mailboxes) >= MAILBOX_LIMIT:
            raise Full
        self.mailboxes[name] = Mailbox(name)
        return True

    def delete(self, name):
        name = self.canonical(name)
        mailbox = self.mailboxes.get(name)
        if name == INBOX or mailbox is None:
            return False
        self.remove(mailbox, list(mailbox.messages.values()))
        del self.mailboxes[name]
        return True

    def rename(self, old, new):
        old, new = self.canonical(old), self.canonical(new.rstrip("/"))
        if old == INBOX or old not in self.mailboxes or new in self.mailboxes or not new:
            return False
        mailbox = self.mailboxes.pop(old)
        mailbox.name = new
        self.mailboxes[new] = mailbox
        return True

    def check_room(self, octets):
        """Raises Full when a message of that many octets cannot be taken now."""
        if octets > self.message_limit or self.held + octets > self.total_limit:
            raise Full
        if sum(len(m.messages) for m in self.mailboxes.values()) >= MESSAGE_COUNT_LIMIT:
            raise Full

    def add(self, mailbox, octets, flags=(), date=None):
        self.check_room(len(octets))
        date = date or datetime.datetime.now().astimezone()
        message = Message(mailbox.uid_next, octets, flags, date)
        mailbox.uid_next += 1
        mailbox.messages[message.uid] = message
        self.held += len(octets)
        mailbox.touch()
        return message

    def remove(self, mailbox, messages):
        for message in messages:
            if mailbox.messages.pop(message.uid, None) is not None:
                self.held -= len(message.octets)
        if messages:
            mailbox.touch()
