"""The results as one HTML page with plots, which needs nothing but itself."""

import html
import math
from typing import Optional

from . import machine
from .figures import Figure
from .report import Report, cell, how_text, missing

COLOURS = {"postern": "#0b6e4f", "nginx": "#3b6ea5", "nginx-mail": "#7fa6cc", "haproxy": "#c8553d",
           "hitch": "#b08900", "stunnel": "#7a5195"}
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 62em; margin: 2em auto;
  padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.2em; margin-top: 2em; } h3 { font-size: 1em; margin: 1.6em 0 0; }
table { border-collapse: collapse; font-size: 0.9em; }
td, th { padding: 0.2em 0.7em; text-align: right; border-bottom: 1px solid #ddd; }
td:first-child, th:first-child { text-align: left; }
p.note { color: #555; font-size: 0.9em; margin: 0.2em 0; }
svg { display: block; max-width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: #222; }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd; } svg text { fill: #ddd; }
  td, th { border-color: #444; } p.note { color: #aaa; } }
"""
_WIDTH, _LABEL, _VALUE, _ROW = 760, 130, 150, 26


def bars(figure: Figure, servers: list[dict]) -> str:
    """One bar for each server, with its rounds' range as a whisker."""
    shown = [(server, found) for server in servers if (found := figure.summary(server["name"]))]
    if not shown:
        return ""
    room = _WIDTH - _LABEL - _VALUE
    largest = max(found.high for _, found in shown) or 1
    parts = []
    for line, (server, found) in enumerate(shown):
        y = line * _ROW
        length = max(0.0, found.median) / largest * room
        low, high = (_LABEL + max(0.0, edge) / largest * room for edge in (found.low, found.high))
        parts.append(
            f'<text x="{_LABEL - 8}" y="{y + 17}" text-anchor="end">{html.escape(server["title"])}</text>'
            f'<rect x="{_LABEL}" y="{y + 4}" width="{length:.1f}" height="{_ROW - 8}" '
            f'fill="{COLOURS.get(server["name"], "#888")}"/>'
            f'<path d="M{low:.1f} {y + 13}H{high:.1f}M{low:.1f} {y + 9}v8M{high:.1f} {y + 9}v8" stroke="#888"/>'
            f'<text x="{max(_LABEL + length, high) + 8:.1f}" y="{y + 17}">'
            f'{html.escape(cell(figure, server["name"]))}</text>')
    return _svg(len(shown) * _ROW, f"{figure.title}, {figure.unit}", "".join(parts))


def _svg(height: float, title: str, body: str) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" role="img"><title>{html.escape(title)}</title>' \
           f'{body}</svg>\n'


# --- Certificates: a curve for each server, both axes logarithmic ---------------------------------

def _split(figure: Figure) -> Optional[tuple[int, str]]:
    """Number of certificates and row, from an id as certificates-1000-start."""
    words = figure.ident.split("-", 2)
    return (int(words[1]), words[2]) if figure.group == "certificates" and len(words) == 3 else None


def curves(figures: list[Figure], servers: list[dict]) -> str:
    points: dict[str, list[tuple[float, float]]] = {}
    for figure in figures:
        for server in servers:
            found, place = figure.summary(server["name"]), _split(figure)
            if found and place and found.median > 0:
                points.setdefault(server["name"], []).append((place[0], found.median))
    values = [point for line in points.values() for point in line]
    if len({count for count, _ in values}) < 2:
        return ""
    height, left, bottom, right = 260, 70, 30, 150
    edges = [(math.floor(math.log10(min(axis))), math.ceil(math.log10(max(axis)))) for axis in zip(*values)]
    edges = [(low, max(high, low + 1)) for low, high in edges]

    def place(axis: int, value: float) -> float:
        low, high = edges[axis]
        share = (math.log10(value) - low) / (high - low)
        return left + share * (_WIDTH - left - right) if axis == 0 else height - bottom - share * (height - bottom - 10)

    parts = []
    for power in range(edges[0][0], edges[0][1] + 1):
        x = place(0, 10 ** power)
        parts.append(f'<text x="{x:.0f}" y="{height - 8}" text-anchor="middle">{10 ** power:,.6g}</text>')
    for power in range(edges[1][0], edges[1][1] + 1):
        y = place(1, 10 ** power)
        parts.append(f'<path d="M{left} {y:.1f}H{_WIDTH - right}" stroke="#8884"/>'
                     f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{10 ** power:,.6g}</text>')
    for server in servers:
        line = points.get(server["name"])
        if not line:
            continue
        colour = COLOURS.get(server["name"], "#888")
        spots = [(place(0, x), place(1, y)) for x, y in sorted(line)]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in spots]
        parts.append(f'<text x="{spots[-1][0] + 8:.1f}" y="{spots[-1][1] + 4:.1f}">{html.escape(server["title"])}</text>')
    return _svg(height, "by number of certificates", "".join(parts))


def _certificate_plots(report: Report) -> str:
    rows: dict[str, list[Figure]] = {}
    for figure in report.figures:
        if place := _split(figure):
            rows.setdefault(place[1], []).append(figure)
    parts = []
    for figures in rows.values():
        title = figures[0].title.partition(": ")[2]
        if plot := curves(figures, report.servers()):
            parts.append(f"<h3>{html.escape(title.capitalize())}, {html.escape(figures[0].unit)}, by number of "
                         f"certificates</h3>\n{plot}")
    return "".join(parts)


# --- The page ------------------------------------------------------------------------------------

def _table(report: Report) -> str:
    servers = report.servers()
    head = "".join(f"<th>{html.escape(server['title'])}</th>" for server in servers)
    rows = []
    for figure in report.figures:
        cells = "".join(f"<td>{html.escape(cell(figure, server['name']))}</td>" for server in servers)
        rows.append(f"<tr><td>{html.escape(figure.title)}, {html.escape(figure.unit)}</td>{cells}</tr>\n")
    return f"<table><tr><th></th>{head}</tr>\n{''.join(rows)}</table>\n"


def page(report: Report) -> str:
    data = report.data
    plots = []
    for figure in report.figures:
        if figure.group != "certificates" and (plot := bars(figure, report.servers())):
            note = f'<p class="note">{html.escape(figure.note)}</p>\n' if figure.note else ""
            plots.append(f"<h3>{html.escape(figure.title)}, {html.escape(figure.unit)}</h3>\n{note}{plot}")
    versions = ", ".join(f"{peer['title']} {peer.get('version', '')}".strip() for peer in report.servers())
    lines = "".join(f"<li>{html.escape(line)}</li>\n" for line in missing(report))
    how = "</p><p>".join(html.escape(part) for part in how_text(report).strip().split("\n\n"))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{html.escape(report.title())}</title><style>{STYLE}</style></head><body>
<h1>{html.escape(report.title())}</h1>
<p>{html.escape(data['machine']['date'])}, commit {html.escape(data['machine']['commit'])}.
{html.escape(machine.text(data['machine']))}. {html.escape(versions)}.</p>
<p>{how}</p>
<h2>Plots</h2>
{''.join(plots)}{_certificate_plots(report)}
<h2>All figures</h2>
{_table(report)}
<ul>{lines}</ul>
</body></html>
"""
