"""bench/compare: its arithmetic, its reports, and short runs with whatever servers are installed."""

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree

import pytest

from support import TOP
from support.postern import program
from support.process import Process
from support.waiting import DEADLINE_S

sys.path.append(str(TOP / "bench"))

from comparison import Trouble, accounting, certificates, command, debian13, idle, loads, machine, page, peers, readme, report  # noqa: E402
from comparison.figures import QUICK, Figure  # noqa: E402
from comparison.generator import read_report  # noqa: E402
from comparison.run import Pinning, pinning  # noqa: E402
from comparison.server import Setup  # noqa: E402
from comparison.summary import number, ratio, summarize  # noqa: E402

BUILD = program().parents[2]
BENCH = BUILD / "bench" / "load" / "postern-bench"
# Wastes a known CPU time in a thread that ends and in a child that is waited for, then says so.
BURNER = """
import os, threading, time
def burn():
    while time.thread_time() < 0.2: pass
thread = threading.Thread(target=burn); thread.start(); thread.join()
child = os.fork()
if child == 0:
    while time.process_time() < 0.2: pass
    os._exit(0)
os.waitpid(child, 0)
print("burnt", flush=True)
time.sleep(600)
"""
# Holds 32 MiB of shared memory that no process has mapped, in two processes.
HOLDER = """
import os, time
memory = os.memfd_create("held")
for _ in range(32): os.write(memory, b"x" * (1 << 20))
os.fork() or time.sleep(600)
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def python(directory):
    """Starts Python programs, each known to have said its word; ends them."""
    started = []

    def start(text, word):
        started.append(Process([sys.executable, "-c", text], directory / f"python{len(started)}.log"))
        started[-1].wait_for_text(word)
        return started[-1]

    yield start
    for process in started:
        process.kill()


# --- Accounts ---

def test_cpu_time_includes_threads_and_children_that_have_ended(python):
    pids = accounting.tree(python(BURNER, "burnt").pid)
    threads_alive = sum(map(accounting.schedstat_ns, pids))
    with_threads = sum(map(accounting.process_ns, pids))
    assert threads_alive > 0
    assert with_threads - threads_alive >= 190_000_000
    assert accounting.cpu_ns(pids) - with_threads >= 190_000_000


def test_cpu_time_of_a_process_that_is_gone_is_nothing(python):
    process = python("print('x', flush=True)", "x")
    process.wait()
    assert accounting.schedstat_ns(process.pid) == accounting.reaped_ns(process.pid) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees all of a process's memory")
def test_memory_counts_shared_memory_in_full_and_once(python):
    empty = HOLDER.replace("range(32)", "range(0)")
    without = accounting.memory(accounting.tree(python(empty, "held").pid))
    held = accounting.memory(accounting.tree(python(HOLDER, "held").pid))
    # What the two programs differ by otherwise is a MiB or two.
    assert 28 << 20 <= held.total - without.total < 40 << 20
    assert 32 << 20 <= held.shared < 33 << 20 and without.shared == 0


def test_kernel_memory_is_read_from_its_tables():
    slabinfo = """slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>
