"""The results as data, as a table for the screen, and as Markdown."""

import json
import pathlib
from typing import Optional

from . import machine
from .figures import GROUP_TITLES, Figure
from .summary import number

SCHEMA = 1


class Report:
    """All that a run has to say. Its JSON holds everything; the other forms are made from it."""

    def __init__(self, data: dict):
        self.data = data
        self.figures = [Figure.from_json(one) for one in data["figures"]]

    @classmethod
    def make(cls, run, measured_on: dict, peers: list[dict], seconds: float) -> "Report":
        settings = run.settings._asdict()
        return cls({
            "tool": "bench/compare", "schema": SCHEMA, "machine": measured_on,
            "pinning": {"server": run.pinning.server, "load": run.pinning.load, "text": run.pinning.text()},
            "settings": {**settings, "certificates": list(run.settings.certificates)},
            "generator": run.generator.version(), "peers": peers, "skipped": run.skipped,
            "figures": [figure.to_json() for figure in run.figures], "seconds": round(seconds),
        })

    @classmethod
    def read(cls, path: pathlib.Path) -> "Report":
        return cls(json.loads(path.read_text()))

    def servers(self) -> list[dict]:
        """Those that were measured, in their order."""
        return [peer for peer in self.data["peers"] if not peer.get("skipped")]

    def title(self) -> str:
        others = [peer["title"] for peer in self.servers() if peer["name"] != "postern"]
        return "Postern beside " + ", ".join(others) if others else "Postern alone"

    def json(self) -> str:
        return json.dumps(self.data, indent=1) + "\n"


def against_best(figure: Figure) -> Optional[float]:
    """What Postern's figure is as a multiple of the best other one: below 1 it is the best of all."""
    mine = figure.summary("postern")
    others = [found.median for server in figure.rounds if server != "postern" and (found := figure.summary(server))]
    return mine.median / min(others) if mine and others and min(others) > 0 else None


def _multiple(value: Optional[float]) -> str:
    return f"{value:.2f}" if value is not None else ""


def cell(figure: Figure, server: str, spread: bool = True) -> str:
    """One value, with its spread when there was more than one round."""
    found = figure.summary(server)
    if found is None:
        return "failed" if server in figure.trouble else "-"
    text = number(found.median)
    if spread and found.count > 1:
        text += f" ± {found.spread * 100:.0f} %"
    failures = sum(one.get("failures") or 0 for one in figure.rounds[server])
    return text + (f" ({failures} failed)" if failures else "")


def _uneven(figure: Figure, titles: dict[str, str]) -> str:
    """Who ends a handshake at once is not always relayed: that is less work, and not the same for all."""
    behind = {server: found.median for server in figure.rounds
              if (found := figure.summary(server, "connections_behind"))}
    spared = [titles.get(server, server) for server, share in behind.items() if share < 0.9]
    if not spared or len(spared) == len(behind) or "greeting" in figure.ident:
        return ""
    return f"{figure.title}: {', '.join(spared)} had not yet connected to the server behind when the client had gone " \
           "again, and so did less than the others; where a greeting is waited for, all do the same"


def _below_nothing(figure: Figure, titles: dict[str, str]) -> str:
    """The kernel's memory is the whole machine's, and a difference of two moments."""
    names = [titles.get(server, server) for server, rounds in figure.rounds.items()
             if any(one["value"] < 0 for one in rounds)]
    if not names:
        return ""
    return f"{figure.title}: {', '.join(names)} came out below nothing in some round: something else on the machine gave " \
           "memory back meanwhile, so this row says little; take it again with nothing else running"


def _rows_text(figures: list[Figure], report: Report) -> str:
    """The titles of rows; one for all of them where a measure has several."""
    titles = []
    for figure in figures:
        group = [one.ident for one in report.figures if one.group == figure.group]
        whole = len(group) > 1 and set(group) <= {one.ident for one in figures}
        title = GROUP_TITLES.get(figure.group, figure.title) if whole else figure.title
        if title not in titles:
            titles.append(title)
    return "; ".join(titles)


def missing(report: Report) -> list[str]:
    """What was not measured, or not like the rest, and why."""
    titles = {peer["name"]: peer["title"] for peer in report.data["peers"]}
    lines = [f"{peer['title']} was not measured: {peer['skipped']}" for peer in report.data["peers"]
             if peer.get("skipped")]
    lines += [f"{ident} was not measured: {reason}" for ident, reason in report.data["skipped"].items()]
    lines += [line for figure in report.figures if (line := _uneven(figure, titles))]
    lines += [line for figure in report.figures if (line := _below_nothing(figure, titles))]
    for what in ("left_out", "trouble"):
        word = "failed" if what == "trouble" else "is not in it"
        reasons: dict[tuple[str, str], list[Figure]] = {}
        for figure in report.figures:
            for server, reason in getattr(figure, what).items():
                reasons.setdefault((server, reason), []).append(figure)
        lines += [f"{_rows_text(rows, report)}: {titles.get(server, server)} {word}: {reason}"
                  for (server, reason), rows in reasons.items()]
    return lines


