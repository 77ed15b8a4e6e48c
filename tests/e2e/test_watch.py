"""Certificates that are taken up by themselves (`certificates.watch`), whoever changes them and however.

Shows the watching part of row B13: renewals in certbot's layout, renaming, links of directories, directories that
come and go, half-written files, and that no handshake fails meanwhile.
"""

import shutil

import pytest

from support.backends import LineServer
from support.load import Hammer
from support.tls import common_name, connect
from support.waiting import scale, wait_for


@pytest.fixture
def watched(postern):
    """Postern with one listener and watch on; the test names the certificates and starts it."""
    with LineServer() as server:
        postern.config["certificates"] = {"watch": True, "pair": []}
        postern.port = postern.serve(server.server)
        yield postern


def shown(postern):
    with connect(postern.port, postern.authority.context()) as client:
        return common_name(client)


def wait_for_certificate(postern, name):
    wait_for(lambda: shown(postern) == name, f"the certificate {name} to be served", interval=0.1)


def start(postern):
    """Starts it and waits until it watches: what changes before that is found as well, but by a look."""
    postern.start()
    wait_for(lambda: postern.status()["certificates"]["watch"] == "inotify", "files to be watched")


def put(pair, certificate, key):
    """Writes the pair over two files in place, as `cp` does."""
    key.write_bytes(pair.key.read_bytes())
    key.chmod(0o600)
    certificate.write_bytes(pair.certificate.read_bytes())


def named(postern, certificate, key):
    postern.config["certificates"]["pair"] = [{"name": "main", "certificate": certificate, "key": key}]


class Lineage:
    """What certbot keeps of a certificate: live/ with links into archive/."""

    def __init__(self, directory):
        self.live, self.archive = directory / "live/main", directory / "archive/main"
        self.live.mkdir(parents=True)
        self.archive.mkdir(parents=True)
        self.version = 0

    def renew(self, pair):
        self.version += 1
        for name, source in (("privkey", pair.key), ("fullchain", pair.certificate)):
            file = self.archive / f"{name}{self.version}.pem"
            file.write_bytes(source.read_bytes())
            file.chmod(0o600)
            link = self.live / f"{name}.pem"
            link.unlink(missing_ok=True)
            link.symlink_to(f"../../archive/main/{file.name}")


def test_renewals_by_certbot_are_served(watched, authority):
    lineage = Lineage(watched.directory)
    lineage.renew(authority.issue("first"))
    named(watched, lineage.live / "fullchain.pem", lineage.live / "privkey.pem")
    start(watched)
    assert shown(watched) == "first"
    for name in ("second", "third"):
        lineage.renew(authority.issue(name))
        wait_for_certificate(watched, name)
    status = watched.status()
    assert status["last_reload"]["ok"] and status["last_reload"]["by"] == "watch"
    assert status["certificates"]["waiting"] == []
    assert {line["by"] for line in watched.lines("reloaded")} == {"watch"}
    assert not watched.lines("reload refused")


def test_files_that_are_replaced_by_renaming_or_in_place_are_served(watched, authority):
    served = authority.issue("served")
    named(watched, served.certificate, served.key)
    start(watched)
    authority.issue("renamed").put_in_place_of(served)
    wait_for_certificate(watched, "renamed")
    put(authority.issue("written"), served.certificate, served.key)
    wait_for_certificate(watched, "written")


