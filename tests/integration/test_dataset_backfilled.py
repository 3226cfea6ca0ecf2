"""The join where signals were backfilled too: what is said of them, and who decides."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
import pytest
from journals import stored
from scored_journal import START_S, outcome_row, score_row, vectors

from training.backfill.rerun import Backfilled
from training.backfill.result import Result as Output
from training.dataset import read_dataset
from training.joining import JoinRules

RULES = JoinRules(max_holding_s=600.0)
LATER_S = START_S + 1e6
X = vectors(10)


@pytest.mark.parametrize(("labels", "won"), [("paper", True), ("reported", False)])
def test_a_report_by_request_is_of_a_signal_that_was_backfilled_too(
    tmp_path: Path, labels: Literal["paper", "reported"], won: bool
) -> None:
    live = [score_row(9, X[9]), outcome_row(9, True), outcome_row(0, False)]
    journal = stored(tmp_path / "journal.db", live)
    made = tmp_path / "made.db"
    with Output(made, "by hand") as output:
        end = outcome_row(0, True, source="paper", signal_id=None)
        output.write([Backfilled(score_row(0, X[0]), end), Backfilled(score_row(1, X[1]), None)])
    rules = msgspec.structs.replace(RULES, prefer=labels)
    data = read_dataset(journal, {}, rules, now_s=LATER_S, backfills=[made])
    assert data.scored == len(data.samples) + sum(data.excluded.values()) == 3
    assert (data.unmatched, data.differ, data.excluded) == (0, 1, {"no_outcome": 1})
    assert data.samples.win.tolist() == [won, True]


def test_what_was_scored_live_decides_whether_signals_have_directions(tmp_path: Path) -> None:
    live = [score_row(0, X[0], direction=0), outcome_row(0, True)]
    journal = stored(tmp_path / "journal.db", live)
    made = tmp_path / "made.db"
    with Output(made, "by hand") as output:
        for i in range(1, 6):
            end = outcome_row(i, True, source="paper")
            output.write([Backfilled(score_row(i, X[i], direction=1), end)])
    data = read_dataset(journal, {}, RULES, now_s=LATER_S, backfills=[made])
    assert data.samples.score_id.tolist() == ["score-0"]
    assert data.excluded == {"directed": 5}
