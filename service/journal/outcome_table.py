"""The outcomes' table: each end once, joined to the score that it means where that is sure.

Scores are found by `lookup`, which follows a thousand of them at a time: an index on their own
table would have each of them write its pages.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable

import msgspec

from service.journal.records import Meant, OutcomeRow
from service.journal.score_table import seq_of

_LAST_FOUND = "SELECT coalesce(max(seq), -1) FROM lookup"
_CATCH_UP = (
    "INSERT INTO lookup SELECT seq, signal_id, scored_at FROM scores"
    " WHERE seq > (SELECT coalesce(max(seq), -1) FROM lookup) ORDER BY seq"
)
_FOLLOW = "INSERT OR IGNORE INTO lookup SELECT seq, signal_id, scored_at FROM scores WHERE seq = ?"
_OUTCOME_COLUMNS = ("digest", *(c for c in OutcomeRow.__struct_fields__ if c != "meant"))
_INSERT_OUTCOME = (
    f"INSERT OR IGNORE INTO outcomes({', '.join(_OUTCOME_COLUMNS)}) "
    f"VALUES({', '.join('?' * len(_OUTCOME_COLUMNS))})"
)
_HAS_SIGNAL = "SELECT 1 FROM lookup WHERE signal_id = ? LIMIT 1"
_HAS_SCORE = "SELECT 1 FROM scores WHERE seq = ? AND score_id = ?"
_HAS_OUTCOME = "SELECT 1 FROM outcomes WHERE digest = ?"
_HAS_TOO_MANY = "SELECT 1 FROM lookup WHERE scored_at BETWEEN ? AND ? LIMIT 1 OFFSET ?"
# Two are enough to know that the report cannot say which one it means.
_MEANT = (
    "SELECT score_id, scores.signal_id FROM lookup JOIN scores USING(seq)"
    " WHERE lookup.scored_at BETWEEN ? AND ? AND symbol = ? AND base_score = ? LIMIT 2"
)
MEANT_WITHIN_S = 120.0
CLOCKS_DIFFER_S = 1.0
"""The caller's clock may be this much behind ours when it dates the score it means."""
MOST_CANDIDATES = 2_000
"""Scores within that time. A flood leaves 100,000, and each is a wide row to read on the loop."""


class Written(msgspec.Struct, frozen=True):
    """What became of one row.

    `matched` says that an outcome's signal is in the journal; `score_id` which score it was
    joined to where no id of its own named one.
    """

    journalled: bool
    duplicate: bool = False
    matched: bool = False
    score_id: str | None = None


WRITTEN = Written(True)


def follow(connection: sqlite3.Connection, seqs: Iterable[int]) -> None:
    """Let these scores of the table be found, whatever was scored since, and all that catch up."""
    connection.executemany(_FOLLOW, ((seq,) for seq in late(connection, seqs)))
    catch_up(connection)


def late(connection: sqlite3.Connection, seqs: Iterable[int]) -> list[int]:
    """Those that would not catch up, as a retry may bring one: a later score is found already."""
    (last,) = connection.execute(_LAST_FOUND).fetchone()
    return [seq for seq in seqs if seq <= last]


def catch_up(connection: sqlite3.Connection) -> None:
    """Let all be found that were scored after the last one that is, as a kill left them."""
    connection.execute(_CATCH_UP)


def insert_outcome(connection: sqlite3.Connection, row: OutcomeRow) -> Written:
    """Keep an outcome where it is new, joined to its score where that can be told.

    The scores must be in their table. Raises sqlite3.Error.
    """
    execute = connection.execute
    catch_up(connection)
    matched = execute(_HAS_SIGNAL, (row.signal_id,)).fetchone() is not None or (
        execute(_HAS_SCORE, (seq_of(row.score_id), row.score_id)).fetchone() is not None
    )
    joined = None if matched or row.meant is None else _score_meant(connection, row, row.meant)
    if joined is not None:
        row = msgspec.structs.replace(row, score_id=joined)
    values = msgspec.structs.astuple(row)[: len(_OUTCOME_COLUMNS) - 1]
    known = matched or joined is not None
    content = repr(values[: _OUTCOME_COLUMNS.index("received_at") - 1])
    own, other = _digest(content), _digest(content + _dated(row))
    if not known:
        own, other = other, own
    # The other one is of a report that came before its score.
    before = own != other and execute(_HAS_OUTCOME, (other,)).fetchone() is not None
    inserted = not before and execute(_INSERT_OUTCOME, (own, *values)).rowcount == 1
    return Written(True, not inserted, known, joined)


def _digest(content: str) -> bytes:
    return hashlib.blake2b(content.encode(), digest_size=16).digest()


def _dated(row: OutcomeRow) -> str:
    """What tells reports apart whose ids name no score, if they have any."""
    if row.meant is None:
        return ""
    # When it came tells a report from another only where no id does.
    named = row.signal_id is not None or row.score_id is not None
    undated = named and row.meant.at == row.received_at
    return repr(msgspec.structs.replace(row.meant, at=0.0) if undated else row.meant)


def _score_meant(connection: sqlite3.Connection, row: OutcomeRow, meant: Meant) -> str | None:
    """The one score of that symbol and base score shortly before; None where it is not one.

    Nor is one told apart where more than MOST_CANDIDATES were scored by then.
    """
    within = meant.at - MEANT_WITHIN_S, meant.at + CLOCKS_DIFFER_S
    if connection.execute(_HAS_TOO_MANY, (*within, MOST_CANDIDATES)).fetchone() is not None:
        return None
    found = connection.execute(_MEANT, (*within, meant.symbol, meant.base_score)).fetchall()
    # The id of a damaged row may be no text, and a wrong one is worse than none.
    if len(found) != 1 or not isinstance(found[0][0], str):
        return None
    score_id, signal_id = found[0]
    # A score with an id of its own is another signal's than the one that was named.
    return score_id if row.signal_id is None or signal_id is None else None
