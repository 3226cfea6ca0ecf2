"""A report whose ids name no score joins the only one that it can mean, or none."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from journals import Journal
from scored_journal import outcome_row, score_row, vectors
from serving import rows

from service.journal.outcome_table import MOST_CANDIDATES, Written
from service.journal.records import Meant, OutcomeRow, ScoreRow
from training.dataset.join import read_dataset
from training.dataset.join_rules import JoinRules

X = vectors(20)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.db")
    assert journal.open()
    yield journal
    journal.close()


def meant(at: float, **changes: Any) -> OutcomeRow:
    """A report that names no id, only the symbol and base score of row 3 and a moment."""
    values: dict[str, Any] = {"signal_id": None, "score_id": None} | changes
    return outcome_row(0, True, meant=Meant("BTCUSD", 61.25, at), **values)


def nameless(i: int, scored_at: float, **changes: Any) -> ScoreRow:
    """A score whose caller gave no signal id."""
    values: dict[str, Any] = {"signal_id": None, "symbol": "BTCUSD", "base_score": 61.25}
    return score_row(i, X[i % 20], **(values | {"scored_at": scored_at} | changes))


@pytest.mark.parametrize(
    ("scores", "joined"),
    [
        ([nameless(0, 1000.0)], "score-0"),
        ([nameless(0, 880.0)], "score-0"),
        ([nameless(0, 879.9)], None),
        ([nameless(0, 1000.9)], "score-0"),
        ([nameless(0, 1001.1)], None),
        ([nameless(0, 900.0), nameless(1, 950.0)], None),
        ([nameless(0, 800.0), nameless(1, 950.0)], "score-1"),
        ([nameless(0, 900.0, symbol="ETHUSD"), nameless(1, 950.0)], "score-1"),
        ([nameless(0, 900.0, base_score=61.5), nameless(1, 950.0)], "score-1"),
        ([nameless(0, 900.0, signal_id="EG_1")], "score-0"),
        ([], None),
    ],
)
def test_a_report_without_an_id_joins_the_only_score_that_it_can_mean(
    journal: Journal, scores: list[ScoreRow], joined: str | None
) -> None:
    journal.write(scores)
    (written,) = journal.write([meant(1000.0)])
    assert (written.journalled, written.score_id) == (True, joined)
    assert written.matched == (joined is not None)
    (kept,) = rows(journal.path, "SELECT score_id FROM outcomes")
    assert kept["score_id"] == joined


@pytest.mark.parametrize(
    ("others", "joined"), [(MOST_CANDIDATES - 1, "score-0"), (MOST_CANDIDATES, None)]
)
def test_a_report_joins_none_where_there_are_more_scores_about_than_are_looked_at(
    journal: Journal, others: int, joined: str | None
) -> None:
    about = [nameless(i, 950.0, symbol="EURUSD") for i in range(1, others + 1)]
    away = [nameless(i, 500.0) for i in range(others + 1, others + 10)]
    journal.write([nameless(0, 900.0), *about, *away])
    expected = Written(True, matched=joined is not None, score_id=joined)
    assert journal.write([meant(1000.0)]) == [expected]


def test_an_unknown_id_joins_no_score_that_has_one_of_its_own(journal: Journal) -> None:
    journal.write([nameless(0, 990.0, signal_id="EG_1")])
    # Of two moments: each may mean another score.
    for at in (1000.0, 1001.0):
        assert journal.write([meant(at, signal_id="EG_2")])[0] == Written(True, matched=False)
    journal.write([nameless(1, 800.0)])
    assert journal.write([meant(810.0, signal_id="EG_3")])[0].score_id == "score-1"


def test_a_damaged_row_is_the_score_of_no_report(journal: Journal) -> None:
    journal.write([nameless(0, 990.0)])
    journal.settle()
    with closing(sqlite3.connect(journal.path)) as connection, connection:
        connection.execute("UPDATE scores SET score_id = CAST(x'73ff' AS TEXT)")
    assert journal.write([meant(1000.0)])[0] == Written(True, matched=False)


def test_a_known_id_decides_whatever_else_a_report_says(journal: Journal) -> None:
    journal.write([nameless(0, 990.0), nameless(1, 500.0)])
    (written,) = journal.write([meant(1000.0, score_id="score-1")])
    assert (written.matched, written.score_id) == (True, None)


def test_a_joined_report_is_a_duplicate_when_it_comes_again(journal: Journal) -> None:
    journal.write([nameless(0, 990.0)])
    assert not journal.write([meant(1000.0)])[0].duplicate
    assert journal.write([meant(1001.0)])[0].duplicate
    # Two that mean nothing we know are two.
    assert not journal.write([meant(5000.0)])[0].duplicate
    assert not journal.write([meant(5001.0)])[0].duplicate


@pytest.mark.parametrize("at", [1000.0, 5.0], ids=["dated", "undated"])
def test_a_report_that_came_before_its_score_is_a_duplicate_when_it_comes_again(
    journal: Journal, at: float
) -> None:
    report = meant(at, signal_id="EG_1", received_at=5.0)
    assert journal.write([report])[0] == Written(True, matched=False)
    journal.write([nameless(0, 990.0, signal_id="EG_1")])
    assert journal.write([report])[0] == Written(True, duplicate=True, matched=True)
    assert len(rows(journal.path, "SELECT 1 FROM outcomes")) == 1


def test_a_score_without_an_id_is_a_sample_by_the_score_id_whatever_the_report_calls_it(
    journal: Journal,
) -> None:
    unnamed = {"signal_id": None}
    journal.write([score_row(0, X[0], **unnamed), score_row(2, X[2], **unnamed)])
    journal.write([outcome_row(0, True, signal_id="EG_7", score_id="score-0")])
    data = read_dataset(journal.path, {}, JoinRules(max_holding_s=600.0), now_s=2e9)
    assert (len(data.samples), data.samples.win.tolist(), data.unmatched) == (1, [True], 0)