# --- The screen ----------------------------------------------------------------------------------

def screen(report: Report) -> str:
    servers = report.servers()
    rows = [["", *(server["title"] for server in servers), "Postern : best other"]]
    for figure in report.figures:
        rows.append([f"{figure.title}, {figure.unit}", *(cell(figure, server["name"]) for server in servers),
                     _multiple(against_best(figure))])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        padded = [row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:]))]
        lines.append("  ".join(padded).rstrip())
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join(lines) + "\n"


# --- Markdown ------------------------------------------------------------------------------------

def table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def figure_table(report: Report, figures: list[Figure], spread: bool = True) -> str:
    """Less is better in every row; the last column is what shows where Postern is dearer."""
    servers = report.servers()
    rows = [[f"{figure.title}, {figure.unit}", *(cell(figure, server["name"], spread) for server in servers),
             _multiple(against_best(figure))] for figure in figures]
    return table(["", *(server["title"] for server in servers), "Postern : best other"], rows)


def _seen_table(report: Report, figure: Figure) -> str:
    """What else was seen under load."""
    rows = []
    for server in report.servers():
        medians = [figure.summary(server["name"], key)
                   for key in ("per_second", "server_cpu_share", "connections_behind", "p50_us", "p99_us",
                               "generator_cpu_us")]
        if medians[0] is None:
            continue
        rate, share, *rest = (found.median if found else None for found in medians)
        rows.append([server["title"], number(rate), f"{share:.0%}",
                     *(number(value) if value is not None else "-" for value in rest)])
    return table(["", "per second", "CPU busy with the server", "connections to the server behind, each", "p50, µs",
                  "p99, µs", "load generator, µs each"], rows) if rows else ""


def how_text(report: Report) -> str:
    settings = report.data["settings"]
    return f"""{report.data['pinning']['text']} Each figure is the median of the rounds, {settings['rounds']} of
{settings['seconds']:g} s for each server under load, taken in turns: A B C A B C. "±" is half of the distance between the
lowest and the highest round. Less is better in every row; the last column is Postern's figure as a multiple of the best of the
others, so above 1.00 Postern is dearer than one of them.

Every server has one worker on the server's CPU, the same certificate and key, TLS 1.2 and 1.3, AES-128-GCM, X25519,
tickets on unless the row says otherwise, no log of connections unless the row says so, and the same server behind over
plain TCP on loopback. CPU is what the scheduler counted for all of the server's processes, from the first handshake of a
round to the last; how many units were done in a second depends on the load generator as well, and is no figure to compare
servers by.
"""


def markdown(report: Report) -> str:
    data = report.data
    machine_data = data["machine"]
    parts = [f"# {report.title()}\n",
             f"{machine_data['date']}, commit {machine_data['commit']}. {machine.text(machine_data)}.\n",
             "## How\n", how_text(report), "## Servers\n",
             table(["server", "version", "remark"],
                   [[peer["title"], peer.get("version") or "-", _remark(peer, data)] for peer in data["peers"]]),
             "## Figures\n", figure_table(report, report.figures)]
    notes = [f"- {figure.title}: {figure.note}" for figure in report.figures if figure.note]
    notes += [f"- {line}" for line in missing(report)]
    if notes:
        parts.append("\n".join(notes) + "\n")
    seen = [(figure, text) for figure in report.figures if (text := _seen_table(report, figure))]
    if seen:
        parts.append("## What else was seen\n")
        parts += [f"{figure.title}:\n\n{text}" for figure, text in seen]
    parts += ["## Configurations\n", "Of the first measure; `[...]` stands for a directory.\n"]
    parts += [f"{peer['title']}:\n\n```\n{peer['configuration'].strip()}\n```\n" for peer in data["peers"]
              if peer.get("configuration")]
    return "\n".join(parts)


def _remark(peer: dict, data: dict) -> str:
    if peer.get("skipped"):
        return f"not measured: {peer['skipped']}"
    own = data["peers"][0].get("openssl")
    if peer.get("openssl") and own and peer["openssl"] != own:
        return f"another OpenSSL: {peer['openssl']}"
    return ""
