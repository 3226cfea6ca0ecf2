"""Rows of a journal and reports of a truth log, joined as the trainer joins them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from journals import Journal
from scored_journal import EVERY_S, START_S

from service.journal.records import OutcomeRow, ScoreRow
from training.dataset.join import Dataset, read_dataset
from training.dataset.join_rules import JoinRules
from training.truth_log import Outcome, Signal

RULES = JoinRules(max_holding_s=600.0)
LATER_S = START_S + 1e6
DAY_S = 86_400.0

Read = Callable[..., Dataset]


def reader(folder: Path) -> Read:
    """Write rows with the service's own writer and read them as the trainer does."""

    def read_rows(
        *rows: ScoreRow | OutcomeRow,
        reported: dict[str, Outcome] | None = None,
        rules: JoinRules = RULES,
        now_s: float = LATER_S,
    ) -> Dataset:
        path = folder / "journal.db"
        path.unlink(missing_ok=True)
        journal = Journal(path)
        assert all(written.journalled for written in journal.write(rows))
        data = read_dataset(path, reported or {}, rules, now_s=now_s)
        journal.close()
        assert data.scored == len(data.samples) + sum(data.excluded.values())
        return data

    return read_rows


def said(i: int, win: bool, **changes: Any) -> dict[str, Outcome]:
    """What a truth log reports of the i-th signal."""
    values: dict[str, Any] = {
        "word": "WIN" if win else "LOSS",
        "completed_s": START_S + EVERY_S * i + 300,
    }
    outcome = Outcome(Signal(f"SIG_{i}"), win, **(values | changes))
    return {f"SIG_{i}": outcome}
