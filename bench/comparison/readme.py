"""The summary table in README.md, between its two markers."""

import pathlib
import re

from . import Trouble, machine
from .figures import Figure
from .report import Report, against_best, figure_table

BEGIN, END = "<!-- comparison: begin -->", "<!-- comparison: end -->"


def _shown(figure: Figure) -> bool:
    """All but the certificates' finer rows and their smaller numbers; of those, too, each in which Postern is
    dearer than another or failed: a summary that dropped them would be a choice of rows."""
    if not figure.ident.startswith("certificates-"):
        return True
    if "postern" in figure.trouble or (against_best(figure) or 0) > 1:
        return True
    _, count, row = figure.ident.split("-", 2)
    return int(count) >= 10_000 and row in ("start", "memory", "reload")


def summary(report: Report, link: str) -> str:
    data = report.data
    versions = ", ".join(f"{peer['title']} {peer['version']}" for peer in report.servers() if peer.get("version"))
    figures = [figure for figure in report.figures if _shown(figure)]
    return f"""{figure_table(report, figures, spread=False)}
Taken {data['machine']['date'][:10]} at commit {data['machine']['commit']} on {machine.text(data['machine'])}, with {versions}.
{data['pinning']['text']} Medians; less is better in every row, and where the last column is above 1.00, Postern is dearer than the
best of the others. CPU is the server's own, over all of its processes. All figures with their spread, and how every server was
set up: [{link}]({link}).
"""


def update(readme: pathlib.Path, report: Report, link: str) -> None:
    """Puts the summary between the markers, in place of the one that was there."""
    text = readme.read_text()
    pattern = re.compile(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise Trouble(f"{readme.name} must have one line {BEGIN} and one line {END} after it")
    new = f"{BEGIN}\n{summary(report, link)}{END}"
    readme.write_text(pattern.sub(lambda _: new, text))


def update_from(readme: pathlib.Path, results: pathlib.Path) -> None:
    """The same for a results file in the tree, which the summary links to (its Markdown, if it is there)."""
    try:
        report = Report.read(results)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Trouble(f"{results} holds no results: {error}") from None
    page = results.with_suffix(".md") if results.with_suffix(".md").exists() else results
    try:
        link = page.resolve().relative_to(readme.resolve().parent)
    except ValueError:
        raise Trouble(f"{results} must lie in the tree, where a reader can follow the link to it") from None
    update(readme, report, str(link))
