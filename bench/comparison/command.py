"""The command line of bench/compare."""

import argparse
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import time
from typing import Optional

from . import TOP, Trouble, debian13, machine, page, peers, preparation, readme, report
from .figures import FULL, GROUP_TITLES, QUICK, STANDARD, Settings
from .loads import LOADS
from .run import Run, say
from .server import Server, linked_openssl

RESULTS = TOP / "bench" / "results"
EPILOG = """
The standard set takes less than 20 minutes once everything is built and installed. Results go to the
directory of --output: comparison.json, comparison.md and comparison.html. Nothing else should run on the machine meanwhile.

exit status: 0 all measured; 1 something could not be, and the report says why; 2 wrong usage.
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="bench/compare", formatter_class=argparse.RawDescriptionHelpFormatter, epilog=EPILOG,
        description="Measures Postern beside nginx, HAProxy, Hitch and stunnel: what they cost in CPU time and memory.")
    made.add_argument("--list", action="store_true", help="list measures and servers, and measure nothing")
    made.add_argument("--quick", action="store_true", help="a smoke run of two minutes; its figures say little")
    made.add_argument("--full", action="store_true", help="100,000 certificates, too, which takes much longer")
    made.add_argument("--only", metavar="ID,...", type=_words, help="these measures alone")
    made.add_argument("--peers", metavar="NAME,...", type=_words, help="these servers alone; Postern is always there")
    made.add_argument("--rounds", type=_positive(int), help=f"of each measure ({STANDARD.rounds})")
    made.add_argument("--seconds", type=_positive(float), help=f"of each round of each server ({STANDARD.seconds:g})")
    made.add_argument("--idle", metavar="N", type=_positive(int),
                      help=f"idle connections ({STANDARD.idle_connections:,}; peers take two descriptors for each)")
    made.add_argument("--certificates", metavar="N,...", type=_counts, help="numbers of certificates (1,1000,10000)")
    made.add_argument("--output", metavar="DIR", type=pathlib.Path, default=preparation.BUILD / "results",
                      help="where results go (build-compare/results)")
    made.add_argument("--record", action="store_true",
                      help="also keep them as results of record, bench/results/DATE-debianN.{json,md}; with "
                           "\"--only certificates\", and no other part of the set, DATE-debianN-certificates.{json,md}")
    made.add_argument("--build", metavar="DIR", type=pathlib.Path,
                      help="take postern and postern-bench from this build directory as they are; otherwise a release "
                           "build with LTO is made in build-compare")
    made.add_argument("--no-install", action="store_true", help="leave out what is not installed")
    made.add_argument("--debian13", action="store_true",
                      help="run in a Debian 13 root (tools/debian13), with OpenSSL 3.5 for all")
    made.add_argument("--update-readme", metavar="FILE.json", type=pathlib.Path,
                      help="put the summary of these results into README.md, and measure nothing")
    return made


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _positive(kind):
    def convert(text: str):
        value = kind(text)
        if value <= 0:
            raise argparse.ArgumentTypeError("must be more than 0")
        return value

    return convert


def _counts(text: str) -> tuple[int, ...]:
    return tuple(sorted({_positive(int)(word) for word in _words(text)}))


def settings_of(arguments: argparse.Namespace) -> Settings:
    settings = QUICK if arguments.quick else FULL if arguments.full else STANDARD
    given = {"rounds": arguments.rounds, "seconds": arguments.seconds, "idle_connections": arguments.idle,
             "certificates": arguments.certificates}
    return settings._replace(**{key: value for key, value in given.items() if value})


def measures() -> dict[str, str]:
    """All there are, by id."""
    return {**{load.ident: load.title + ("" if load.standard else " (not in the standard set)") for load in LOADS},
            **GROUP_TITLES}


def show_list() -> None:
    print("Measures (--only):")
    for ident, title in measures().items():
        print(f"  {ident:20} {title}")
    print("Servers (--peers):")
    for kind in peers.ALL.values():
        print(f"  {kind.name:20} {kind.title}" + (f", Debian's {kind.package}" if kind.package else ""))


def check_names(arguments: argparse.Namespace, made: argparse.ArgumentParser) -> None:
    for option, given, known in (("--only", arguments.only, measures()), ("--peers", arguments.peers, peers.ALL)):
        unknown = [word for word in given or [] if word not in known]
        if unknown:
            made.error(f"{option}: there is no {', '.join(unknown)}; --list shows what there is")


def check_record(arguments: argparse.Namespace, made: argparse.ArgumentParser) -> None:
    """Results of record are of a whole set and of a known commit."""
    if not arguments.record:
        return
    for given, why in (
            (arguments.quick, "--quick: its figures say little"),
            (arguments.build, "--build: the commit that was built is not known"),
            (arguments.peers, "--peers: a record has all servers"),
            (arguments.only and arguments.only != ["certificates"], "--only, but for \"--only certificates\": a record has "
                                                                   "all measures")):
        if given:
            made.error(f"--record does not go with {why}")


# --- A run ---------------------------------------------------------------------------------------

def programs(arguments: argparse.Namespace) -> tuple[pathlib.Path, pathlib.Path, str]:
    """Postern and its load generator, and the commit that they were built from."""
    directory, commit = (arguments.build.resolve(), "unknown (--build)") if arguments.build else built()
    found = directory / "src" / "cli" / "postern", directory / "bench" / "load" / "postern-bench"
    for program in found:
        if not os.access(program, os.X_OK):
            raise Trouble(f"{program} is not there; build it, or leave --build away")
    return *found, commit


def built() -> tuple[pathlib.Path, str]:
    """A build of the tree, and its commit. The tree may be at another one when the run is over."""
    say("== Build")
    commit = machine.commit()
    directory = preparation.build()
    if machine.commit() != commit:
        raise Trouble(f"the tree was at commit {commit} and is at {machine.commit()} now that it is built; start again")
    return directory, commit


def find_servers(arguments: argparse.Namespace) -> tuple[list[type[Server]], list[dict]]:
    """Those that can be measured, and what the report says of each that was asked for."""
    kinds, described = [], []
    for kind in peers.ALL.values():
        if arguments.peers and kind.name not in (*arguments.peers, "postern"):
            continue
        skipped = preparation.peer(kind, not arguments.no_install)
        if skipped:
            say(f"   {kind.title}: not measured: {skipped}")
            described.append({"name": kind.name, "title": kind.title, "skipped": skipped})
            continue
        kinds.append(kind)
        described.append({"name": kind.name, "title": kind.title, "version": kind.version(),
                          "openssl": linked_openssl(kind.executable())})
    return kinds, described


def compare(arguments: argparse.Namespace) -> int:
    started = time.monotonic()
    peers.Postern.program, bench, commit = programs(arguments)
    measured_on = machine.describe(commit)
    if not arguments.no_install:
        preparation.install(["openssl", "python3-cryptography"])  # Without the second, one measure is left out.
    kinds, described = find_servers(arguments)
    work = pathlib.Path(tempfile.mkdtemp(prefix="postern-compare-"))
    work.chmod(0o755)  # Servers that change users have to get through.
    try:
        run = Run(settings_of(arguments), kinds, arguments.only, bench, work)
        run.measure()
        for peer in described:
            peer["configuration"] = run.configurations.get(peer["name"], "").replace(str(work), "[...]")
        made = report.Report.make(run, measured_on, described, time.monotonic() - started)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    write(made, arguments.output)
    print("\n" + report.screen(made))
    return 1 if run.failed else 0


def write(made: report.Report, output: pathlib.Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    (output / "comparison.json").write_text(made.json())
    (output / "comparison.md").write_text(report.markdown(made))
    (output / "comparison.html").write_text(page.page(made))
    say(f"Written to {output}: comparison.json, comparison.md, comparison.html")


def record(output: pathlib.Path, part: str = "", place: pathlib.Path = RESULTS) -> pathlib.Path:
    """Keeps a run's results in the tree; returns the JSON file. `part` tells in its name what it has of the set.
    What was recorded before stays: a second record of a day is number 2."""
    made = report.Report.read(output / "comparison.json")
    name = f"{made.data['machine']['date'][:10]}-debian{made.data['machine']['debian']}" + (f"-{part}" if part else "")
    place.mkdir(exist_ok=True)
    number = 1
    while any((place / f"{name}{suffix}").exists() for suffix in (".json", ".md")):
        number += 1
        name = (name if number == 2 else name.rpartition("-")[0]) + f"-{number}"
    for suffix in (".json", ".md"):
        shutil.copyfile(output / f"comparison{suffix}", place / f"{name}{suffix}")
    say(f"Recorded as {place / name}.json and .md")
    return place / f"{name}.json"


def inner_arguments(words: list[str]) -> list[str]:
    """The command line of the run in the Debian 13 root: the same without what the outer one does."""
    kept, words = [], list(words)
    while words:
        word = words.pop(0)
        if word in ("--output", "--build"):
            words = words[1:]
        elif word not in ("--debian13", "--record", "--no-install") and not word.startswith(("--output=", "--build=")):
            kept.append(word)
    return kept


def main(words: Optional[list[str]] = None) -> int:
    words = sys.argv[1:] if words is None else words
    made = parser()
    arguments = made.parse_args(words)
    check_names(arguments, made)
    check_record(arguments, made)
    if arguments.list:
        show_list()
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # Ends what it has started, too.
    try:
        if arguments.update_readme:
            readme.update_from(TOP / "README.md", arguments.update_readme)
            return 0
        if arguments.debian13:
            status, written = debian13.run(inner_arguments(words), arguments.output)
        else:
            status, written = compare(arguments), True
        # Without results of this run, those of an earlier one may lie there.
        if arguments.record and written:
            record(arguments.output, "-".join(arguments.only or []))
        return status
    except Trouble as trouble:
        print(f"bench/compare: {trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 1