def test_half_written_files_wait_and_hold_up_nobody_else(watched, authority):
    slow, quick = authority.issue("slow"), authority.issue("quick", names=["quick.example"])
    named(watched, slow.certificate, slow.key)
    watched.add_pair("quick", quick)
    start(watched)
    renewed = authority.issue("renewed")
    # The key of one pair, and half the certificate of it.
    slow.key.write_bytes(renewed.key.read_bytes())
    whole = renewed.certificate.read_bytes()
    slow.certificate.write_bytes(whole[:len(whole) // 2])
    waits = watched.wait_for_lines("certificate files wait")
    assert str(slow.certificate) in waits[0]["reason"]
    assert shown(watched) == "slow"
    assert str(slow.certificate) in watched.status()["certificates"]["waiting"][0]
    authority.issue("quick-renewed", names=["quick.example"]).put_in_place_of(quick)

    def quick_shown():
        context = authority.context()
        with connect(watched.port, context, name="quick.example") as client:
            return common_name(client) == "quick-renewed"

    wait_for(quick_shown, "the other certificate to be renewed", interval=0.1)
    assert shown(watched) == "slow"
    slow.certificate.write_bytes(whole)
    wait_for_certificate(watched, "renewed")
    wait_for(lambda: watched.status()["certificates"]["waiting"] == [], "nothing to wait any more")
    # Said once, however often it was tried.
    assert len(watched.lines("certificate files wait")) == 1


def test_import_is_served_without_a_reload(watched, authority):
    store = watched.directory / "certs"
    watched.config["certificates"] = {"watch": True, "directory": store}
    start(watched)  # with a pair that it makes itself
    pair = authority.issue("imported")
    done = watched.command("cert", "import", str(pair.certificate), str(pair.key), "--name", "default", "--yes")
    assert done.status == 0, done
    context = authority.context()
    context.check_hostname = False

    def imported():
        try:
            return shown(watched) == "imported"
        except OSError:  # the self-signed one, which nobody trusts
            return False

    wait_for(imported, "what was imported to be served", interval=0.1)
    # A new name, and one that goes.
    more = authority.issue("more", names=["more.example"])
    assert watched.command("cert", "import", str(more.certificate), str(more.key), "--name", "more",
                           "--yes").status == 0
    wait_for(lambda: watched.status()["certificates"]["count"] == 2, "the second certificate")
    (store / "more.crt").unlink()
    (store / "more.key").unlink()
    wait_for(lambda: watched.status()["certificates"]["count"] == 1, "the second certificate to be gone")


def test_directories_may_be_turned_and_may_go_and_come_back(watched, authority):
    base = watched.directory / "volume"
    for name in ("one", "two", "three"):
        (base / name).mkdir(parents=True)
        put(authority.issue(name), base / name / "tls.crt", base / name / "tls.key")
    (base / "now").symlink_to("one")
    named(watched, base / "now/tls.crt", base / "now/tls.key")
    start(watched)
    (base / "new").symlink_to("two")
    (base / "new").rename(base / "now")
    wait_for_certificate(watched, "two")
    # Gone: what serves goes on serving.
    shutil.rmtree(base / "two")
    watched.wait_for_lines("certificate files wait")
    assert shown(watched) == "two"
    (base / "three").rename(base / "two")
    wait_for_certificate(watched, "three")


def test_watching_is_switched_by_a_reload_and_leaves_the_configuration_alone(watched, authority):
    served = authority.issue("first")
    named(watched, served.certificate, served.key)
    start(watched)
    # What stands in the file waits for the administrator's reload, be it right or wrong.
    watched.path.write_text("this is no configuration")
    authority.issue("second").put_in_place_of(served)
    wait_for_certificate(watched, "second")
    watched.config["certificates"]["watch"] = False
    watched.reload()
    assert watched.status()["certificates"]["watch"] == "off"
    generation = watched.status()["generation"]
    authority.issue("third").put_in_place_of(served)
    watched.config["certificates"]["watch"] = True
    watched.reload()
    assert watched.status()["generation"] == generation + 1
    assert shown(watched) == "third"
    assert [line["by"] == "watch" for line in watched.lines("reloaded")] == [True, False, False]


def test_swaps_under_load_fail_nobody(watched, authority):
    rounds = scale(20, 5)
    pairs = [authority.issue(f"g{number}") for number in range(rounds + 1)]
    served = authority.issue("served")
    pairs[0].put_in_place_of(served)
    named(watched, served.certificate, served.key)
    start(watched)
    with Hammer(watched.port, authority.context(), threads=scale(200, 20)) as hammer:
        for number in range(1, rounds + 1):
            pairs[number].put_in_place_of(served)
            wait_for(lambda number=number: hammer.failures or hammer.seen[-1][0] == f"g{number}",
                     f"certificate g{number}")
    assert not hammer.failures
    order = [int(name[1:]) for name, _ in hammer.seen]
    assert set(order) == set(range(rounds + 1))
    assert all(worker["restarts"] == 0 for worker in watched.status()["workers"])
