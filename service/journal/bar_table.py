"""The tables of closed bars and of each symbol's facts; a symbol's oldest bars go."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from protocol.schema import SCHEMA

KEPT_BARS = SCHEMA.constants["kept_bars"]
_DROP_OLD_BARS = (
    "DELETE FROM bars WHERE symbol = :symbol AND minute < (SELECT minute FROM bars"
    " WHERE symbol = :symbol ORDER BY minute DESC LIMIT 1 OFFSET :kept)"
)
_DROP_OTHERS = (
    "DELETE FROM bars WHERE typeof(symbol) != 'text' OR NOT kept(CAST(symbol AS BLOB))",
    "DELETE FROM symbols WHERE typeof(symbol) != 'text' OR NOT kept(CAST(symbol AS BLOB))",
)


def insert_bars(
    connection: sqlite3.Connection,
    bars: list[tuple[Any, ...]],
    symbols: list[tuple[Any, ...]],
    gone: Iterable[tuple[str, float]],
) -> None:
    """Keep rows of both tables, new ones in place of old ones. Raises sqlite3.Error.

    Of each symbol in `gone` first go all bars from that minute on.
    """
    many = connection.executemany
    many("DELETE FROM bars WHERE symbol = ? AND minute >= ?", gone)
    many("INSERT OR REPLACE INTO bars VALUES(?,?,?,?,?,?)", bars)
    many("INSERT OR REPLACE INTO symbols VALUES(?,?)", symbols)
    many(_DROP_OLD_BARS, [{"symbol": row[0], "kept": KEPT_BARS - 1} for row in symbols])


def drop_symbols(connection: sqlite3.Connection, gone: list[tuple[str]]) -> None:
    """Drop the bars and facts of these symbols. Raises sqlite3.Error."""
    connection.executemany("DELETE FROM bars WHERE symbol = ?", gone)
    connection.executemany("DELETE FROM symbols WHERE symbol = ?", gone)


def drop_others(connection: sqlite3.Connection, names: Iterable[str]) -> None:
    """Drop all rows but these symbols'. Raises sqlite3.Error.

    It looks at every row: one whose name was damaged does not lie where that name belongs. With
    a subquery in its place, newer versions of SQLite would look for each row by its key.
    """
    kept = frozenset(name.encode() for name in names)
    connection.create_function("kept", 1, kept.__contains__, deterministic=True)
    for statement in _DROP_OTHERS:
        connection.execute(statement)