TCP                    10     26   2432   13    8 : tunables    0    0    0
tw_sock_TCP          4000   4000    264   31    2 : tunables    0    0    0
kmalloc-64              5     64     64   64    1 : tunables    0    0    0
"""
    assert accounting.slab_bytes(slabinfo) == 10 * 2432 + 5 * 64
    assert accounting.tcp_pages("sockets: used 24\nTCP: inuse 7 orphan 0 tw 46 alloc 7 mem 1144\nUDP: inuse 0 mem 3\n") \
        == 1144
    assert accounting.tcp_pages("") == 0
    assert accounting.active_opens("Ip: A B\nIp: 1 2\nTcp: RtoMin ActiveOpens PassiveOpens\nTcp: 200 17 4\n") == 17


def test_cpus_are_shared_out():
    assert pinning([0, 1]) == Pinning([1], [0])
    assert pinning([2, 3, 5, 7]) == Pinning([7], [2, 3, 5])
    assert pinning([4]) == Pinning([4], [4])
    assert "take turns" in pinning([4]).text()
    assert "CPU 7" in pinning([2, 7]).text() and "CPU 2" in pinning([2, 7]).text()


# --- Arithmetic ---

def test_median_and_spread():
    assert summarize([]) is None
    assert summarize([3.0]) == (3.0, 3.0, 3.0, 1)
    odd = summarize([9.0, 1.0, 5.0])
    assert (odd.median, odd.low, odd.high, odd.spread) == (5.0, 1.0, 9.0, 0.8)
    assert summarize([1.0, 2.0, 3.0, 10.0]).median == 2.5
    assert summarize([0.0, 0.0]).spread == 0.0
    assert ratio(3, 2) == 1.5 and ratio(3, 0) is None


@pytest.mark.parametrize("value, text", [
    (0, "0"), (0.01234, "0.0123"), (0.987, "0.987"), (1.234, "1.23"), (12.34, "12.3"), (123.4, "123"),
    (12345.6, "12,346"), (-0.5, "-0.500"),
])
def test_numbers_have_three_digits_that_tell(value, text):
    assert number(value) == text


def test_units_are_octets_for_bulk_and_counts_otherwise():
    assert loads.units({"units": "bytes", "count": 3, "bytes": {"sent": 10, "received": 20}}) == 30
    assert loads.units({"units": "handshakes", "count": 3, "bytes": {"sent": 10, "received": 20}}) == 3


LOADS = {load.ident: load for load in loads.LOADS}


@pytest.mark.parametrize("ident, verified, fault", [
    ("full-13-ecdsa", {"versions": {"TLSv1.3": 9}}, None),
    ("full-13-ecdsa", {"versions": {"TLSv1.3": 9, "TLSv1.2": 1}}, "TLSv1.3"),
    ("full-12-ecdsa", {"versions": {"TLSv1.3": 9}}, "TLSv1.2"),
    ("resumed-13", {"versions": {"TLSv1.3": 9}, "resumed": 9}, None),
    ("resumed-13", {"versions": {"TLSv1.3": 9}, "resumed": 0}, "no session was resumed"),
    ("resumed-13", {"versions": {"TLSv1.3": 999}, "resumed": 990, "full": 9}, None),
    ("resumed-13", {"versions": {"TLSv1.3": 999}, "resumed": 900, "full": 99}, "99 full handshakes"),
    ("full-13-rsa", {"versions": {"TLSv1.3": 9}, "resumed": 1}, "sessions were resumed"),
    ("full-13-ecdsa", {"versions": {"TLSv1.3": 9}, "groups": {"x25519": 9}}, None),
    ("full-13-ecdsa", {"versions": {"TLSv1.3": 9}, "groups": {"X25519": 8, "secp256r1": 1}}, "secp256r1"),
    ("bulk-up", {"versions": {"TLSv1.3": 9}, "bytes_right": False}, "wrong"),
])
def test_what_was_not_verified_is_no_measurement(ident, verified, fault):
    if fault is None:
        loads.check_verified(LOADS[ident], {"verified": verified})
    else:
        with pytest.raises(Trouble, match=fault):
            loads.check_verified(LOADS[ident], {"verified": verified})


@pytest.mark.parametrize("text, fault", [
    (None, "no report"), ("{", "no report"), ('{"count": 0, "failures": {"by_reason": {"refused": 4}}}', "refused"),
    ('{"count": 900, "failures": {"total": 4, "by_reason": {"cut off": 4}}}', r"4 failed beside 900 .*cut off \(4\)"),
    ('{"count": 900, "failures": {"total": 0, "by_reason": {}}}', "ended with 1: it said this"),
])
def test_load_generator_without_a_result_is_told(directory, text, fault):
    path = directory / "report.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(Trouble, match=fault):
        read_report(path, 1, "it said this")


def test_load_generator_that_failed_at_nothing_has_a_report(directory):
    (directory / "report.json").write_text('{"count": 900, "failures": {"total": 0, "by_reason": {}}}')
    assert read_report(directory / "report.json", 0, "")["count"] == 900


@pytest.mark.parametrize("seen, fault", [
    ({"held": 20, "alive_at_the_end": 20, "lost": 0}, None), ({"held": 20, "alive_at_the_end": 19, "lost": 1}, "19 were alive"),
    ({"held": 18, "alive_at_the_end": 18, "lost": 0}, "18 were held"), ({}, "0 were held"),
])
def test_idle_connections_must_all_be_there_at_the_end(seen, fault):
    if fault is None:
        idle.check_held({"mode_specific": seen}, 20)
    else:
        with pytest.raises(Trouble, match=fault):
            idle.check_held({"mode_specific": seen}, 20)


def test_client_of_tls_12_offers_the_certificates_curve_too():
    assert loads.groups_of(LOADS["full-12-ecdsa"]) == "X25519:P-256"
    assert loads.groups_of(LOADS["full-13-ecdsa"]) == "X25519"
    words = loads.arguments_of(LOADS["resumed-12"], 2, 4, 1000)
    assert words[words.index("--groups") + 1] == "X25519:P-256" and "--resume" in words


def test_measures_leave_out_servers_that_cannot_take_part():
    assert LOADS["full-13-ecdsa"].refuses(peers.NginxMail) is not None
    assert LOADS["greeting"].refuses(peers.NginxMail) is None
    assert LOADS["starttls"].refuses(peers.NginxMail) is None
    assert LOADS["starttls"].refuses(peers.HAProxy) is not None
    assert LOADS["full-13-logged"].refuses(peers.Hitch) is not None
    assert LOADS["full-13-no-tickets"].refuses(peers.Hitch) is not None
    for load in loads.LOADS:
        assert load.refuses(peers.Postern) is None


def test_peers_are_set_up_alike(directory):
    pair = certificates.Pair(directory / "a.crt", directory / "a.key", directory / "a.pem")
    for kind in peers.ALL.values():
        server = kind(directory, Setup(7, pair), [0])
        text = next(iter(server.configuration().values()))
        assert str(server.port) in text, kind.name
        assert str(pair.certificate) in text or str(pair.combined) in text, kind.name
        if kind.name not in ("postern", "nginx-mail"):
            assert "127.0.0.1]:7" in text or "127.0.0.1:7" in text, kind.name


# --- Reports ---

def made_report():
    fast = Figure("full-13-ecdsa", "full-13-ecdsa", "Full handshake", "µs", "A note <here>.")
    for value in (100.0, 110.0, 120.0):
        fast.add("postern", value, per_second=50.0, server_cpu_share=0.5, connections_behind=1.0, failures=0)
        fast.add("haproxy", value / 2, per_second=60.0, server_cpu_share=0.5, connections_behind=0.0, failures=0)
    fast.fail("stunnel", "it died & was buried")
    rows = []
    for count in (1, 10_000):
        for key in ("start", "reload-cpu"):
            row = Figure(f"certificates-{count}-{key}", "certificates", f"{count:,} certificates: {key}", "ms")
            row.add("postern", 10.0 * count)
            row.add("haproxy", 40.0 * count)
            rows.append(row)
    return report.Report({
        "machine": {**machine.describe("0123456789ab"), "date": "2026-01-02 03:04 UTC", "debian": "12"},
        "pinning": {"server": [1], "load": [0], "text": "The server on CPU 1."}, "settings": QUICK._asdict(),
        "peers": [{"name": "postern", "title": "Postern", "version": "0.1.0"},
                  {"name": "haproxy", "title": "HAProxy", "version": "2.6"},
                  {"name": "stunnel", "title": "stunnel", "version": "5.68"},
                  {"name": "hitch", "title": "Hitch", "skipped": "there is no package"}],
        "skipped": {"idle": "no slab to be seen"}, "figures": [figure.to_json() for figure in (fast, *rows)]})


def test_report_says_where_postern_is_dearer_and_what_is_missing():
    made = made_report()
    assert report.against_best(made.figures[0]) == 2.0
    text = report.markdown(made)
    row = next(line for line in text.splitlines() if line.startswith("| Full handshake"))
    assert [cell.strip() for cell in row.split("|")[1:-1]] == ["Full handshake, µs", "110 ± 9 %", "55.0 ± 9 %", "failed",
                                                              "2.00"]
    for said in ("it died & was buried", "there is no package", "no slab to be seen", "0123456789ab", "2026-01-02",
                 "HAProxy had not yet connected to the server behind"):
        assert said in text, said
    assert "2.00" in report.screen(made)


def test_report_says_why_servers_are_missing_in_rows():
    made = made_report()
    for figure in made.figures:
        if figure.group == "certificates":
            figure.left_out["hitch"] = "it is not set up"
    made.figures[0].left_out["hitch"] = "its ears are cold"
    lines = report.missing(made)
    assert "Certificates at scale: start, reload, memory: Hitch is not in it: it is not set up" in lines
    assert "Full handshake: Hitch is not in it: its ears are cold" in lines
    made.figures[-1].left_out.pop("hitch")  # Then each row is named.
    assert any(line.startswith("1 certificates: start; 1 certificates: reload-cpu; ") for line in report.missing(made))


def test_report_warns_of_memory_below_nothing():
    made = made_report()
    assert not any("below nothing" in line for line in report.missing(made))
    made.figures[0].rounds["haproxy"][1]["value"] = -0.1
    assert any(line.startswith("Full handshake: HAProxy came out below nothing") for line in report.missing(made))


def test_every_server_is_in_the_comparison_of_certificates_or_says_why_not():
    takers = {name for name, kind in peers.ALL.items() if kind.refuses_many is None}
    assert takers == {"postern", "nginx", "haproxy"}


def test_a_server_that_failed_in_one_round_has_no_figure():
    figure = Figure("echo-1", "echo-1", "Echo", "µs")
    for server, value in (("postern", 20.0), ("haproxy", 10.0), ("haproxy", 11.0)):
        figure.add(server, value)
    figure.fail("haproxy", "3 failed beside 900 that were counted: cut off (3)")
    assert report.cell(figure, "haproxy") == "failed" and report.against_best(figure) is None
    again = Figure.from_json(figure.to_json())
    assert report.cell(again, "haproxy") == "failed" and len(again.rounds["haproxy"]) == 2


def test_report_is_the_same_from_its_json(directory):
    made = made_report()
    (directory / "r.json").write_text(made.json())
    assert report.markdown(report.Report.read(directory / "r.json")) == report.markdown(made)


def test_page_needs_nothing_else_and_its_plots_are_well_formed():
    text = page.page(made_report())
    plots = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(plots) == 3  # The handshake's bars, and a curve for each of two rows of certificates.
    for plot in plots:
        xml.etree.ElementTree.fromstring(plot)
    assert not re.search(r"https?:|<script|<link|@import", text)
    assert "buried &amp; was" not in text and "it died &amp; was buried" in text
    assert "A note &lt;here&gt;." in text


def test_readme_is_updated_between_its_markers_alone(directory):
    path = directory / "README.md"
    path.write_text(f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n")
    for _ in range(2):
        readme.update(path, made_report(), "bench/results/x.md")
        text = path.read_text()
        assert text.startswith(f"before\n{readme.BEGIN}\n") and text.endswith(f"{readme.END}\nafter\n")
        assert "old" not in text and "| Full handshake, µs | 110 | 55.0 | failed | 2.00 |" in text
        assert text.count("bench/results/x.md") == 2
    assert "10,000 certificates: start" in text
    assert "reload-cpu" not in text and "| 1 certificates" not in text  # The report has them.


def test_readme_shows_every_row_in_which_postern_is_dearer(directory):
    made = made_report()
    dearer = next(figure for figure in made.figures if figure.ident == "certificates-1-start")
    dearer.rounds["haproxy"] = [{"value": 9.9}]
    failed = next(figure for figure in made.figures if figure.ident == "certificates-1-reload-cpu")
    failed.rounds.pop("postern")
    failed.fail("postern", "it died")
    text = readme.summary(made, "x")
    assert "| 1 certificates: start, ms | 10.0 | 9.90 | - | 1.01 |" in text
    assert "| 1 certificates: reload-cpu, ms | failed | 40.0 |" in text
    assert "10,000 certificates: reload-cpu" not in text  # Postern is the cheaper one there.


@pytest.mark.parametrize("text", ["no markers", f"{readme.BEGIN}\nno end", f"{readme.END}\n{readme.BEGIN}\n"])
def test_readme_without_its_markers_is_left_alone(directory, text):
    path = directory / "README.md"
    path.write_text(text)
    with pytest.raises(Trouble):
        readme.update(path, made_report(), "x")
    assert path.read_text() == text


def test_results_that_are_none_are_refused(directory):
    (directory / "bad.json").write_text("[]")
    for name in ("bad.json", "absent.json"):
        assert command.main(["--update-readme", str(directory / name)]) == 1


def test_readme_of_the_tree_has_the_markers():
    text = (TOP / "README.md").read_text()
    assert text.index(readme.BEGIN) < text.index(readme.END)


# --- The command ---

def compare(*words, cache=None):
    environment = {**os.environ, **({"XDG_CACHE_HOME": str(cache)} if cache else {})}
    return subprocess.run([TOP / "bench" / "compare", *map(str, words)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=DEADLINE_S * 3, env=environment)


@pytest.mark.parametrize("words, said", [
    (["--only", "full-13-ecdsa,nonsense"], "nonsense"), (["--peers", "apache"], "apache"), (["--rounds", "0"], "more than 0"),
    (["--nonsense"], "nonsense"), (["--record", "--quick"], "--quick"), (["--record", "--build", "b"], "--build"),
    (["--record", "--peers", "nginx"], "--peers"), (["--record", "--only", "idle"], "--only"),
    (["--record", "--only", "certificates,idle"], "--only"),
])
def test_wrong_usage_is_refused(words, said):
    done = compare(*words)
    assert done.returncode == 2 and said in done.stderr


def test_list_names_measures_and_servers():
    done = compare("--list")
    assert done.returncode == 0
    for name in ("full-13-ecdsa", "idle", "certificates", "haproxy", "stunnel"):
        assert name in done.stdout


def test_missing_build_is_told(directory):
    done = compare("--build", directory, "--no-install", "--output", directory)
    assert done.returncode == 1 and "is not there" in done.stderr


def test_records_are_never_overwritten(directory):
    def write(text):
        made = made_report()
        (directory / "comparison.json").write_text(made.json())
        (directory / "comparison.md").write_text(text)

    place = directory / "results"
    names = []
    for number, part in enumerate(["", "", "certificates", "", "certificates"]):
        write(str(number))
        names.append(command.record(directory, part, place).name)
    assert names == ["2026-01-02-debian12.json", "2026-01-02-debian12-2.json", "2026-01-02-debian12-certificates.json",
                     "2026-01-02-debian12-3.json", "2026-01-02-debian12-certificates-2.json"]
    assert [(place / name).with_suffix(".md").read_text() for name in names] == ["0", "1", "2", "3", "4"]


def test_a_run_in_debian_13_without_results_leaves_none(directory):
    (directory / "results").mkdir()
    assert debian13.bring_out(directory / "results", directory / "output") is False
    assert not (directory / "output").exists()
    (directory / "results" / "comparison.json").write_text("{}")
    assert debian13.bring_out(directory / "results", directory / "output") is True
    assert (directory / "output" / "comparison.json").exists()


@pytest.mark.parametrize("wrote, recorded", [(True, 1), (False, 0)])
def test_only_results_of_this_run_are_recorded(directory, monkeypatch, wrote, recorded):
    """Those of an earlier run lie in the same place."""
    (directory / "comparison.json").write_text(made_report().json())
    kept = []
    monkeypatch.setattr(command, "record", lambda output, part: kept.append(part))
    monkeypatch.setattr(command.debian13, "run", lambda words, output: (1, wrote))
    monkeypatch.setattr(command.signal, "signal", lambda *_: None)
    words = ["--debian13", "--record", "--only", "certificates", "--output", str(directory)]
    assert command.main(words) == 1
    assert kept == ["certificates"] * recorded


def test_a_tree_that_changes_while_it_is_built_is_refused(directory, monkeypatch):
    commits = iter(["1111", "1111", "1111", "2222", "2222"])
    monkeypatch.setattr(command.machine, "commit", lambda: next(commits))
    monkeypatch.setattr(command.preparation, "build", lambda: directory)
    assert command.built() == (directory, "1111")
    with pytest.raises(Trouble, match="2222"):
        command.built()


def test_what_the_run_in_debian_13_is_told():
    assert command.inner_arguments(["--debian13", "--quick", "--output", "x", "--record", "--only", "idle",
                                    "--build=b", "--output=y"]) == ["--quick", "--only", "idle"]


needs_generator = pytest.mark.skipif(not os.access(BENCH, os.X_OK), reason="this build has no postern-bench")


def smoke(directory, *words):
    done = compare("--quick", "--no-install", "--build", BUILD, "--output", directory, *words, cache=directory)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("comparison.md", "comparison.html"):
        assert (directory / name).stat().st_size > 0
    return {figure["id"]: figure["results"] for figure in json.loads((directory / "comparison.json").read_text())["figures"]}


@needs_generator
def test_short_run_under_load(directory):
    figures = smoke(directory, "--seconds", "0.2", "--only", "full-13-ecdsa,echo-1")
    installed = {name for name, kind in peers.ALL.items() if name == "postern" or kind.executable()} - {"nginx-mail"}
    for ident in ("full-13-ecdsa", "echo-1"):
        assert set(figures[ident]) == installed
        for server, result in figures[ident].items():
            assert result["median"] > 0 and result["rounds"][0]["failures"] == 0, (ident, server)


@needs_generator
def test_another_server_is_measured(directory):
    """Any that is there; tools/packages has one of them among the tests' packages."""
    others = [name for name, kind in peers.ALL.items() if kind.executable() and "raw" in kind.services and name != "postern"]
    if not others:
        pytest.skip("none of nginx, HAProxy, Hitch and stunnel is installed")
    figures = smoke(directory, "--seconds", "0.2", "--only", "resumed-13,idle", "--idle", "20", "--peers", others[-1])
    for ident in ("resumed-13", "idle-user"):
        assert figures[ident][others[-1]]["median"] > 0 and figures[ident]["postern"]["median"] > 0


