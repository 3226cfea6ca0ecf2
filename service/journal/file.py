"""The journal's schema, and how its file is opened: to write by one, to read by anyone.

The rule: a file of a newer schema is left alone, and reading never needs the right to write.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from service.files import owned_folder, presence

SCHEMA_VERSION = 1

WAL_BYTES = 32 << 20
"""What the WAL keeps of its size when it begins anew; it seldom gets larger."""
TRIES = 5
PAUSE_S = 0.01
"""Between tries to read: a service needs less to make or remove the WAL with its -shm."""
_NOT_THERE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
"""What SQLite says of a WAL, or of its -shm, that is not there and may not be made."""

_TABLES = """
CREATE TABLE scores(
  seq INTEGER PRIMARY KEY, score_id TEXT NOT NULL, signal_id TEXT, digest BLOB NOT NULL,
  symbol TEXT NOT NULL, direction INTEGER NOT NULL, pattern TEXT,
  signal_class TEXT, scored_at REAL NOT NULL, event_time REAL NOT NULL, base_score REAL NOT NULL,
  final_score REAL NOT NULL, raw_probability REAL, win_probability REAL, status TEXT NOT NULL,
  mode TEXT NOT NULL, model_version TEXT, fingerprint TEXT NOT NULL, features BLOB NOT NULL,
  missing TEXT NOT NULL, volume_source TEXT NOT NULL, bid REAL, ask REAL, entry_price REAL,
  stop_loss REAL, take_profit REAL, reward_risk REAL, cost_r REAL, expected_r REAL, take INTEGER,
  request BLOB NOT NULL, reply BLOB NOT NULL);
CREATE TABLE lookup(seq INTEGER PRIMARY KEY, signal_id TEXT, scored_at REAL NOT NULL);
CREATE INDEX lookup_by_signal ON lookup(signal_id) WHERE signal_id IS NOT NULL;
CREATE INDEX lookup_by_time ON lookup(scored_at);
CREATE VIEW scored AS SELECT *,
  row_number() OVER (PARTITION BY coalesce(signal_id, score_id) ORDER BY seq) - 1 AS revision
  FROM scores;
CREATE TABLE outcomes(
  seq INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, score_id TEXT, signal_id TEXT,
  source TEXT NOT NULL, outcome TEXT NOT NULL, win INTEGER, realised_r REAL, final_pips REAL,
  max_favorable_pips REAL, max_adverse_pips REAL, runtime_s REAL, closed_at REAL,
  received_at REAL NOT NULL, max_favorable_r REAL, max_adverse_r REAL, opened_at REAL,
  opened_price REAL, closed_price REAL);
CREATE INDEX outcomes_by_signal ON outcomes(signal_id) WHERE signal_id IS NOT NULL;
CREATE INDEX outcomes_by_score ON outcomes(score_id) WHERE score_id IS NOT NULL;
CREATE TABLE paper(
  score_id TEXT PRIMARY KEY, signal_id TEXT, symbol TEXT NOT NULL, direction INTEGER NOT NULL,
  stop_loss REAL NOT NULL, take_profit REAL NOT NULL, risk REAL NOT NULL,
  event_time REAL NOT NULL, deadline REAL NOT NULL, last_time REAL NOT NULL, opened_at REAL,
  opened_price REAL, best_price REAL, worst_price REAL, last_price REAL) WITHOUT ROWID;
CREATE TABLE bars(
  symbol TEXT NOT NULL, minute INTEGER NOT NULL, open REAL NOT NULL, high REAL NOT NULL,
  low REAL NOT NULL, close REAL NOT NULL,
  PRIMARY KEY(symbol, minute)) WITHOUT ROWID;
