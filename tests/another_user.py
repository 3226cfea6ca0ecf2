"""What belongs to another user, or is tried as one: root may do both."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest

NOBODY = 65_534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="being another user takes root")


@contextmanager
def as_nobody() -> Iterator[None]:
    """Within the block the test is that user, and root again behind it."""
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def as_no_root() -> Iterator[None]:
    """Within the block the test has no rights but its own: root is nobody."""
    with as_nobody() if os.geteuid() == 0 else nullcontext():
        yield
