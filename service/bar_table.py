"""The tables of closed bars and of each symbol's facts; a symbol's oldest bars go."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

import msgspec

from protocol.schema import SCHEMA

KEPT_BARS = SCHEMA.constants["kept_bars"]
_DROP_OLD_BARS = (
    "DELETE FROM bars WHERE symbol = :symbol AND minute < (SELECT minute FROM bars"
    " WHERE symbol = :symbol ORDER BY minute DESC LIMIT 1 OFFSET :kept)"
)
_KEEP = (
    "DELETE FROM bars WHERE symbol NOT IN (SELECT value FROM json_each(?))",
    "DELETE FROM symbols WHERE symbol NOT IN (SELECT value FROM json_each(?))",
)


def insert_bars(
    connection: sqlite3.Connection,
    bars: list[tuple[Any, ...]],
    symbols: list[tuple[Any, ...]],
    anew: list[tuple[str]],
) -> None:
    """Keep rows of both tables, new ones in place of old ones. Raises sqlite3.Error.

    Of the symbols in `anew` no bar from before is kept.
    """
    many = connection.executemany
    many("DELETE FROM bars WHERE symbol = ?", anew)
    many("INSERT OR REPLACE INTO bars VALUES(?,?,?,?,?,?)", bars)
    many("INSERT OR REPLACE INTO symbols VALUES(?,?)", symbols)
    many(_DROP_OLD_BARS, [{"symbol": row[0], "kept": KEPT_BARS - 1} for row in symbols])


def drop_symbols(connection: sqlite3.Connection, gone: list[tuple[str]]) -> None:
    """Drop the bars and facts of these symbols. Raises sqlite3.Error."""
    connection.executemany("DELETE FROM bars WHERE symbol = ?", gone)
    connection.executemany("DELETE FROM symbols WHERE symbol = ?", gone)


def drop_others(connection: sqlite3.Connection, names: Iterable[str]) -> None:
    """Drop all rows but these symbols'. Raises sqlite3.Error.

    It looks at every row: one whose name was damaged does not lie where that name belongs.
    """
    kept = msgspec.json.encode(list(names)).decode()
    for statement in _KEEP:
        connection.execute(statement, (kept,))
