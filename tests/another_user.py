"""What belongs to another user, or is tried as one: root may do both."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

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
