"""A minute of tools/soak: clients of all kinds while Postern is reloaded, killed and upgraded."""

import subprocess
import sys

from support import TOP
from support.waiting import scale


def test_a_minute_of_everything_at_once_leaves_nothing_behind():
    minutes = scale(60, least=20) / 60
    done = subprocess.run([sys.executable, TOP / "tools/soak", f"--minutes={minutes}"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    assert "nothing was left behind" in done.stdout
