"""The run: which servers, which measures, and the rounds A B C A B C of each."""

import contextlib
import os
import pathlib
import shutil
import sys
import time
from typing import Iterable, Iterator, NamedTuple, Optional

from . import Trouble, certificates, idle, loads, scale
from .figures import GROUP_TITLES, Figure, Settings
from .generator import Backend, Generator
from .loads import NO_RELAY
from .server import GROUPS, POST_QUANTUM, Server, Setup

MEMORY_ROUNDS = 3  # At most: these figures hardly differ from one round to the next.
WARM_UP_S = 0.3


def certificate_rounds(count: int) -> int:
    """At most: what takes a minute is not done often."""
    return MEMORY_ROUNDS if count < 10_000 else 2 if count < 100_000 else 1


class Pinning(NamedTuple):
    """Which CPUs the server has, and which the load generator and the back end."""
    server: list[int]
    load: list[int]

    def text(self) -> str:
        if self.server == self.load:
            return f"One CPU ({self.server[0]}) for the server, the load generator and the back end: they take turns."
        many = len(self.load) > 1
        return f"The server on CPU {self.server[0]}, load generator and back end on " \
               f"CPU{'s' if many else ''} {', '.join(map(str, self.load))}."


def pinning(cpus: Optional[list[int]] = None) -> Pinning:
    """The last CPU for the server, all others for what loads it; one for all when there is just one."""
    cpus = sorted(os.sched_getaffinity(0)) if cpus is None else cpus
    return Pinning(cpus[-1:], cpus[:-1] or cpus)


