"""The documents agree with the tree: links lead somewhere, tests that are named exist, log events and
their fields are all described."""

import pathlib
import re

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = [TREE / "README.md", TREE / "CONTRIBUTING.md", *sorted((TREE / "docs").glob("*.md"))]


def text(name: str) -> str:
    return (TREE / name).read_text()


def sources() -> str:
    return "\n".join(path.read_text() for path in sorted((TREE / "src").rglob("*.cc")))


def logged_events() -> set[str]:
    """The phrases given to LogLine, in src: all literals of its constructor's arguments."""
    events = set()
    text = sources()
    for match in re.finditer(r"\bLogLine(?: \w+)?\(", text):
        depth, end = 1, match.end()
        while depth > 0:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        events.update(re.findall(r'"([^"]+)"', text[match.end():end]))
    return events


def table_after(document: str, heading: str) -> list[list[str]]:
    """The rows of the first table below the line that begins with `heading`."""
    rows = []
    lines = document[document.index("\n" + heading):].splitlines()[2:]
    for line in lines:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            break
    return rows[2:]


def anchors(path: pathlib.Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if re.match(r"https?:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name) if name else path
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_features_name_tests_that_exist():
    rows = table_after(text("docs/features.md"), "| row")
    missing = []
    for row, _, tests in rows:
        names = re.findall(r"`([^`]+)`", tests)
        assert names, f"{row} names no test"
        for name in names:
            file, _, function = name.partition("::")
            path = TREE / file
            if not path.exists() or (function and f"def {function}(" not in path.read_text()):
                missing.append(f"{row}: {name}")
    assert missing == []


def test_each_log_event_is_described():
    in_source = logged_events()
    described = {row[0].strip("`") for row in table_after(text("docs/logging.md"), "## Events")}
    assert in_source - described == set(), "in src, not in docs/logging.md"
    assert described - in_source == set(), "in docs/logging.md, not in src"


def test_each_field_of_the_connection_line_is_described_in_its_order():
    in_source = re.findall(r'Field(?:Ms)?\("(\w+)"', text("src/session/session_log.cc"))
    described = [row[0].strip("`") for row in table_after(text("docs/logging.md"), "## The connection line")]
    assert in_source == described


@pytest.mark.parametrize("heading, function", [
    ("`how`", r"std::string_view ToString\(How"),
    ("`failure`", r"std::string_view ToString\(HandshakeFailure"),
])
def test_each_value_is_described(heading, function):
    body = re.split(function, sources())[1].split("\n}\n")[0]
    in_source = set(re.findall(r'return "([^"]+)"', body)) - {"unknown", "none"}
    described = {row[0].strip("`") for row in table_after(text("docs/logging.md"), heading)}
    assert in_source == described
