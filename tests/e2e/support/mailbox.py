"""Mail that a test puts into a user's mailbox, or looks for there, without Postern between."""

import imaplib
import smtplib
import uuid

from support.waiting import wait_for


def message(user):
    """A token and a mail that has it in its subject and at its end, in octets."""
    token = uuid.uuid4().hex
    text = (f"From: {user}\r\nTo: {user}\r\nSubject: {token}\r\n\r\n"
            f".dot\r\n{'long ' * 150}\r\nend {token}\r\n")
    return token, text.encode()


def stored(system, user, token):
    """The octets of the mail with this token in the user's INBOX; None while it is not there."""
    client = imaplib.IMAP4("127.0.0.1", system.dovecot.port("imap"))
    try:
        client.login(user, system.password)
        client.select("INBOX", readonly=True)
        found = client.search(None, "SUBJECT", token)[1][0].split()
        return client.fetch(found[0], "(BODY.PEEK[])")[1][0][1] if found else None
    finally:
        client.logout()


def wait_for_mail(system, user, token):
    return wait_for(lambda: stored(system, user, token), f"mail {token} to be delivered")


def delivered(system):
    """A user with one mail in the INBOX, and its octets as stored."""
    user = system.new_user()
    token, text = message(user)
    with smtplib.LMTP("127.0.0.1", system.dovecot.port("lmtp")) as client:
        client.sendmail(user, [user], text)
    return user, wait_for_mail(system, user, token)


def body(octets):
    """What of a mail no server on the way changes."""
    return octets.partition(b"\r\n\r\n")[2].rstrip()
