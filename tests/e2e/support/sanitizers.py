"""Whether the program under test is a build with sanitizers, and what those cannot stand."""

import pytest

from support.postern import program

SANITIZED = b"__asan_init" in program().read_bytes() if program().exists() else False

# To look at an object's type, the undefined-behaviour sanitizer opens a pipe; when it cannot, it reports the object.
needs_no_descriptors = pytest.mark.skipif(
    SANITIZED, reason="the undefined-behaviour sanitizer takes objects for none when it can open no pipe")
