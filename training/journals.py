"""One connection for the journals of several services, as if they were one.

The rule: nothing is copied or written. What reads `scores` and `outcomes` need not know how many
files there are: views of these names stand before the tables.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from service.errors import ConfigError
from service.journal import open_reader, reader_uri

Journals = Path | Sequence[Path]

MAX_JOURNALS = 10
"""So many files a connection of SQLite may have beside its first, by default."""


def open_journals(journals: Journals) -> sqlite3.Connection:
    """A read-only connection to all of them.

    Raises FileNotFoundError or sqlite3.Error where one cannot be read, ConfigError for too many.
    """
    first, *others = [journals] if isinstance(journals, Path) else journals
    if len(others) >= MAX_JOURNALS:
        raise ConfigError(f"training.journals: at most {MAX_JOURNALS} journals in all")
    connection = open_reader(first)
    if not others:
        return connection
    try:
        names = ["main", *(f"journal{number}" for number in range(1, len(others) + 1))]
        for name, path in zip(names[1:], others, strict=True):
            connection.execute(f"ATTACH ? AS {name}", (reader_uri(path),))
        for table in ("scores", "outcomes"):
            _unite(connection, table, names)
    except BaseException:
        connection.close()
        raise
    return connection


def _unite(connection: sqlite3.Connection, table: str, names: Sequence[str]) -> None:
    """A view over this table of all of them, with the columns that all have."""
    columns = [
        [row[1] for row in connection.execute(f"PRAGMA {name}.table_info({table})")]
        for name in names
    ]
    common = set(columns[0]).intersection(*columns[1:])
    listed = ", ".join(column for column in columns[0] if column in common)
    parts = " UNION ALL ".join(
        f"SELECT {listed} FROM {name}.{table}"  # noqa: S608  our own names
        for name in names
    )
    connection.execute(f"CREATE TEMP VIEW {table} AS {parts}")
