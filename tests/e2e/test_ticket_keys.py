"""Ticket keys that several machines share, and keys that are made anew by order.

Shows of row D4 that the master takes ticket keys from files and rotates its own on command.
"""

import os
import ssl

import pytest

from support.backends import LineServer
from support.postern import Postern
from support.tls import connect, read_exactly

V13 = ssl.TLSVersion.TLSv1_3


@pytest.fixture
def server():
    with LineServer() as made:
        yield made


@pytest.fixture
def other(directory, authority, postern):
    """A Postern of another machine, as far as it can tell: the same configuration and certificate."""
    place = directory / "other"
    place.mkdir()
    made = Postern(place, authority)
    yield made
    made.clean_up()


def write_key(path, size=80):
    path.write_bytes(os.urandom(size))
    path.chmod(0o600)
    return path


def session_of(port, context):
    with connect(port, context) as client:
        read_exactly(client, len(b"* OK server\r\n"))  # TLS 1.3's ticket has come before
        return client.session


def resumes(port, context, session):
    with connect(port, context, session=session) as client:
        read_exactly(client, len(b"* OK server\r\n"))
        return client.session_reused


def serve_with(instance, server, files):
    instance.config["tickets"] = {"files": [str(file) for file in files]}
    port = instance.serve(server.server)
    instance.start()
    return port


@pytest.mark.parametrize("size", [80, 48])
def test_a_ticket_of_one_machine_resumes_on_another(postern, other, authority, directory, server, size):
    shared, newer = write_key(directory / "shared.key", size), write_key(directory / "newer.key", size)
    other.config["certificates"]["pair"] = list(postern.config["certificates"]["pair"])
    here = serve_with(postern, server, [shared])
    there = serve_with(other, server, [shared])
    context = authority.context(V13)
    session = session_of(here, context)
    assert resumes(there, context, session)

    # Rotation, as the documentation has it: known to all first, then sealing, then the old one dropped.
    for files in ([shared, newer], [newer, shared]):
        for instance in (postern, other):
            instance.config["tickets"] = {"files": [str(file) for file in files]}
            instance.reload()
            assert resumes(there, context, session)
    fresh = session_of(here, context)
    postern.config["tickets"] = {"files": [str(newer)]}
    postern.reload()
    assert not resumes(here, context, session)
    assert resumes(here, context, fresh) and resumes(there, context, fresh)


def test_keys_of_our_own_come_back_when_files_go(postern, authority, directory, server):
    port = serve_with(postern, server, [write_key(directory / "shared.key")])
    context = authority.context(V13)
    session = session_of(port, context)
    refused = postern.command("rotate-tickets")
    assert refused.status == 1 and "[tickets] files" in refused.text
    postern.config["tickets"] = {}
    postern.reload()
    assert not resumes(port, context, session), "the keys of the files are gone"
    session = session_of(port, context)
    for _ in range(3):
        assert postern.command("rotate-tickets").status == 0
        assert resumes(port, context, session)
    assert postern.command("rotate-tickets").status == 0
    assert not resumes(port, context, session), "the fourth rotation drops the key"


def test_a_file_that_others_may_read_is_a_fault(postern, directory, server):
    key = write_key(directory / "shared.key")
    postern.serve(server.server)
    postern.start()
    key.chmod(0o644)
    postern.config["tickets"] = {"files": str(key)}
    postern.write()
    for command in ("check", "reload"):
        answer = postern.command(command)
        assert answer.status == 1
        assert f"chmod 0600 {key}" in answer.text
