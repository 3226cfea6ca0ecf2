"""The journal as people and programs read it, beside the service and without a trace.

The rule: nothing here writes, not even SQLite's shared memory, and no read is long: a reader
that stays keeps the WAL from being emptied. What goes through a large table does it by so many
rows at a time, each a statement of its own.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from service.console import exit_codes
from service.files import presence
from service.journal.file import has_wal, open_settled, shm_of, wal_of
from service.journal.records import ScoreRow
from service.journal.score_table import spooled_scores
from service.journal.spool import spool_path

Kind = Literal["scores", "outcomes", "events"]
KINDS: tuple[Kind, ...] = ("scores", "outcomes", "events")
TIME_OF: dict[Kind, str] = {"scores": "scored_at", "outcomes": "received_at", "events": "at"}
PAGE_ROWS = 500
COUNTED_ROWS = 10_000
"""So many of a table are counted at once, in some 10 ms."""
ASK_DOCTOR = "`signal-scorer doctor` says what to do"
_FIRST, _LAST = -(1 << 63), (1 << 63) - 1


class JournalUnreadable(Exception):  # noqa: N818  a state of things
    """A journal that cannot be read; the text says why and what to do."""

    exit_code = exit_codes.NO_INPUT


class Row(NamedTuple):
    """One row of one table, by column; `seq` says where to go on reading."""

    kind: Kind
    at: float
    seq: int
    columns: dict[str, Any]


class Summary(NamedTuple):
    """What a journal holds. `first_s` and `last_s` are of the scores, None without any."""

    schema: int
    scores: int
    outcomes: int
    events: int
    open_positions: int
    first_s: float | None
    last_s: float | None
    by_status: dict[str, int]
    by_outcome: dict[tuple[str, str], int]


def open_quietly(path: Path) -> sqlite3.Connection:
    """A connection that leaves no trace, whether or not the service writes meanwhile.

    Raises JournalUnreadable.
    """
    try:
        path.stat()
    except FileNotFoundError:
        raise JournalUnreadable(
            f"no journal at {path}; is it the service's configuration?"
        ) from None
    except OSError as error:
        raise JournalUnreadable(_why(path, error)) from None
    try:
        # Read by the -shm that is there; where no writer is, SQLite keeps the index to itself.
        connection = open_settled(path, "mode=ro&readonly_shm=1")
    except (sqlite3.Error, OSError) as error:
        if presence.is_file(wal_of(path)) and has_wal(path) and not presence.exists(shm_of(path)):
            raise JournalUnreadable(
                f"{wal_of(path)} has lost its -shm file, so that reading would have to write; "
                "the service puts it in order at its next start"
            ) from None
        raise JournalUnreadable(_why(path, error)) from None
    connection.row_factory = sqlite3.Row
    return connection


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that is read from to its end. Raises JournalUnreadable."""
    with closing(open_quietly(path)) as connection:
        try:
            if not schema_of(connection):
                raise JournalUnreadable(
                    f"{path} is no journal: it is another file, or no service could make its "
                    "tables yet"
                )
            yield connection
        except sqlite3.Error as error:
            raise JournalUnreadable(
                f"{path} cannot be read to its end: {error}; `signal-scorer doctor` looks closer"
            ) from None


