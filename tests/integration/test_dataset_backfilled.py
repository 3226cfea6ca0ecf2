"""Backfilled signals beside live ones: what is said of them, who decides, what they train."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pytest
from journals import stored
from scored_journal import START_S, outcome_row, score_row, vectors, write_journal
from serving import rows
from trained import give

from service.errors import ConfigError
from training.backfill.rerun import Backfilled
from training.backfill.result import Result as Output
from training.dataset.join import read_dataset
from training.dataset.join_rules import JoinRules
from training.settings import Settings
from training.train import gather
from training.walk_forward import walk_forward

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
    with Output(made, "by hand", JoinRules()) as output:
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
    with Output(made, "by hand", JoinRules()) as output:
        for i in range(1, 6):
            end = outcome_row(i, True, source="paper")
            output.write([Backfilled(score_row(i, X[i], direction=1), end)])
    data = read_dataset(journal, {}, RULES, now_s=LATER_S, backfills=[made])
    assert data.samples.score_id.tolist() == ["score-0"]
    assert data.excluded == {"directed": 5}


def made_file(path: Path, signals: range) -> Path:
    """A file as `backfill` leaves it: signals from long before the journal's."""
    x = vectors(len(signals), seed=5)
    rng = np.random.default_rng(6)
    with Output(path, "made by hand", JoinRules()) as output:
        for row, i in enumerate(signals):
            times = {"scored_at": START_S - 3600.0 * (i + 200), "signal_id": f"OLD_{i}"}
            times["event_time"] = times["scored_at"]
            win = bool(rng.random() < 0.5 + 0.3 * (1 if x[row, 8] > 50 else -1))
            ended = {"score_id": "", "signal_id": None, "closed_at": times["scored_at"] + 300}
            score = score_row(i, x[row], **times)
            outcome = outcome_row(i, win, source="paper", **ended)
            output.write([Backfilled(score, outcome)])
    return path


def test_backfilled_signals_train_the_walk_forward_and_none_is_tested_on(tmp_path: Path) -> None:
    write_journal(tmp_path / "journal.db", 300, edge=0.3)
    made = made_file(tmp_path / "made.db", range(2000))
    settings = Settings(
        journal=tmp_path / "journal.db", models=tmp_path / "models", backfills=(made,)
    )
    _, data = gather(settings, now_s=START_S + 1e9)
    assert (len(data.samples), int(data.samples.backfilled.sum())) == (2300, 2000)

    def fit(part):
        assert part.backfilled.sum() >= 1900
        return lambda x: np.where(x[:, 8] > 50, 0.8, 0.2)

    walk = walk_forward(data.samples, fit, settings.rhythm)
    assert not walk.test.backfilled.any()
    # The old signals stand in for the live ones that the first forest would have grown on.
    assert len(walk.past) == 300
    assert len(walk.test) >= 200


def test_without_a_live_signal_nothing_can_be_tested(tmp_path: Path) -> None:
    stored(tmp_path / "journal.db", [])
    made = made_file(tmp_path / "made.db", range(300))
    result = give(
        "train", "--journal", tmp_path / "journal.db", "--models", tmp_path / "models",
        "--backfill", made, "--jobs", "1",
    )  # fmt: skip
    assert result.exit_code == 4, result.output
    assert "300 of them are backfilled and only train" in result.output


def test_status_counts_the_first_hundred_as_training_does(tmp_path: Path) -> None:
    write_journal(tmp_path / "journal.db", 60, edge=0.0)
    made = made_file(tmp_path / "made.db", range(300))
    arguments = (
        "--journal", tmp_path / "journal.db", "--models", tmp_path / "models", "--backfill", made,
    )  # fmt: skip
    shown = give("status", *arguments).output
    assert "\nfirst 100        reached, with backfilled ones\n  scored live    about " in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "of 100 (" not in give("train", *arguments, "--jobs", "1").output
    assert "\nfirst 100        about " in give("status", *arguments[:4]).output


def test_a_signal_scored_live_yields_to_nothing_that_was_made_later(tmp_path: Path) -> None:
    write_journal(tmp_path / "journal.db", 5, edge=0.0)
    with Output(tmp_path / "made.db", "by hand", JoinRules()) as output:
        x = vectors(5, seed=99)
        output.write(
            [Backfilled(score_row(i, x[i]), outcome_row(i, True, score_id="")) for i in range(5)]
        )
    with closing(sqlite3.connect(tmp_path / "journal.db")) as journal, journal:
        journal.execute("delete from outcomes where seq = 1")
    data = read_dataset(
        tmp_path / "journal.db",
        {},
        JoinRules(),
        now_s=START_S + 1e9,
        backfills=[tmp_path / "made.db"],
    )
    assert data.excluded == {"scored_live": 5, "no_outcome": 1}
    assert not data.samples.backfilled.any()


def test_neither_file_passes_for_the_other(tmp_path: Path) -> None:
    write_journal(tmp_path / "journal.db", 5, edge=0.0)
    made = made_file(tmp_path / "made.db", range(5))
    with pytest.raises(ConfigError, match="nothing in it may be tested on"):
        read_dataset(made, {}, JoinRules(), now_s=START_S)
    with pytest.raises(ConfigError, match="was not made by `backfill`"):
        read_dataset(
            tmp_path / "journal.db",
            {},
            JoinRules(),
            now_s=START_S,
            backfills=[tmp_path / "journal.db"],
        )


def test_the_result_is_a_journal_that_people_can_read(tmp_path: Path) -> None:
    made = made_file(tmp_path / "made.db", range(3))
    assert not list(tmp_path.glob("*-wal"))
    (kept,) = rows(made, "SELECT value FROM settings WHERE key = 'backfilled'")
    assert kept["value"] == "made by hand"
