"""The table of events. Of each kind the oldest go, so that a noisy one drives out no rare one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from service.journal.records import EventRow

KEPT_EVENTS = 2_000
"""Of each kind: a day and more of a feed that goes silent and comes back once a minute."""

TIDY_EVERY = 1_000
"""Events between two looks at what is too many, which read the whole table."""

_DROP_OLD = (
    "DELETE FROM events WHERE seq IN (SELECT seq FROM (SELECT seq,"
    " row_number() OVER (PARTITION BY kind ORDER BY seq DESC) AS place FROM events)"
    " WHERE place > ?)"
)


def insert_events(connection: sqlite3.Connection, rows: Sequence[EventRow]) -> None:
    """Add rows, and drop what is too many now and then. Raises sqlite3.Error."""
    for row in rows:
        detail = json.dumps(row.detail, sort_keys=True)
        added = connection.execute(
            "INSERT INTO events(at, kind, detail) VALUES(?,?,?)", (row.at, row.kind, detail)
        )
        if added.lastrowid is not None and added.lastrowid % TIDY_EVERY == 0:
            drop_old_events(connection)


def drop_old_events(connection: sqlite3.Connection) -> None:
    """Drop what is too many. Raises sqlite3.Error."""
    connection.execute(_DROP_OLD, (KEPT_EVENTS,))
