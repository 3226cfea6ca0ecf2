"""The SQLite file: every answered score, every outcome, closed bars and events. One writer.

A row is kept before its reply is sent: a score's in the `spool`, from which `settle` and every
transaction take it to its table, all others' by a commit; WAL with synchronous=NORMAL keeps
what was committed through a kill of the process. A file or disk that fails never stops an
answer: writing reports False at once, and `recover` tries again, once a second, off the
answers' path.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from service.files.locks import HeldError, hold, lock_of
from service.journal.bar_table import drop_others, drop_symbols, insert_bars
from service.journal.event_table import drop_old_events, insert_events
from service.journal.file import FileId, Files, clear_of, file_at, files_of, open_writer, wal_of
from service.journal.outcome_table import WRITTEN, Written, catch_up, follow, insert_outcome, late
from service.journal.paper_table import insert_paper
from service.journal.records import (
    BarRow,
    EventRow,
    OutcomeRow,
    PaperRow,
    ScoreRow,
    SymbolRow,
)
from service.journal.score_table import (
    INSERT_SCORE,
    insert_scores,
    set_others_aside,
    spooled_scores,
)
from service.journal.spool import Spool, spool_path

T = TypeVar("T")

# What writing can meet: a file or disk at fault, or a value that no column takes.
_FAULTS = (sqlite3.Error, OSError, OverflowError, UnicodeError)
MOST_SPOOLED, MOST_SPOOLED_BYTES = 4096, 16 << 20
"""Scores that may wait for their table before the next answer has to."""
FOLLOWED_TOGETHER = 1024
"""Scores that `lookup` follows at once where nothing else is written: they share its pages, and
few answers wait for it."""
MAX_FAULT_CHARS = 300


class Journal:
    """The writer. `fault` says what is wrong now; while there is one nothing is written.

    `errors` counts failed operations and rows found that it never writes, `unwritten` the
    scores and outcomes that were answered without being kept, `spooled` the scores that are on
    their way to the table, `in_wal` the rows written since the last checkpoint, spooled
    ones too, `commits` the transactions that changed something.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fault: str | None = None
        self.errors = 0
        self.unwritten = 0
        self.in_wal = 0
        self.commits = 0
        self._connection: sqlite3.Connection | None = None
        self._files: Files | None = None
        self._unclaimed = False
        self._spool = Spool(spool_path(path))
        self._pending: list[tuple[Any, ...]] = []
        self._unfollowed: list[int] = []

    @property
    def spooled(self) -> int:
        """How many scores wait for their table."""
        return len(self._pending)

    @property
    def file(self) -> FileId | None:
        """The file that was opened last, wherever it lies by now."""
        return self._files and self._files.main

    def claim(self) -> None:
        """Be the only process that writes here. Raises HeldError where another one does.

        Raises OSError where the disk does not let us; then it is tried again whenever the file
        is opened, and nothing is written without it.
        """
        self._unclaimed = True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        hold(lock_of(self.path))
        self._unclaimed = False

    def open(self) -> bool:
        """Open or create the file and bring its schema forward; False where it cannot be."""
        if self._connection is not None:
            return True
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self._unclaimed:
                self.claim()
            self._part()
            self._connection = open_writer(self.path)
            self._files = files_of(self.path)
            self._spool.open()
            self._pending = self._left_over(self._pending)
            self._part_from_others()
        except (*_FAULTS, HeldError) as error:
            self._failed(error)
            return False
        self.fault = None
        return self.settle()

    def look(self) -> None:
        """See whether the files are still the ones in use; it is a fault where they are not.

        A journal that was moved away would take rows that nobody finds.
        """
        if self._connection is None or self._files is None:
            return
        try:
            found = files_of(self.path)
        except OSError as error:
            self._failed(error)
            return
        if found.main != self._files.main:
            # It is ours still, wherever it lies: what its WAL holds belongs in it.
            self.rows("PRAGMA wal_checkpoint(TRUNCATE)")
            self._failed(FileNotFoundError(f"{self.path} was moved or replaced"))
        elif found.wal != self._files.wal:
            # What it holds is still ours to move; the next process would look in vain.
            self.rows("PRAGMA wal_checkpoint(FULL)")
            self._failed(FileNotFoundError(f"{wal_of(self.path)} was removed or replaced"))
        elif not self._spool.is_in_place:
            self._failed(FileNotFoundError(f"{self._spool.path} was moved or replaced"))

    def recover(self, now_s: float) -> bool:
        """Look, and try to write again after a fault. True where it works."""
        self.look()
        if self.fault is None:
            return True
        # Opening succeeds on a full disk: only a row proves that rows can be written.
        why = self.fault
        if not self.open():
            return False
        row = EventRow(at=now_s, kind="journal_recovered", detail={"after": why})
        return self.write([row])[0].journalled

    def write(self, rows: Sequence[ScoreRow | OutcomeRow | EventRow]) -> list[Written]:
        """Write all rows or, on a fault, none: scores alone to the spool, else a transaction."""
        if not rows:
            return []
        scores = [row for row in rows if isinstance(row, ScoreRow)]
        if len(scores) < len(rows):
            written = self._transact(lambda c: _insert(c, rows))
        else:
            written = self._append(scores)
        if written is None:
            self.unwritten += sum(not isinstance(row, EventRow) for row in rows)
            return [Written(False)] * len(rows)
        self.in_wal += len(rows)
        return written

    def settle(self) -> bool:
        """Take the spooled scores to their table; False where they have to wait."""
        # A spool without a readable row is emptied too: each start would meet its damage again.
        waits = self._pending or self._spool.size_bytes
        return not waits or self._transact(lambda _: (), FOLLOWED_TOGETHER) is not None

    def save_bars(
        self,
        bars: Iterable[BarRow],
        symbols: Iterable[SymbolRow],
        gone: Iterable[tuple[str, float]] = (),
    ) -> bool:
        """Keep closed bars and each symbol's facts, so many that the oldest go.

        `gone`: of these symbols first go all bars from that minute on.
        """
        symbol_rows = [msgspec.structs.astuple(row) for row in symbols]
        bar_rows = [msgspec.structs.astuple(bar) for bar in bars]
        return self._transacted(lambda c: insert_bars(c, bar_rows, symbol_rows, gone))

    def drop_symbols(self, kept: Container[str]) -> None:
        """Drop the bars and facts of all other symbols."""
        gone = [row for row in self.rows("SELECT symbol FROM symbols") if row[0] not in kept]
        self._transacted(lambda c: drop_symbols(c, gone))

    def drop_rows(self, kept: Iterable[str]) -> None:
        """The same, and of damaged names, by a look at every row: for a start, not for between."""
        self._transacted(lambda c: drop_others(c, kept))

    def save_paper(self, rows: Sequence[PaperRow], ended: Sequence[OutcomeRow]) -> bool:
        """Keep open positions as they are now and ends, whose positions go, in one transaction."""

        def work(connection: sqlite3.Connection) -> None:
            for outcome in ended:
                insert_outcome(connection, outcome)
            insert_paper(connection, rows, [outcome.score_id for outcome in ended])

        return self._transacted(work)

    def catch_up(self) -> None:
        """Have all scores found by their signals, those too that a kill left behind.

        Of events there may be years more than are kept: they go now, while nobody asks.
        """
        self._transacted(catch_up)
        self._transacted(drop_old_events)

    def rows(self, statement: str, values: tuple[Any, ...] | dict[str, Any] = ()) -> list[Any]:
        """The rows that a statement gives; none where there is a `fault`, before or by it."""
        if self.fault is not None or not self.open():
            return []
        assert self._connection is not None
        try:
            return self._connection.execute(statement, values).fetchall()
        except _FAULTS as error:
            self._failed(error)
            return []

    def set_setting(self, key: str, value: str) -> None:
        """Keep a value."""
        self.rows("INSERT OR REPLACE INTO settings VALUES(?,?)", (key, value))

    def checkpoint(self) -> None:
        """Move the WAL into the file, without waiting for readers; the caller waits for the disk.

        While the service serves, `checkpoints` does it elsewhere.
        """
        self.in_wal = 0
        self.rows("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """Settle, checkpoint and close; the file is then complete without its WAL."""
        if self._connection is not None and self.settle():
            self.look()
            self.checkpoint()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        with suppress(OSError):
            self._part()
        self._spool.close(tidy=True)

    def _part(self) -> None:
        """Leave nothing of a file that was moved or replaced beside the one there is now.

        Raises OSError, once, where rows of it are left over.
        """
        if self._files is None or file_at(self.path) == self._files.main:
            return
        aside = clear_of(self.path, self._files)
        self._files = None
        if aside is not None:
            raise FileExistsError(
                f"{aside} holds rows of the file that was {self.path} before; beside that one, "
                "named as its -wal, they are read with it"
            )

    def _part_from_others(self) -> None:
        """Leave scores that another version promised in a file of their own: no table takes them.

        Raises OSError, once, where there are some.
        """
        others = set_others_aside(self.path)
        if others is not None:
            aside, count = others
            self.unwritten += count
            raise FileExistsError(
                f"{aside} holds {count} scores with the columns of another version, "
                "which alone can read them"
            )

    def _append(self, scores: Sequence[ScoreRow]) -> list[Written] | None:
        """Spool scores; None, with none of them kept, where that fails."""
        if self.fault is not None or not self.open():
            return None
        rows = [msgspec.structs.astuple(row) for row in scores]
        try:
            self._spool.append(rows)
        except _FAULTS as error:
            self._failed(error)
            return None
        self._pending += rows
        if len(self._pending) >= MOST_SPOOLED or self._spool.size_bytes >= MOST_SPOOLED_BYTES:
            self.settle()
        return [WRITTEN] * len(rows)

    def _left_over(self, promised: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """What a table may lack: the spool's scores, and ours whose spool was moved away."""
        rows, damage = spooled_scores(self.path)
        self.errors += damage
        return list({row[0]: row for row in (*promised, *rows)}.values())

    def _transacted(self, work: Callable[[sqlite3.Connection], object]) -> bool:
        return self._transact(lambda connection: (work(connection),)) is not None

    def _transact(self, work: Callable[[sqlite3.Connection], T], together: int = 1) -> T | None:
        """Settle and do work in one transaction; None, with nothing of it kept, where it fails.

        Scores are found by their signals from the work on, where there are so many new ones.
        """
        if self.fault is not None or not self.open():
            return None
        assert self._connection is not None
        try:
            changes = self._connection.total_changes
            self._connection.execute("BEGIN IMMEDIATE")
            refused = insert_scores(self._connection, self._pending)
            self.errors += refused
            self.unwritten += refused
            new = [row[0] for row in self._pending]
            unfollowed = [*self._unfollowed, *new]
            # After a kill nothing else would tell of those that are late.
            if len(unfollowed) >= together or late(self._connection, new):
                follow(self._connection, unfollowed)
                unfollowed = []
            done = work(self._connection)
            self._connection.execute("COMMIT")
            self._unfollowed = unfollowed
            self.commits += self._connection.total_changes != changes
            self._pending = []
            self._spool.clear()
        except _FAULTS as error:
            self._failed(error)
            return None
        return done

    def _failed(self, error: Exception) -> None:
        self.errors += 1
        self.fault = f"{type(error).__name__}: {error}"[:MAX_FAULT_CHARS]
        self._spool.close()  # opened anew like the journal: by its name, as large as it is
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            # Which rolls back; a fresh one sees a disk that was mended or a file that was put back.
            connection.close()
        except sqlite3.Error:
            self.errors += 1


def _insert(
    connection: sqlite3.Connection, rows: Sequence[ScoreRow | OutcomeRow | EventRow]
) -> list[Written]:
    """Scores first, which an outcome beside them may mean. Raises sqlite3.Error."""
    scores = [row for row in rows if isinstance(row, ScoreRow)]
    connection.executemany(INSERT_SCORE, map(msgspec.structs.astuple, scores))
    follow(connection, [row.seq for row in scores])
    insert_events(connection, [row for row in rows if isinstance(row, EventRow)])
    return [
        insert_outcome(connection, row) if isinstance(row, OutcomeRow) else WRITTEN for row in rows
    ]
