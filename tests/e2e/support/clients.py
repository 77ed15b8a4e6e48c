"""Stock mail clients, run as an administrator would run them."""

import subprocess

LIMIT_S = 120


def run(argv, check=True, **options):
    """Runs a program to its end; its output is in the result's stdout (octets)."""
    done = subprocess.run([str(word) for word in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=LIMIT_S, **{"stdin": subprocess.DEVNULL, **options})
    if check and done.returncode != 0:
        text = done.stdout.decode("utf-8", "replace")
        raise AssertionError(f"{argv[0]} ended with {done.returncode}:\n{text}")
    return done


def curl(url, *options, ca=None, check=True):
    argv = ["curl", "--silent", "--show-error", "--max-time", str(LIMIT_S)]
    if ca is not None:
        argv += ["--cacert", ca]
    return run([*argv, *options, url], check=check)


def mbsync(directory, port, user, password, ca=None, host="localhost", tls="IMAPS"):
    """Fetches all of the user's mail into a new Maildir below `directory`; returns its INBOX's files."""
    mail = directory / "mbsync"
    mail.mkdir(exist_ok=True)
    # Named TLSType from isync 1.5 on, which still takes the old name.
    tls = f"SSLType {tls}\nCertificateFile {ca}" if ca is not None else "SSLType None\nAuthMechs LOGIN"
    configuration = directory / "mbsyncrc"
    configuration.write_text(f"""IMAPAccount far
Host {host}
Port {port}
User {user}
Pass {password}
{tls}

IMAPStore far
Account far

MaildirStore near
Path {mail}/
Inbox {mail}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Near
SyncState *
""")
    run(["mbsync", "--config", configuration, "--all"])
    return sorted((mail / "INBOX/new").iterdir()) + sorted((mail / "INBOX/cur").iterdir())


class Dialog:
    """A line dialog by hand over a connected (TLS) socket, which stays its owner's."""

    def __init__(self, sock):
        self.sock = sock
        self.pending = b""

    def line(self):
        """The next line with its end; b"" at the stream's end."""
        while b"\n" not in self.pending:
            octets = self.sock.recv(65536)
            if not octets:
                break
            self.pending += octets
        line, end, self.pending = self.pending.partition(b"\n")
        return line + end

    def until(self, *starts):
        """The next line that starts with one of `starts`; AssertionError when the stream ends first."""
        while True:
            line = self.line()
            if line.startswith(starts):
                return line
            assert line, f"the stream ended before {starts}"

    def ask(self, command, *starts):
        self.sock.sendall(command + b"\r\n")
        return self.until(*starts)
