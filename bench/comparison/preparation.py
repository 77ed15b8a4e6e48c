"""What a run needs before it begins: packages, a build of the tree, a place for its files."""

import contextlib
import pathlib
import shutil
import subprocess
import sys
from typing import Iterator, Optional

from . import TOP, Trouble
from .server import Server

BUILD = TOP / "build-compare"
POLICY = pathlib.Path("/usr/sbin/policy-rc.d")


@contextlib.contextmanager
def no_services() -> Iterator[None]:
    """Packages that are installed within start no service: invoke-rc.d asks this file."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def install(packages: list[str]) -> Optional[str]:
    """Installs what is missing, through tools/packages; returns why it cannot, if so."""
    script = 'source "$1" && shift && missing_packages "$@"'
    words = ["bash", "-c", script, "bash", str(TOP / "tools" / "packages"), *packages]
    if not shutil.which("dpkg-query"):
        return "this is not Debian"
    if not subprocess.run(words, capture_output=True, text=True).stdout.strip():
        return None
    words[2] = script.replace("missing_packages", "install_missing_packages")
    try:
        with no_services():
            run = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except PermissionError:
        return "only root can install packages"
    lines = (run.stderr.strip() or run.stdout.strip()).splitlines()
    return None if run.returncode == 0 else f"{' '.join(packages)} cannot be installed: " \
                                            f"{lines[-1] if lines else 'no reason given'}"


def build() -> pathlib.Path:
    """Builds what is measured, as it is shipped; returns the build directory."""
    if not (BUILD / "build.ninja").exists():
        _run(["meson", "setup", *(["--wipe"] if BUILD.exists() else []), BUILD, "-Db_lto=true"])
    _run(["ninja", "-C", BUILD, "src/cli/postern", "bench/load/postern-bench"])
    return BUILD


def _run(command: list) -> None:
    try:
        done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, cwd=TOP)
    except FileNotFoundError:
        raise Trouble(f"{command[0]} is not installed; tools/quickstart --check installs what a build takes") from None
    if done.returncode != 0:
        print((done.stdout + done.stderr)[-3000:], file=sys.stderr)
        raise Trouble(f"{command[0]} failed (see above)")


def peer(kind: type[Server], may_install: bool) -> Optional[str]:
    """Sees that a server is there; returns why it is not, if so."""
    if kind.executable() is not None:
        return None
    if not kind.package:
        return "it is not built"
    reason = install(kind.package.split()) if may_install else f"{kind.package} is not installed"
    if reason is None and kind.executable() is None:
        return f"{kind.package} is installed, but its program was not found"
    return reason
