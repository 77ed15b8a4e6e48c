"""A demo mail server: SMTP in, IMAP, POP3 and a web page out, mail kept in memory.

    /usr/bin/python3 tools/demo-mail-server --smtp 127.0.0.1:9025 --imap 127.0.0.1:9143

It is what tools/quickstart puts Postern in front of, and what the end-to-end tests use where
thousands of connections or a server without set-up are wanted. One process, one user who gets
every mail, no TLS, no disk. It is not a mail server to keep mail in: all is gone when it ends.

Each listening address is told on standard output ("listening imap 127.0.0.1:9143"), then comes
the line "ready". Port 0 takes any free port; unix:/path makes a UNIX socket.
"""

import argparse
import asyncio
import os
import resource
import secrets
import signal
import socket
import sys

import connection
import imap_server
import pop3_server
import smtp_server
import web_server
from store import Store

SERVICES = {
    "smtp": smtp_server.SmtpConnection,
    "imap": imap_server.ImapConnection,
    "pop3": pop3_server.Pop3Connection,
    "http": web_server.WebConnection,
}
BACKLOG = 4096
MEBI = 1024 * 1024


def parse_arguments():
    parser = argparse.ArgumentParser(prog="demo-mail-server", description=__doc__.split("\n\n")[0])
    for name in SERVICES:
        parser.add_argument(
            f"--{name}", action="append", default=[], metavar="ADDRESS",
            help=f"serve {name.upper()} here: 127.0.0.1:PORT, [::1]:PORT or unix:/PATH; may be repeated")
    parser.add_argument("--user", default="demo", help="the one user (default: %(default)s)")
    parser.add_argument("--password", help="the user's password (default: a random one, printed)")
    parser.add_argument("--message-limit", type=int, default=50 * MEBI, metavar="OCTETS",
                        help="largest message taken (default: %(default)s)")
    parser.add_argument("--total-limit", type=int, default=512 * MEBI, metavar="OCTETS",
                        help="most that all messages may hold (default: %(default)s)")
    arguments = parser.parse_args()
    if not any(getattr(arguments, name) for name in SERVICES):
        parser.error("nothing to serve: give at least one of " + ", ".join(f"--{n}" for n in SERVICES))
    return arguments


def bind(address):
    """The listening socket of `address`; OSError or ValueError when it cannot be had."""
    if address.startswith("unix:"):
        path = address[5:]
        if os.path.exists(path):
            os.unlink(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
    else:
        host, colon, port = address.rpartition(":")
        if not colon or not port.isdigit():
            raise ValueError("not an address with a port")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
    listener.listen(BACKLOG)
    return listener


def shown(listener):
    name = listener.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"


def raise_descriptor_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def serve(arguments, listeners):
    store = Store(arguments.user, arguments.password, arguments.message_limit, arguments.total_limit)
    servers = []
    for service, listener in listeners:
        kind = SERVICES[service]

        async def handle(reader, writer, kind=kind):
            await kind(reader, writer, store).run()

        if listener.family == socket.AF_UNIX:
            start = asyncio.start_unix_server
        else:
            start = asyncio.start_server
        servers.append(await start(handle, sock=listener, limit=connection.LINE_LIMIT, backlog=BACKLOG))
        print(f"listening {service} {shown(listener)}", flush=True)
    print("ready", flush=True)

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    for server in servers:
        server.close()


def main():
    arguments = parse_arguments()
    raise_descriptor_limit()
    listeners = []
    for service in SERVICES:
        for address in getattr(arguments, service):
            try:
                listeners.append((service, bind(address)))
            except (OSError, ValueError, OverflowError) as error:
                print(f"demo-mail-server: cannot serve {service} on {address}: {error}", file=sys.stderr)
                return 1
    if arguments.password is None:
        arguments.password = secrets.token_urlsafe(12)
        print(f"user {arguments.user} password {arguments.password}", flush=True)
    asyncio.run(serve(arguments, listeners))
    for service in SERVICES:
        for address in getattr(arguments, service):
            if address.startswith("unix:"):
                os.unlink(address[5:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
