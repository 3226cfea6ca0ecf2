"""What a start reads of the journal: bars, replies, positions, numbers.

The rule: a row that no writer of ours wrote is left out and counted (`Journal.errors`). A journal
at fault gives nothing, which is not an empty journal: who reads asks for its `fault` too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from service.journal.paper_table import LOAD_PAPER, PAPER_COLUMNS, UNFOLLOWED, can_be_followed
from service.journal.records import BarRow, PaperRow, Remembered, SymbolRow
from service.journal.writer import Journal

T = TypeVar("T")

LAST_SEQ = 1 << 62
"""A number beyond is a damaged one: a microsecond of the year 148,000."""
MOST_SEARCHED = 1 << 18
"""Scores that are looked through for ids of signals, some 20 ms: callers need not name any."""


def load_bars(journal: Journal) -> tuple[list[BarRow], list[SymbolRow]]:
    """All kept bars, by symbol and rising minute, and each symbol's facts."""
    bars = _named(journal, "SELECT * FROM bars ORDER BY symbol, minute")
    symbols = _named(journal, "SELECT * FROM symbols")
    return [BarRow(*row) for row in bars], [SymbolRow(*row) for row in symbols]


def load_bars_of(journal: Journal, names: Iterable[str]) -> tuple[list[BarRow], list[SymbolRow]]:
    """The same of these symbols; others' rows, of which there may be 100,000, are not read."""
    bars: list[BarRow] = []
    symbols: list[SymbolRow] = []
    for name in sorted(names):
        found = _named(journal, "SELECT * FROM bars WHERE symbol = ? ORDER BY minute", (name,))
        facts = _named(journal, "SELECT * FROM symbols WHERE symbol = ?", (name,))
        bars += [BarRow(*row) for row in found]
        symbols += [SymbolRow(*row) for row in facts]
    return bars, symbols


def load_replies(
    journal: Journal, since: float, until: float, limit: int
) -> list[tuple[str, Remembered]]:
    """The newest answers between two times (UTC s) by signal, oldest first, for their retries.

    Later ones are of a clock that was ahead: an hour on they would be taken for new.
    """
    journal.settle()
    rows = journal.rows(
        # A score's number is not below its microsecond: older ones are not read.
        "SELECT signal_id, scored_at, digest, reply FROM scores"
        " WHERE seq >= ? AND signal_id IS NOT NULL ORDER BY seq DESC LIMIT ?",
        (int(since * 1e6), limit),
    )
    replies = _sound(journal, tuple[str, float, bytes, bytes], list(reversed(rows)))
    return [
        (signal_id, Remembered(at_s, digest, reply))
        for signal_id, at_s, digest, reply in replies
        if since <= at_s <= until
    ]


def last_seq(journal: Journal) -> int:
    """The highest number of a score; 0 where there is none that could be added to."""
    journal.settle()
    rows = journal.rows("SELECT seq FROM scores ORDER BY seq DESC LIMIT 1")
    return rows[0][0] if rows and rows[0][0] < LAST_SEQ else 0


def load_paper(journal: Journal) -> list[PaperRow]:
    """All open positions."""
    return _sound_paper(journal, journal.rows(LOAD_PAPER))


def load_unfollowed(journal: Journal, since: float, holding_s: float, limit: int) -> list[PaperRow]:
    """Positions of signals first scored since a time (UTC s) without one or an end of one."""
    values = {"since": since, "holding_s": holding_s, "limit": limit}
    return _sound_paper(journal, journal.rows(UNFOLLOWED, values))


def load_signals(journal: Journal, limit: int) -> list[str]:
    """The ids of the signals that were scored last, oldest first."""
    newest = (
        "SELECT signal_id FROM (SELECT seq, signal_id FROM lookup ORDER BY seq DESC LIMIT ?)"
        " WHERE signal_id IS NOT NULL ORDER BY seq DESC LIMIT ?"
    )
    found = journal.rows(newest, (MOST_SEARCHED, limit))
    return _sound(journal, str, [row[0] for row in reversed(found)])


def _named(journal: Journal, statement: str, values: tuple[str, ...] = ()) -> list[Any]:
    """Rows that begin with a symbol's name; one whose name is damaged is left out."""
    rows = journal.rows(statement, values)
    named = [row for row in rows if isinstance(row[0], str)]
    journal.errors += len(rows) - len(named)
    return named


def _sound_paper(journal: Journal, rows: list[Any]) -> list[PaperRow]:
    """Positions of rows that begin with their columns."""
    named = [dict(zip(PAPER_COLUMNS, row, strict=False)) for row in rows]
    return [row for row in _sound(journal, PaperRow, named) if can_be_followed(row)]


def _sound(journal: Journal, kind: type[T], rows: list[Any]) -> list[T]:
    """Rows as what they are; one that nobody of ours wrote is left out and an error.

    SQLite finds no turned bit within a row, and keeps any type in any column.
    """
    try:
        return msgspec.convert(rows, list[kind])  # type: ignore[valid-type]
    except (msgspec.MsgspecError, ValueError):
        pass  # One row at least is not sound.
    found = []
    for row in rows:
        try:
            found.append(msgspec.convert(row, kind))
        except (msgspec.MsgspecError, ValueError):
            journal.errors += 1
    return found
