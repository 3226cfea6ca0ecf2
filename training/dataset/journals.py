"""One connection for the journals of several services, as if they were one.

The rule: nothing is copied or written. What reads `scores` and `outcomes` need not know how many
files there are: views of these names stand before the tables.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from service.errors import ConfigError
from service.journal.file import SCHEMA_VERSION, open_reader, reader_uri
from service.journal.reading import schema_of

Journals = Path | Sequence[Path]

MAX_JOURNALS = 10
"""So many files a connection of SQLite may have beside its first, by default."""


BACKFILLED = "backfilled"
"""The key in `settings` by which a file that `backfill` made says so."""


def is_backfilled(connection: sqlite3.Connection, name: str = "main") -> bool:
    """Whether this file of a connection was made by `backfill`."""
    statement = f"select 1 from {name}.settings where key = ?"  # noqa: S608  our own names
    return connection.execute(statement, (BACKFILLED,)).fetchone() is not None


def _reader(path: Path) -> sqlite3.Connection:
    """Raises FileNotFoundError, sqlite3.Error, ConfigError where we may not look or cannot read."""
    try:
        connection = open_reader(path)
    except PermissionError as error:
        raise ConfigError(
            f"{path}: {error.strerror}; become root or the trainer's user, or let that one read it"
        ) from error
    try:
        schema = schema_of(connection)
        if schema > SCHEMA_VERSION:
            raise ConfigError(
                f"{path} has schema {schema}, and this program knows {SCHEMA_VERSION}: a newer one "
                "wrote it; use that"
            )
    except BaseException:
        connection.close()
        raise
    return connection


def open_backfill(path: Path) -> sqlite3.Connection:
    """A read-only connection to what `backfill` made.

    Raises sqlite3.Error, ConfigError where it is something else, hidden or not there.
    """
    with named(path):
        try:
            connection = _reader(path)
        except FileNotFoundError:
            raise ConfigError(
                f"{path} is not there: `backfill` makes it, --backfill and training.backfills "
                "name it"
            ) from None
        try:
            if not is_backfilled(connection):
                raise ConfigError(
                    f"{path} was not made by `backfill`: name a journal with --journal"
                )
        except BaseException:
            connection.close()
            raise
    return connection


def open_journals(journals: Journals) -> sqlite3.Connection:
    """A read-only connection to all of them.

    Raises FileNotFoundError or sqlite3.Error where one cannot be read, ConfigError for too many,
    a hidden one, or one that `backfill` made: what was not scored live is never tested on.
    """
    first, *others = [journals] if isinstance(journals, Path) else journals
    if len(others) >= MAX_JOURNALS:
        raise ConfigError(f"training.journals: at most {MAX_JOURNALS} journals in all")
    with named(first):
        connection = _reader(first)
    try:
        with named(first):
            _refuse_backfilled(connection, "main", first)
        names = ["main", *(f"journal{number}" for number in range(1, len(others) + 1))]
        for name, path in zip(names[1:], others, strict=True):
            # Held meanwhile, it keeps the service from removing the WAL.
            with named(path), closing(_reader(path)):
                connection.execute(f"ATTACH ? AS {name}", (reader_uri(path),))
                _refuse_backfilled(connection, name, path)
        if others:
            for table in ("scores", "outcomes"):
                _unite(connection, table, names)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def read(journals: Journals) -> Iterator[sqlite3.Connection]:
    """All of them for the block; what SQLite says there is said with their names.

    Raises as `open_journals` does, and sqlite3.Error.
    """
    paths = [journals] if isinstance(journals, Path) else journals
    with closing(open_journals(journals)) as connection, named(*paths):
        yield connection


@contextmanager
def named(*paths: Path) -> Iterator[None]:
    """Say which file, or which of several, it is that SQLite complains of."""
    try:
        yield
    except sqlite3.Error as error:
        raise type(error)(f"{' or '.join(map(str, paths))}: {error}") from error


def _refuse_backfilled(connection: sqlite3.Connection, name: str, path: Path) -> None:
    if is_backfilled(connection, name):
        raise ConfigError(
            f"{path} was made by `backfill`, so nothing in it may be tested on: name it with "
            "--backfill, and the service's journal with --journal"
        )


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