CREATE TABLE symbols(symbol TEXT PRIMARY KEY, facts BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE events(
  seq INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, detail TEXT NOT NULL);
CREATE TABLE settings(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""

_RUNS = """
SELECT 1 FROM sqlite_master WHERE sql NOT LIKE 'CREATE TABLE %' AND sql NOT LIKE 'CREATE INDEX %'
  AND sql NOT LIKE 'CREATE UNIQUE INDEX %' AND sql NOT LIKE 'CREATE VIEW scored AS %'
"""
"""What a schema runs beside ours, by its text, as SQLite goes. No command reads `scored`."""
NOT_OURS = "it holds triggers, views or virtual tables that are not ours"


def open_writer(path: Path) -> sqlite3.Connection:
    """Open or create the file in this schema. Raises sqlite3.Error or OSError."""
    refuse_irregular(path)
    connection = sqlite3.connect(path, isolation_level=None, timeout=0.25)
    try:
        connection.text_factory = _text_or_bytes
        # Several scores fit a page of a new file: most are written without making another.
        connection.execute("PRAGMA page_size=8192")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        # What a load has made of the WAL is given back when it begins anew.
        connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES}")
        connection.execute("PRAGMA temp_store=MEMORY")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise sqlite3.DatabaseError(
                f"{path} has schema {version}, this program knows {SCHEMA_VERSION}: "
                "it was written by a newer version; install that"
            )
        if version == 0:
            connection.executescript(
                f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
            )
        connection.execute("SELECT count(*) FROM symbols").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def wal_of(path: Path) -> Path:
    """The file that holds what was not yet moved into the journal.

    SQLite follows a link and keeps it beside what that leads to.
    """
    return _beside(path, "-wal")


def bytes_of(path: Path) -> int:
    """The size of a file; 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def size_of(path: Path) -> int:
    """How much the journal takes, in bytes: its file and its WAL."""
    return bytes_of(path) + bytes_of(wal_of(path))


def shm_of(path: Path) -> Path:
    """The memory that those who read and write the WAL share."""
    return _beside(path, "-shm")


def _beside(path: Path, suffix: str) -> Path:
    real = Path(os.path.realpath(path))  # resolve() raises for links that lead in a circle
    return real.with_name(real.name + suffix)


class FileId(NamedTuple):
    """Which file it is, whatever it is called: no two that are there share both numbers."""

    device: int
    inode: int


class Files(NamedTuple):
    """Which files a journal is made of. None: there was none."""

    main: FileId | None
    wal: FileId | None
    shm: FileId | None


def file_at(path: Path) -> FileId | None:
    """The file that lies at a path, behind links; None where there is none.

    Raises OSError where that cannot be known.
    """
    try:
        status = os.stat(path)  # noqa: PTH116  on the loop's path, once a second
    except (FileNotFoundError, NotADirectoryError):
        return None
    return FileId(status.st_dev, status.st_ino)


def files_of(path: Path) -> Files:
    """The files that lie at a journal's names. Raises OSError as `file_at` does."""
    return Files(file_at(path), file_at(wal_of(path)), file_at(shm_of(path)))


def clear_of(path: Path, before: Files) -> Path | None:
    """Clear a journal's place of what belongs to a file that lay there `before`, and no more.

    Beside another file SQLite would lay that WAL over it, or drop it. One that is not empty has
    rows of its own file: it is kept, at the path returned. Raises OSError.
    """
    wal, shm = wal_of(path), shm_of(path)
    if before.shm is not None and file_at(shm) == before.shm:
        shm.unlink()
    if before.wal is None or file_at(wal) != before.wal:
        return None
    if not wal.stat().st_size:
        wal.unlink()
        return None
    # By its number, which no other file there has: none is replaced.
    return wal.rename(wal.with_name(f"{wal.name}-{before.wal.inode}"))


def open_reader(path: Path) -> sqlite3.Connection:
    """A read-only connection, also for another user and while the service runs.

    Raises FileNotFoundError or sqlite3.Error.
    """
    return open_settled(path, "mode=ro")


def open_settled(path: Path, beside_wal: str) -> sqlite3.Connection:
    """A read-only connection that fits what is there, though the service starts or stops meanwhile.

    `beside_wal` are SQLite's options where there is a WAL. It stays while the connection is
    there; a file that is taken as immutable stays as it is up to the first checkpoint of a
    service that starts later. Raises FileNotFoundError or sqlite3.Error.
    """
    for left in reversed(range(TRIES)):
        beside = has_wal(path)
        uri = _uri(path, beside, beside_wal)
        try:
            with _rights_of_owner(path.parent):
                connection = _open(uri)
        except sqlite3.OperationalError as error:
            if not left or error.sqlite_errorcode & 0xFF not in _NOT_THERE:
                raise
        else:
            if beside or not has_wal(path):
                return connection
            connection.close()
        time.sleep(PAUSE_S)
    raise sqlite3.OperationalError("the service starts or stops again and again")


def reader_uri(path: Path) -> str:
    """What SQLite attaches a journal by for reading. Raises FileNotFoundError."""
    return _uri(path, has_wal(path), "mode=ro")


def irregular(path: Path) -> Path | None:
    """A pipe, a device or a folder at one of a journal's names; None without one."""
    files = (path, wal_of(path), shm_of(path), _beside(path, "-journal"))
    return next((f for f in files if presence.exists(f) and not presence.is_file(f)), None)


def refuse_irregular(path: Path) -> None:
    """Raise sqlite3.DatabaseError for what is `irregular`.

    SQLite would wait for ever until somebody writes into a pipe, and no signal ends that.
    """
    file = irregular(path)
    if file is not None:
        raise sqlite3.DatabaseError(f"{file} is no regular file")


def refuse_foreign(connection: sqlite3.Connection) -> None:
    """Raise sqlite3.DatabaseError for a schema with more than tables, indexes and our view.

    What else it runs may have no end, and no signal ends it.
    """
    if connection.execute(_RUNS).fetchone() is not None:
        raise sqlite3.DatabaseError(NOT_OURS)


@contextmanager
def _rights_of_owner(folder: Path) -> Iterator[None]:
    """For root, who would make a WAL for the journal's owner in whatever folder a link of his
    leads to: SQLite opens it with O_CREAT, for those too who only read. Not where he could do
    nothing there, or root may not be another user."""
    with ExitStack() as stack:
        if os.geteuid() == 0:
            try:
                descriptor = stack.enter_context(owned_folder.opened(folder))
            except OSError as error:
                raise sqlite3.DatabaseError(f"{folder}: {error.strerror}") from None
            with suppress(PermissionError):
                if not owned_folder.is_kept_from_owner(descriptor):
                    stack.enter_context(owned_folder.as_owner_of(descriptor))
        yield


def _open(uri: str) -> sqlite3.Connection:
    """With its WAL, which SQLite opens at the first statement only."""
    connection = sqlite3.connect(uri, uri=True, timeout=2.0)
    connection.text_factory = _text
    try:
        refuse_foreign(connection)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _text(content: bytes) -> str:
    """For those who read: a turned bit, by which text is no UTF-8, costs its character alone.

    By itself sqlite3 raises, and no row of the whole answer is read.
    """
    return content.decode("utf-8", "replace")


def _text_or_bytes(content: bytes) -> str | bytes:
    """For the writer, who leaves a row out that has bytes where text belongs."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


def _uri(path: Path, beside: bool, beside_wal: str) -> str:
    """A WAL needs the shared-memory file, so the file is immutable only where there is none."""
    if not presence.exists(path):
        raise FileNotFoundError(
            f"no journal at {path}; has the service run with it? --journal names another"
        )
    refuse_irregular(path)
    return f"{path.resolve().as_uri()}?{beside_wal if beside else 'mode=ro&immutable=1'}"


def has_wal(path: Path) -> bool:
    """Whether there is a WAL to be read.

    An empty one without its -shm was made by a reader that came when the service had stopped.
    """
    try:
        return wal_of(path).stat().st_size > 0 or presence.exists(shm_of(path))
    except (FileNotFoundError, NotADirectoryError):
        return False
