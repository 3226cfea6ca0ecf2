"""The tables of closed bars and of each symbol's facts; a symbol's oldest bars go."""

from __future__ import annotations

import sqlite3
from typing import Any

from protocol.schema import SCHEMA

KEPT_BARS = SCHEMA.constants["kept_bars"]
_DROP_OLD_BARS = (
    "DELETE FROM bars WHERE symbol = :symbol AND minute < (SELECT minute FROM bars"
    " WHERE symbol = :symbol ORDER BY minute DESC LIMIT 1 OFFSET :kept)"
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
