"""How tools/run_suites counts: a crash, an empty report or a late failure must never look like success."""

import importlib.machinery
import importlib.util
import pathlib
import sys
import time

import pytest

PATH = pathlib.Path(__file__).resolve().parents[2] / "tools" / "run_suites"


def load():
    sys.dont_write_bytecode = True
    loader = importlib.machinery.SourceFileLoader("run_suites", str(PATH))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("run_suites", loader))
    loader.exec_module(module)
    return module


suites = load()


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.setattr(suites, "LOGS", tmp_path)
    return suites.Log("a step")


@pytest.mark.parametrize("output, status, passed, failed, skipped", [
    ("All tests passed (26 assertions in 4 test cases)\n", 0, 4, 0, 0),
    ("All tests passed (1 assertion in 1 test case)\n", 0, 1, 0, 0),
    ("test cases: 5 | 3 passed | 2 failed\nassertions: 9 | 7 passed | 2 failed\n", 2, 3, 2, 0),
    ("test cases: 4 | 3 passed | 1 skipped\nassertions: 9 | 9 passed\n", 0, 3, 0, 1),
    ("test cases: 2 | 2 failed\n", 2, 0, 2, 0),
    # A sanitizer's report at exit comes after a good summary.
    ("All tests passed (26 assertions in 4 test cases)\n", 23, 4, 1, 0),
    ("Segmentation fault\n", -11, 0, 1, 0),
    ("", 0, 0, 1, 0),
    ("No tests ran\n", 0, 0, 1, 0),
])
def test_catch_counts(output, status, passed, failed, skipped):
    result = suites.catch_result(output, status)
    assert (result.passed, result.failed, len(result.skips)) == (passed, failed, skipped)


@pytest.mark.parametrize("cases, status, passed, failed, skips", [
    ('<testcase name="a"/><testcase name="b"/>', 0, 2, 0, ()),
    ('<testcase name="a"/><testcase name="b"><failure message="x"/></testcase>', 1, 1, 1, ()),
    ('<testcase name="a"><error message="x"/></testcase>', 1, 0, 1, ()),
    # One test that failed, and whose teardown failed as well, is reported twice.
    ('<testcase name="a"><failure message="x"/></testcase><testcase name="a"><error/></testcase>', 1, 0, 2, ()),
    ('<testcase name="a"><skipped message="needs root"/></testcase>', 0, 0, 0, ("a: needs root",)),
    ("", 5, 0, 1, ()),
    ('<testcase name="a"/>', 3, 1, 1, ()),
])
def test_junit_counts(tmp_path, cases, status, passed, failed, skips):
    report = tmp_path / "report.xml"
    report.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    assert suites.junit_result(report, status) == suites.Result(passed, failed, skips)


@pytest.mark.parametrize("text", [None, "", "<testsuites><testsu"])
def test_a_missing_or_broken_junit_report_is_a_failure(tmp_path, text):
    report = tmp_path / "report.xml"
    if text is not None:
        report.write_text(text)
    assert suites.junit_result(report, 0).failed == 1


def has_ended(pid):
    state = pathlib.Path(f"/proc/{pid}/stat")
    try:
        return state.read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "])
def test_a_step_that_takes_too_long_is_killed_with_all_that_it_started(log, trap):
    assert log.run(["sh", "-c", f"({trap}exec sleep 987654) & echo child $!; wait"], timeout_s=0.5) != 0
    child = int(log.text().split("child ")[-1].split()[0])
    deadline = time.monotonic() + 60
    while not has_ended(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert has_ended(child)
    assert "took longer than" in log.text()


def test_steps_after_a_failed_one_are_skipped_and_the_run_fails(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(suites, "TREE", tmp_path)
    monkeypatch.setattr(suites, "LOGS", tmp_path)
    ran = []

    def step(name, result, needs=()):
        return suites.Step(name, "", lambda log: ran.append(name) or result, needs)

    lanes = [
        [step("build", suites.Result(failed=1)), step("unit", suites.Result(passed=5), ("build",))],
        [step("format", suites.Result(passed=1)), step("last", suites.Result(passed=1), ("unit",))],
    ]
    assert suites.Runner(lanes).run() == 1
    assert sorted(ran) == ["build", "format", "last"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "2 passed, 1 failed, 1 skipped"
    assert "  skipped: unit: build failed" in lines


def test_a_step_that_raises_is_a_failure(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(suites, "TREE", tmp_path)
    monkeypatch.setattr(suites, "LOGS", tmp_path)

    def broken(_):
        raise OSError("disk full")

    assert suites.Runner([[suites.Step("broken", "", broken)]]).run() == 1
    output = capsys.readouterr().out
    assert "disk full" in output
    assert output.splitlines()[-1] == "0 passed, 1 failed, 0 skipped"


def test_sanitizer_reports_count_as_failures_and_are_shown(log):
    reports = suites.LOGS / "reports"
    reports.mkdir()
    (reports / "report.123").write_text("ERROR: AddressSanitizer: heap-use-after-free\n")
    assert suites.take_reports(log) == 1
    assert "heap-use-after-free" in log.text()
    assert suites.take_reports(log) == 0
