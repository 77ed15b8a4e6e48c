"""The modules of bench/compare: Postern beside nginx, HAProxy, Hitch and stunnel."""

import pathlib
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent.parent

# Starting and ending processes, free ports and waiting are the end-to-end tests' own helpers.
sys.path.append(str(TOP / "tests" / "e2e"))


class Trouble(Exception):
    """What keeps a measure, a peer or the whole run from going on; the text says it to the user."""
