"""Journals that a test may leave open, as a process that is killed does: they end with the test.

The product's own are not among them: where one of those is forgotten, Python's ResourceWarning
fails the test.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from service.journal.records import EventRow, OutcomeRow, ScoreRow
from service.journal.writer import Journal as OwnJournal

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


def stored(path: Path, rows: Iterable[ScoreRow | OutcomeRow | EventRow]) -> Path:
    """A journal with these rows in it, each of them taken, that nobody has open."""
    with closing(OwnJournal(path)) as journal:
        assert journal.open()
        assert all(written.journalled for written in journal.write(list(rows)))
    return path
