"""A session's view of the selected mailbox.

IMAP numbers messages by their place, and a client may be told of a removal only at certain moments
(RFC 3501 section 7.4.1). So each session keeps the list it has told its client, and brings it up to
date with what the mailbox holds where that is allowed.
"""

from store import SYSTEM_FLAGS


class View:
    def __init__(self, mailbox, read_only):
        self.mailbox = mailbox
        self.read_only = read_only
        self.messages = []
        self.recent = set()  # uids
        self.version = -1
        self.take_new()
        self.version = mailbox.version

    def take_new(self):
        last = self.messages[-1].uid if self.messages else 0
        new = []
        for message in reversed(self.mailbox.messages.values()):
            if message.uid <= last:
                break
            new.append(message)
        for message in reversed(new):
            self.messages.append(message)
            if message.recent:
                self.recent.add(message.uid)
                message.recent = self.read_only
        return len(new)

    def flags(self, message):
        shown = [f for f in SYSTEM_FLAGS if f in message.flags]
        shown += sorted(message.flags - set(SYSTEM_FLAGS))
        if message.uid in self.recent:
            shown.append("\\Recent")
        return ("(" + " ".join(shown) + ")").encode()

    def changes(self):
        """The untagged responses that bring the client up to date."""
        if self.version == self.mailbox.version:
            return b""
        out = []
        for at in range(len(self.messages) - 1, -1, -1):
            if self.messages[at].uid not in self.mailbox.messages:
                self.recent.discard(self.messages[at].uid)
                del self.messages[at]
                out.append(b"* %d EXPUNGE\r\n" % (at + 1))
        out += [b"* %d FETCH (UID %d FLAGS %s)\r\n" % (number, m.uid, self.flags(m))
                for number, m in enumerate(self.messages, 1) if m.changed > self.version]
        if self.take_new():
            out.append(b"* %d EXISTS\r\n* %d RECENT\r\n" % (len(self.messages), len(self.recent)))
        self.version = self.mailbox.version
        return b"".join(out)

    def largest_uid(self):
        return self.messages[-1].uid if self.messages else 0

    def choose(self, sequence_set, by_uid):
        """The (number, message) pairs that a command names."""
        contains = sequence_set.resolve(self.largest_uid() if by_uid else len(self.messages))
        return [(number, m) for number, m in enumerate(self.messages, 1)
                if contains(m.uid if by_uid else number)]

    def store_flags(self, pairs, change):
        """Sets `change(flags)` on each; returns the pairs that changed.

        The client knows of its own changes, so they are not told again at the next update."""
        up_to_date = self.version == self.mailbox.version
        changed = [pair for pair in pairs if self.mailbox.set_flags(pair[1], change(pair[1].flags))]
        if changed:
            self.mailbox.touch()
            if up_to_date:
                self.version = self.mailbox.version
        return changed
