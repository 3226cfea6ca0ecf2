"""The backfill's file: a journal like the service's, that says of itself what it is.

The rule: under its name there is a whole file or none. It is written beside it under another
name, flushed and renamed; whatever ends the work before takes the unfinished one away, and
what only a kill could leave is removed by the next run.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from msgspec.structs import replace

from service.console import exit_codes
from service.errors import ConfigError
from service.files.durable import Unflushed, sync_name
from service.journal.records import OutcomeRow, ScoreRow
from service.journal.writer import Journal
from training.backfill.rerun import Backfilled
from training.dataset.join_rules import JoinRules
from training.dataset.journals import BACKFILLED, open_backfill


class ResultError(Exception):
    """The file cannot be written; the text says why."""

    exit_code = exit_codes.CANT_CREATE


def refuse_other(path: Path) -> None:
    """Raise ResultError where a file is there that `backfill` did not make: it would be lost."""
    try:
        open_backfill(path).close()
    except (sqlite3.Error, ConfigError) as error:
        if os.path.lexists(path):
            raise ResultError(
                f"{path} is there, and no result of `backfill` ({error}): name another file with "
                "--output"
            ) from error


class Result:
    """Context manager: rows go in, a file comes out where nothing was raised.

    `usable` of the `rows` have features enough to be samples by `rules`; `words` counts the
    outcomes by their words, `OPEN` those of signals still running.
    """

    def __init__(self, path: Path, source: str, rules: JoinRules) -> None:
        self.path = path
        self.rows = 0
        self.usable = 0
        self.words: Counter[str] = Counter()
        self._source = source
        self._rules = rules
        self._scratch = path.with_name(f".{path.name}.unfinished")
        self._journal = Journal(self._scratch)

    def __enter__(self) -> Result:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._remove()
            self._journal.set_setting(BACKFILLED, self._source)
            self._check()
        except OSError as fault:
            raise ResultError(f"cannot write {self.path}: {fault.strerror}") from None
        except BaseException:
            # Nobody leaves a context that was not entered.
            self._discard()
            raise
        return self

    def write(self, found: Iterable[Backfilled]) -> None:
        """Append signals. Raises ResultError."""
        rows: list[ScoreRow | OutcomeRow] = []
        for score, outcome in found:
            self.rows += 1
            self.usable += not self._rules.lacks(score.missing)
            # Numbered here: an engine numbers what it alone has seen.
            score_id = f"backfill-{self.rows:x}"
            rows.append(replace(score, seq=self.rows, score_id=score_id, reply=b""))
            self.words[outcome.outcome if outcome else "OPEN"] += 1
            if outcome is not None:
                rows.append(replace(outcome, score_id=score_id))
        self._journal.write(rows)
        self._check()

    def __exit__(self, kind: type[BaseException] | None, *_raised: object) -> None:
        self._journal.close()
        try:
            if kind is None:
                self._check()
                self._scratch.rename(self.path)
                sync_name(self.path)
        except Unflushed:
            raise  # the file is there
        except OSError as fault:
            raise ResultError(f"cannot write {self.path}: {fault.strerror}") from None
        finally:
            self._discard()

    def _check(self) -> None:
        if self._journal.fault is not None:
            raise ResultError(f"cannot write {self.path}: {self._journal.fault}")

    def _discard(self) -> None:
        self._journal.close()
        with contextlib.suppress(OSError):
            self._remove()

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._scratch.with_name(self._scratch.name + suffix).unlink(missing_ok=True)
