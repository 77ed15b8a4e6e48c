"""tools/quickstart's own check, with the program under test: a mail goes out and comes back.

Shows row A1 as a newcomer meets it.
"""

import os
import subprocess

from support import TOP
from support.ports import free_port
from support.postern import program


def test_quickstart_sends_a_mail_and_reads_it_back():
    ports = " ".join(str(free_port()) for _ in range(4))  # another quickstart may run beside this
    environment = {**os.environ, "POSTERN": str(program()), "QUICKSTART_PORTS": ports}
    done = subprocess.run([TOP / "tools/quickstart", "--check"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=200, env=environment)
    text = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, text
    assert text.count("ok  ") == 4 and "The mail came back." in text
