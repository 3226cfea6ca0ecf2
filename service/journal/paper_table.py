"""The table of open paper positions: one row each, which goes with the end of its position.

The rule: what is read back is followed only where its numbers are such as `paper` makes them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from math import isfinite

import msgspec

from service.journal.records import PaperRow

PAPER_COLUMNS = PaperRow.__struct_fields__
_SAVE_PAPER = (
    f"INSERT OR REPLACE INTO paper({', '.join(PAPER_COLUMNS)}) "
    f"VALUES({', '.join('?' * len(PAPER_COLUMNS))})"
)
LOAD_PAPER = f"SELECT {', '.join(PAPER_COLUMNS)} FROM paper ORDER BY event_time"  # noqa: S608
UNFOLLOWED = (
    "SELECT score_id, signal_id, symbol, direction, stop_loss, take_profit,"
    " abs(entry_price - stop_loss), event_time, event_time + :holding_s, event_time"
    " FROM (SELECT score_id, signal_id, symbol, direction, entry_price, stop_loss, take_profit,"
    " event_time, scored_at, seq FROM scores ORDER BY seq DESC LIMIT :limit) AS s"
    " WHERE scored_at >= :since AND direction != 0"
    " AND entry_price + stop_loss + take_profit IS NOT NULL"
    " AND NOT EXISTS (SELECT 1 FROM lookup WHERE signal_id = s.signal_id AND seq < s.seq)"
    " AND NOT EXISTS (SELECT 1 FROM paper WHERE paper.score_id = s.score_id)"
    " AND NOT EXISTS (SELECT 1 FROM outcomes AS o"
    " WHERE o.score_id = s.score_id AND o.source = 'paper') ORDER BY seq"
)


def insert_paper(
    connection: sqlite3.Connection, rows: Sequence[PaperRow], ended: Iterable[str | None]
) -> None:
    """Keep positions as they are now; those of the scores in `ended` go. Raises sqlite3.Error."""
    connection.executemany(_SAVE_PAPER, [msgspec.structs.astuple(row) for row in rows])
    connection.executemany("DELETE FROM paper WHERE score_id = ?", [(one,) for one in ended])


def can_be_followed(row: PaperRow) -> bool:
    """Whether the numbers of a position are such as `paper` makes them."""
    numbers = [value for value in msgspec.structs.astuple(row) if isinstance(value, float)]
    entered = (row.opened_at, row.opened_price, row.best_price, row.worst_price, row.last_price)
    whole = len({value is None for value in entered}) == 1
    return abs(row.direction) == 1 and row.risk > 0.0 and whole and all(map(isfinite, numbers))