# postern-bench, but that each run of handshakes says that two of them failed.
FAILING_BENCH = """#!/usr/bin/python3
import json, os, subprocess, sys
program, words = {program!r}, sys.argv[1:]
if words[0] != "handshake":
    os.execv(program, [program, *words])
subprocess.run([program, *words])
path = words[words.index("--json") + 1]
with open(path) as text:
    report = json.load(text)
report["failures"] = {{"total": 2, "by_reason": {{"cut off": 2}}}}
with open(path, "w") as text:
    json.dump(report, text)
sys.exit(1)
"""


@needs_generator
def test_failed_connections_fail_the_measure_and_the_run(directory):
    for path in ("src/cli", "bench/load"):
        (directory / path).mkdir(parents=True)
    (directory / "src/cli/postern").symlink_to(program())
    bench = directory / "bench/load/postern-bench"
    bench.write_text(FAILING_BENCH.format(program=str(BENCH)))
    bench.chmod(0o755)
    done = compare("--quick", "--seconds", "0.2", "--no-install", "--only", "full-13-ecdsa,echo-1", "--peers", "postern",
                   "--build", directory, "--output", directory)
    assert done.returncode == 1, done.stdout + done.stderr
    failed, fine = json.loads((directory / "comparison.json").read_text())["figures"]
    assert "cut off (2)" in failed["results"]["postern"]["trouble"] and "median" not in failed["results"]["postern"]
    assert fine["results"]["postern"]["median"] > 0
    assert "failed: 2 failed beside" in (directory / "comparison.md").read_text()


@needs_generator
def test_short_run_of_starttls(directory):
    results = smoke(directory, "--seconds", "0.2", "--only", "starttls")["starttls"]
    assert results["postern"]["median"] > 0 and results["postern"]["rounds"][0]["failures"] == 0
    assert set(results) == {"postern"} | ({"nginx-mail"} if peers.NginxMail.executable() else set())


@needs_generator
def test_short_run_of_memory_and_certificates(directory):
    figures = smoke(directory, "--only", "idle,certificates", "--idle", "20", "--certificates", "3", "--peers", "nginx")
    assert figures["idle-empty"]["postern"]["median"] > 0
    assert figures["idle-user"]["postern"]["rounds"][0]["failures"] == 0
    if certificates.unavailable() is None:
        for row in ("start", "memory", "reload", "memory-reloaded"):
            assert figures[f"certificates-3-{row}"]["postern"]["median"] > 0