def schema_of(connection: sqlite3.Connection) -> int:
    """The version of its schema; 0 for a file that no service has used."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def summary(connection: sqlite3.Connection, waiting: list[Row]) -> Summary:
    """Counts and times, of one moment, with the `spooled` scores. Raises sqlite3.Error."""

    def one(statement: str) -> Any:
        return connection.execute(statement).fetchone()[0]

    connection.execute("BEGIN")
    waiting = lacking(connection, waiting)
    last_score = one("SELECT coalesce(max(seq), -1) FROM scores")
    last_outcome = one("SELECT coalesce(max(seq), -1) FROM outcomes")
    sound = "SELECT scored_at FROM scores WHERE typeof(scored_at) = 'real' ORDER BY seq"
    first = connection.execute(f"{sound} LIMIT 1").fetchone()
    newest = connection.execute(f"{sound} DESC LIMIT 1").fetchone()
    events = one("SELECT count(*) FROM events")
    open_positions = one("SELECT count(*) FROM paper")
    connection.execute("COMMIT")
    # One that is taken to its table meanwhile would count twice.
    waits = [row.seq for row in waiting]
    by_status = Counter(str(row.columns["status"]) for row in waiting)
    for (status,), count in _counted(connection, "scores", "status", last_score, waits).items():
        by_status[str(status)] += count
    by_outcome = _counted(connection, "outcomes", "source, outcome", last_outcome)
    times = [row[0] for row in (first, newest) if row is not None] + [row.at for row in waiting]
    return Summary(
        schema=schema_of(connection),
        scores=by_status.total(),
        outcomes=by_outcome.total(),
        events=events,
        open_positions=open_positions,
        first_s=times[0] if times else None,
        last_s=times[-1] if times else None,
        by_status=by_status,
        by_outcome={(source, word): count for (source, word), count in by_outcome.items()},
    )


def _counted(
    connection: sqlite3.Connection, kind: Kind, columns: str, last: int, but: Sequence[int] = ()
) -> Counter[tuple[Any, ...]]:
    """How many rows up to `last`, `but` for some, have which values."""
    counts: Counter[tuple[Any, ...]] = Counter()
    some = (
        f"SELECT seq, {columns} FROM {kind} WHERE seq > ? AND seq <= ?"  # noqa: S608  ours
        f" AND seq NOT IN ({','.join(map(str, but))}) ORDER BY seq LIMIT {COUNTED_ROWS}"
    )
    statement = f"SELECT {columns}, count(*), max(seq) FROM ({some}) GROUP BY {columns}"  # noqa: S608
    above = _FIRST
    while found := connection.execute(statement, (above, last)).fetchall():
        for *values, count, highest in found:
            counts[tuple(values)] += count
            above = max(above, highest)
    return counts


def spooled(path: Path) -> list[Row]:
    """Scores that were answered and wait to be taken to their table, oldest first.

    To be read before the table: what is taken there meanwhile is found there. Raises
    JournalUnreadable: without them the newest scores would be missing without a word.
    """
    try:
        found, _ = spooled_scores(path)
    except OSError as error:
        raise JournalUnreadable(_why(spool_path(path), error)) from None
    rows = []
    for values in found:
        columns = dict(zip(ScoreRow.__struct_fields__, values, strict=True))
        take = columns["take"]
        rows.append(_row("scores", columns | {"take": None if take is None else int(take)}))
    return rows


def lacking(connection: sqlite3.Connection, rows: list[Row]) -> list[Row]:
    """Those of some scores that the table has not got. Raises sqlite3.Error."""
    known = "SELECT 1 FROM scores WHERE seq = ?"
    return [row for row in rows if connection.execute(known, (row.seq,)).fetchone() is None]


def newest(connection: sqlite3.Connection, kind: Kind, limit: int) -> list[Row]:
    """The last rows of a table, oldest first. Raises sqlite3.Error."""
    found = connection.execute(
        f"SELECT * FROM {kind} ORDER BY seq DESC LIMIT ?",  # noqa: S608  one of three words
        (limit,),
    ).fetchall()
    return [_row(kind, row) for row in reversed(found)]


def after(
    connection: sqlite3.Connection,
    kind: Kind,
    seq: int,
    *,
    since_s: float = float("-inf"),
    until_s: float = float("inf"),
) -> Iterator[Row]:
    """All rows behind `seq` within a time (UTC s), page by page. Raises sqlite3.Error.

    Rows that are written meanwhile come as well, and damaged ones whose time is none where all
    times are asked for.
    """
    any_time = since_s == float("-inf") and until_s == float("inf")
    within = "" if any_time else f" AND {TIME_OF[kind]} >= :since AND {TIME_OF[kind]} < :until"
    statement = (
        f"SELECT * FROM {kind} WHERE seq > :above AND seq <= :last"  # noqa: S608  one of three words
        f"{within} ORDER BY seq"
    )
    nth = f"SELECT seq FROM {kind} WHERE seq > ? ORDER BY seq LIMIT 1 OFFSET {PAGE_ROWS - 1}"  # noqa: S608
    if kind == "scores" and since_s > 0.0:
        # A score's number is not below its microsecond. It may be far above, where the clock was
        # set back: so none says that all that follow are of a later time.
        seq = max(seq, int(since_s * 1e6) - 1)
    while True:
        page_end = connection.execute(nth, (seq,)).fetchone()
        last = _LAST if page_end is None else page_end[0]
        values = {"above": seq, "last": last, "since": since_s, "until": until_s}
        for row in connection.execute(statement, values).fetchall():
            yield _row(kind, row)
        if page_end is None:
            return
        seq = last


def positions(connection: sqlite3.Connection, limit: int) -> list[dict[str, Any]]:
    """Open paper positions as they were last saved, the entered ones first, then by age.

    Raises sqlite3.Error.
    """
    found = connection.execute(
        "SELECT * FROM paper ORDER BY opened_at IS NULL, event_time DESC LIMIT ?", (limit,)
    )
    return [dict(row) for row in found]


def _row(kind: Kind, row: sqlite3.Row | dict[str, Any]) -> Row:
    columns = dict(row)
    at = columns[TIME_OF[kind]]
    # SQLite keeps any type in any column, as a turned bit may have made it.
    return Row(kind, at if isinstance(at, float) else float("-inf"), int(columns["seq"]), columns)


def _why(path: Path, error: Exception) -> str:
    said = error.strerror if isinstance(error, OSError) else error
    text = f"{path} cannot be read: {said}"
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_CANTOPEN and os.geteuid() == 0:
        return (
            f"{text}; root reads it as the owner of {path.parent} does: let that user read it, or "
            "name the file itself where this is a link"
        )
    if isinstance(error, PermissionError) or code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return f"{text}; run this as the service's user, as one of its group, or as root"
    return f"{text}; {ASK_DOCTOR}"
