"""The scores' table, and the spool before it.

The rule: a row is in the table once, however often it is put there, and one that no column
takes does not hold up the others.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from service.journal.records import ScoreRow
from service.journal.spool import Damaged, read_spool, spool_path

SCORE_COLUMNS = ScoreRow.__struct_fields__
# A retry may carry a row again. The table has no index of its own: each would cost the
# answer a page more to write, so `lookup` follows behind.
INSERT_SCORE = (
    f"INSERT INTO scores({', '.join(SCORE_COLUMNS)}) "
    f"VALUES({', '.join('?' * len(SCORE_COLUMNS))}) ON CONFLICT(seq) DO NOTHING"
)
# What says something of the one row only.
_ROW_FAULTS = (
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    UnicodeError,
)


def spooled_scores(journal: Path) -> tuple[list[tuple[Any, ...]], int]:
    """Scores that wait beside a journal, as rows of its table, and how many others there are.

    Those are damaged, or of another version. Raises OSError.
    """
    ours, others, damage = _sorted(spool_path(journal))
    return ours, others + damage


def set_others_aside(journal: Path) -> tuple[Path, int] | None:
    """Move a spool that holds scores with another version's columns away from its name.

    Where it lies now, and how many those are; None where there are none. Raises OSError.
    """
    path = spool_path(journal)
    _, others, _ = _sorted(path)
    if not others:
        return None
    # By its number, which no other file there has: none is replaced.
    return path.rename(path.with_name(f"{path.name}-{path.stat().st_ino}")), others


def _sorted(spool: Path) -> tuple[list[tuple[Any, ...]], int, int]:
    """Rows of our table, how many whole ones are not, and how many are damaged."""
    damage = 0
    try:
        found = read_spool(spool)
    except Damaged as error:
        found, damage = error.rows, 1
    ours = []
    for values in found:
        try:
            row = msgspec.convert(dict(zip(SCORE_COLUMNS, values, strict=True)), ScoreRow)
        except (msgspec.ValidationError, ValueError):
            continue
        ours.append(msgspec.structs.astuple(row))
    return ours, len(found) - len(ours), damage


def insert_scores(connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> int:
    """Put rows into the table where it has not got them; returns how many it cannot take.

    One of those must not hold up the others for ever. Raises sqlite3.Error for all else.
    """
    try:
        connection.executemany(INSERT_SCORE, rows)
    except _ROW_FAULTS:
        refused = 0
        for row in rows:
            try:
                connection.execute(INSERT_SCORE, row)
            except _ROW_FAULTS:
                refused += 1
        return refused
    return 0


def seq_of(score_id: str | None) -> int | None:
    """The row that a score id names: the hexadecimal number behind its last dash."""
    try:
        seq = int((score_id or "").rpartition("-")[2], 16)
    except ValueError:
        return None
    return seq if seq < 1 << 63 else None
