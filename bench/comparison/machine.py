"""What the figures were taken on: machine, system, versions, commit."""

import datetime
import os
import pathlib
import platform
import re
import ssl
import subprocess
from typing import Optional

from . import TOP


def _match(pattern: str, path: str) -> str:
    try:
        found = re.search(pattern, pathlib.Path(path).read_text(errors="replace"), re.MULTILINE)
    except OSError:
        return ""
    return found[1].strip() if found else ""


def debian() -> str:
    """The release's number, "12"."""
    return _match(r'^VERSION_ID="?([^"\n]+)', "/etc/os-release") or "unknown"


def commit() -> str:
    """The tree's commit; "+" when files differ from it. $POSTERN_COMMIT says it where there is no git."""
    if known := os.environ.get("POSTERN_COMMIT"):
        return known
    git = ["git", "-c", f"safe.directory={TOP}", "-C", str(TOP)]
    try:
        number = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True)
        if number.returncode != 0:
            return "unknown"
        changed = subprocess.run([*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True,
                                 text=True)
        return number.stdout.strip() + ("+" if changed.stdout.strip() else "")
    except OSError:
        return "unknown"


def describe(of_commit: Optional[str] = None) -> dict:
    """At the beginning of a run: the load average is of what others did before it. Without a commit, the tree's."""
    flags = _match(r"^flags\s*: (.*)$", "/proc/cpuinfo").split()
    memory_kib = int(_match(r"^MemTotal:\s+(\d+)", "/proc/meminfo") or 0)
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": of_commit or commit(),
        "cpu": _match(r"^model name\s*: (.*)$", "/proc/cpuinfo") or platform.machine(),
        "cpus": os.cpu_count(),
        "virtual": "hypervisor" in flags,
        "avx512": "avx512f" in flags,
        "memory_gib": round(memory_kib / (1 << 20), 1),
        "kernel": platform.release(),
        "system": _match(r'^PRETTY_NAME="?([^"\n]+)', "/etc/os-release") or platform.system(),
        "debian": debian(),
        "openssl": ssl.OPENSSL_VERSION,
        "load_average": os.getloadavg()[0],
    }


def text(machine: dict) -> str:
    """In one sentence."""
    kind = "virtual machine" if machine["virtual"] else "machine"
    return f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['memory_gib']:g} GiB ({kind}), " \
           f"{machine['system']}, Linux {machine['kernel']}, {machine['openssl']}"