class Run:
    def __init__(self, settings: Settings, kinds: list[type[Server]], only: Optional[list[str]],
                 bench: pathlib.Path, work: pathlib.Path):
        self.settings = settings
        self.kinds = kinds
        self.only = only
        self.pinning = pinning()
        self.work = work
        self.generator = Generator(bench, work / "load", self.pinning.load)
        self.pairs = {kind: certificates.make_pair(work, kind) for kind in ("ecdsa", "rsa")}
        self.figures: list[Figure] = []
        self.skipped: dict[str, str] = {}  # Measures, and why.
        self.configurations: dict[str, str] = {}  # By server, of its first measure.
        self.failed = False  # Something that could have been measured was not.

    def wants(self, ident: str, standard: bool = True) -> bool:
        return ident in self.only if self.only else standard

    def measure(self) -> None:
        os.sched_setaffinity(0, self.pinning.load)
        for load in loads.LOADS:
            if self.wants(load.ident, load.standard):
                self._skip_or(load.ident, load.unavailable(), lambda load=load: self._load(load))
        if self.wants("idle"):
            self._skip_or("idle", None, self._idle)
        if self.wants("certificates"):
            self._skip_or("certificates", certificates.unavailable(), self._certificates)

    def _skip_or(self, ident: str, reason: Optional[str], measure) -> None:
        if reason is None:
            started = time.monotonic()
            try:
                measure()
            except Trouble as trouble:
                reason, self.failed = str(trouble), True
            if reason is None:
                say(f"   {ident}: {time.monotonic() - started:.0f} s")
                return
        self.skipped[ident] = reason
        say(f"   {ident}: not measured: {reason}")

    # --- Starting and ending ---

    @contextlib.contextmanager
    def _backend(self, behaviour: str) -> Iterator[int]:
        backend = Backend(self.generator, behaviour)
        try:
            yield backend.port
        finally:
            backend.stop()

    def _server(self, kind: type[Server], setup: Setup) -> Server:
        directory = self.work / kind.name
        shutil.rmtree(directory, ignore_errors=True)
        server = kind(directory, setup, self.pinning.server)
        if not setup.store:
            self.configurations.setdefault(kind.name, next(iter(server.configuration().values())))
        return server

    @contextlib.contextmanager
    def _started(self, kind: type[Server], setup: Setup) -> Iterator[Server]:
        server = self._server(kind, setup)
        try:
            yield server.start()
        finally:
            server.stop()

    @contextlib.contextmanager
    def _reporting(self, figures: Iterable[Figure], server: str) -> Iterator[None]:
        """Trouble with one server is told in its figures and ends nothing else."""
        try:
            yield
        except (Trouble, AssertionError, OSError) as trouble:
            self.failed = True
            for figure in figures:
                figure.fail(server, str(trouble))
            say(f"   {server}: {trouble}")

    def _takers(self, figures: Iterable[Figure], refuses) -> list[type[Server]]:
        """The servers that a measure can be asked of; of the others its figures say why not."""
        kinds = []
        for kind in self.kinds:
            if reason := refuses(kind):
                for figure in figures:
                    figure.left_out[kind.name] = reason
            else:
                kinds.append(kind)
        return kinds

    # --- Under load ---

    def _load(self, load: loads.Load) -> None:
        say(f"== {load.title} ({load.unit})")
        figure = Figure(load.ident, load.ident, load.title, load.unit, load.note)
        self.figures.append(figure)
        servers: list[Server] = []
        with self._backend(load.backend) as backend, contextlib.ExitStack() as stack:
            groups = (load.group,) if load.group == POST_QUANTUM else GROUPS
            setup = Setup(backend, self.pairs[load.kind], load.tickets, load.logged, load.service(), None, groups,
                          "--starttls" in load.arguments)
            for kind in self._takers([figure], load.refuses):
                with self._reporting([figure], kind.name):
                    server = self._server(kind, setup)
                    stack.callback(server.stop)
                    servers.append(server.start())
            self._rounds(load, figure, servers)
        for server in servers:
            if found := figure.summary(server.name):
                say(f"   {server.title:16} {found.median:10.3f} ± {found.spread:.1%}")

    def _rounds(self, load: loads.Load, figure: Figure, servers: list[Server]) -> None:
        processes = min(4, len(self.pinning.load))
        for number in range(-1, self.settings.rounds):  # The first is to warm up.
            seconds = self.settings.seconds if number >= 0 else min(WARM_UP_S, self.settings.seconds)
            words = loads.arguments_of(load, seconds, processes, self.settings.bulk_bytes)
            for server in servers:
                if server.name in figure.trouble:
                    continue
                with self._reporting([figure], server.name):
                    seen = loads.run_round(load, server, self.generator, words, seconds)
                    if number >= 0:
                        figure.add(server.name, **seen)

    # --- Memory ---

    def _idle(self) -> None:
        count = self.settings.idle_connections
        say(f"== {GROUP_TITLES['idle']}, {count:,} connections")
        rows = idle.figures()
        self.figures += rows
        kinds = self._takers(rows, lambda kind: None if "raw" in kind.services else NO_RELAY)
        with self._backend("wire") as backend:
            setup = Setup(backend, self.pairs["ecdsa"])
            for _ in range(min(MEMORY_ROUNDS, self.settings.rounds)):
                direct = idle.direct_kernel_bytes(self.generator, count, backend)
                for kind in kinds:
                    if kind.name in rows[0].trouble:
                        continue
                    with self._reporting(rows, kind.name), self._started(kind, setup) as server:
                        idle.run_round(server, self.generator, count, direct, rows)
        self._say_rows(rows)

    def _certificates(self) -> None:
        place = certificate_cache()
        for count in self.settings.certificates:
            say(f"== {count:,} certificate{'s' * (count > 1)}: start, reload, memory")
            store = certificates.make_store(place, count)
            rows = scale.figures(count)
            self.figures += rows.values()
            kinds = self._takers(rows.values(), lambda kind: kind.refuses_many)
            with self._backend("wire") as backend:
                setup = Setup(backend, self.pairs["ecdsa"], store=store)
                for _ in range(min(certificate_rounds(count), self.settings.rounds)):
                    for kind in kinds:
                        if kind.name not in rows["start"].trouble:
                            self._certificates_round(kind, setup, rows)
            self._say_rows(list(rows.values()))

    def _certificates_round(self, kind: type[Server], setup: Setup, rows: dict[str, Figure]) -> None:
        server = self._server(kind, setup)
        try:
            with self._reporting(rows.values(), kind.name):
                scale.run_round(server, setup.store, rows)
        finally:
            server.stop()

    def _say_rows(self, rows: list[Figure]) -> None:
        for row in rows:
            values = [f"{kind.title} {found.median:.2f}" for kind in self.kinds if (found := row.summary(kind.name))]
            say(f"   {row.title} ({row.unit}): {', '.join(values)}")


def certificate_cache() -> pathlib.Path:
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base, "postern", "bench")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
