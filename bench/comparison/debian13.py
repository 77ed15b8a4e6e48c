"""The same run inside a Debian 13 root, where every server has OpenSSL 3.5. tools/debian13 makes the root."""

import importlib.machinery
import importlib.util
import pathlib
import shutil
import subprocess

from . import TOP, Trouble, machine

INNER_OUTPUT = "build-compare/results"


def _tool():
    """tools/debian13, which is a program, as a module."""
    path = TOP / "tools" / "debian13"
    loader = importlib.machinery.SourceFileLoader("debian13_tool", str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def packages() -> list[str]:
    script = 'source "$1" && printf "%s\\n" "${peer_packages[@]}"'
    run = subprocess.run(["bash", "-c", script, "bash", str(TOP / "tools" / "packages")], capture_output=True,
                         text=True, check=True)
    return run.stdout.split()


def _installed(root: pathlib.Path, names: list[str]) -> bool:
    run = subprocess.run(["dpkg-query", f"--admindir={root}/var/lib/dpkg", "-W", "-f=${db:Status-Status}\n", *names],
                         capture_output=True, text=True)
    return run.returncode == 0 and set(run.stdout.split()) == {"installed"}


def bring_out(results: pathlib.Path, output: pathlib.Path) -> bool:
    """Copies a run's results; whether there are any."""
    if not (results / "comparison.json").exists():
        return False
    shutil.copytree(results, output, dirs_exist_ok=True)
    return True


def run(arguments: list[str], output: pathlib.Path) -> tuple[int, bool]:
    """Runs bench/compare with these arguments in the root and brings its results out to `output`; returns its
    exit status, and whether there were results."""
    tool = _tool()
    try:
        tool.require_tools()
        with tool.locked():
            tool.prepare()
            if not _installed(tool.ROOT, packages()):
                tool.configure(tool.ROOT)
                tool.install(tool.ROOT, packages())
            commit = machine.commit()
            place = tool.copy_tree()
            results = tool.ROOT / place.relative_to("/") / INNER_OUTPUT
            shutil.rmtree(results, ignore_errors=True)
            go = 'cd "$1" && shift && exec "$@"'
            command = ["env", f"POSTERN_COMMIT={commit}", "bench/compare", "--no-install", *arguments,
                       "--output", INNER_OUTPUT]
            status = tool.in_root(tool.ROOT, ["sh", "-c", go, "sh", str(place), *command], network=False)
            return status, bring_out(results, output)
    except tool.Unavailable as reason:
        raise Trouble(f"no Debian 13 root: {reason}") from None
