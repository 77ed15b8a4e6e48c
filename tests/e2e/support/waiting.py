"""Waiting for a condition with a generous deadline: no test here says how long a thing may take."""

import os
import time

# Sanitizer builds and loaded machines are slow; a deadline only bounds a test that fails.
DEADLINE_S = float(os.environ.get("POSTERN_E2E_DEADLINE", "60"))


def wait_for(condition, what, deadline=DEADLINE_S, interval=0.02):
    """The first true value of `condition()`; fails the test, naming `what`, when there is none."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline:.0f} s in vain for {what}; last seen: {value!r}")
        time.sleep(interval)


_SCALE = float(os.environ.get("POSTERN_E2E_SCALE", "1"))
# Sanitizers keep freed memory back, so what a process holds says nothing in their builds.
MEMORY_TELLS = _SCALE == 1


def scale(number, least=1):
    """`number` made smaller as the environment asks (sanitizer builds set POSTERN_E2E_SCALE=0.1)."""
    return max(least, int(number * _SCALE))
