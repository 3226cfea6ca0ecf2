"""Journals that a test may leave open, as a process that is killed does: they end with the test.

The product's own are not among them: where one of those is forgotten, Python's ResourceWarning
fails the test.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.journal import Journal as OwnJournal

_BLOCKS: list[list[Journal]] = []


class Journal(OwnJournal):
    """The service's own, remembered."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        if _BLOCKS:
            _BLOCKS[-1].append(self)


@contextmanager
def closed_behind() -> Iterator[None]:
    """Close what is opened within the block, and not within one inside it."""
    _BLOCKS.append([])
    try:
        yield
    finally:
        for journal in _BLOCKS.pop():
            journal.close()
