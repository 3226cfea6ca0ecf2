"""What R a signal made, by whoever reported its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from joined import LATER_S, Read, reader, said
from scored_journal import EVERY_S, START_S, outcome_row, score_row, vectors

from training.dataset.join_rules import JoinRules
from training.measure import net_r
from training.status import describe
from training.truth_log import Signal

X = vectors(64)


@pytest.fixture
def read(tmp_path: Path) -> Read:
    return reader(tmp_path)


LEVELS = {"direction": 1, "entry": 1.1, "stop": 1.099, "target": 1.1015}


def made_of(read: Read, levels: dict[str, Any], win: bool, **changes: Any) -> list[float]:
    """R of a signal of reward 1.5 and cost 0.05 that a truth log with `levels` tells the end of."""
    (outcome,) = said(0, win, **changes).values()
    outcome = msgspec.structs.replace(outcome, signal=Signal("SIG_0", **levels))
    rows = score_row(0, X[0]), score_row(1, X[1]), outcome_row(1, False)
    made: list[float] = net_r(read(*rows, reported={"SIG_0": outcome}).samples).tolist()
    return made[:-1]


@pytest.mark.parametrize("levels", [LEVELS, {}])
def test_a_win_or_loss_in_words_costs_the_spread_with_levels_and_without(
    read: Read, levels: dict[str, Any]
) -> None:
    assert made_of(read, levels, True) == pytest.approx([1.45])
    assert made_of(read, levels, False) == pytest.approx([-1.05])


def test_a_reported_end_is_what_it_says(read: Read) -> None:
    assert made_of(read, LEVELS, True, exit=1.1014) == pytest.approx([1.4])
    assert made_of(read, LEVELS, True, exit=1.1014, realised_r=1.3) == pytest.approx([1.3])


def test_without_a_target_a_loss_in_words_makes_as_little_known_as_a_win(read: Read) -> None:
    scores = [score_row(i, X[i], reward_risk=None, cost_r=None) for i in range(2)]
    reported = said(0, True) | said(1, False)
    levels = Signal("SIG_0", direction=1, entry=1.1, stop=1.099)
    told = {key: msgspec.structs.replace(o, signal=levels) for key, o in reported.items()}
    data = read(*scores, score_row(2, X[2]), outcome_row(2, True), reported=told)
    assert net_r(data.samples) == pytest.approx([np.nan, np.nan, 1.45], nan_ok=True)


PRICED = {"entry_price": 150.0, "stop_loss": 150.2, "symbol": "USDJPY"}


@pytest.mark.parametrize(
    ("changes", "pips", "r"),
    [
        (PRICED, 3.0, 0.15),
        (PRICED, -5.0, -0.25),
        (PRICED | {"entry_price": 1.1, "stop_loss": 1.098, "symbol": "EURUSD.r"}, 5.0, 0.25),
        (PRICED | {"symbol": "XAUUSD"}, 3.0, np.nan),  # whose pip nobody agrees on
        (PRICED | {"stop_loss": None}, -3.0, np.nan),
        (PRICED, 1e300, np.nan),
    ],
)
def test_a_timeout_made_what_its_pips_say_whoever_reports_it(
    read: Read, changes: dict[str, Any], pips: float, r: float
) -> None:
    score = score_row(0, X[0], **changes)
    by_request = outcome_row(0, None, "timeout", final_pips=pips)
    assert net_r(read(score, by_request).samples) == pytest.approx([r], nan_ok=True)
    told = said(0, pips > 0, word="TIMEOUT", pips=pips)
    data = read(score, outcome_row(1, True), reported=told)
    assert net_r(data.samples) == pytest.approx([r], nan_ok=True)


@pytest.mark.parametrize(
    ("word", "realised_r", "at_level"),
    [
        ("WIN_TP", 1.5, True),
        ("LOSS_SL", -1.1, True),
        ("EXPIRED", 0.1, False),
        ("timeout", -0.2, False),
        ("CLOSED_TP", -0.1, False),
    ],
)
@pytest.mark.parametrize("source", ["paper", "request", "truth_log"])
def test_an_end_at_neither_level_is_told_from_one_at_a_level_though_its_r_is_known(
    read: Read, word: str, realised_r: float, at_level: bool, source: str
) -> None:
    win = realised_r > 0
    if source == "truth_log":
        told = said(0, win, word=word, realised_r=realised_r)
        data = read(score_row(0, X[0]), outcome_row(1, True), reported=told)
    else:
        end = outcome_row(0, win, word, source=source, realised_r=realised_r)
        data = read(score_row(0, X[0]), end)
    assert data.samples.at_level.tolist() == [at_level]
    assert net_r(data.samples) == pytest.approx([realised_r])


def test_of_an_end_at_neither_level_without_r_or_pips_no_r_is_known(read: Read) -> None:
    data = read(score_row(0, X[0]), outcome_row(0, True, "CLOSED"))
    assert np.isnan(net_r(data.samples)).tolist() == [True]


def test_the_levels_of_a_truth_log_serve_where_the_score_has_none(read: Read) -> None:
    told = LEVELS | {"symbol": "EURUSD"}
    assert made_of(read, told, True, word="EXPIRED", pips=4.0) == pytest.approx([0.4])


@pytest.mark.parametrize("preferred", ["paper", "reported"])
@pytest.mark.parametrize(
    ("first", "second", "counted"),
    [(2.0, 0.1, 1), (None, 0.1, 1), (2.0, None, 0), (2.0, 2.004, 0)],
)
def test_of_two_reports_the_first_counts_and_another_r_is_told(
    read: Read, preferred: Any, first: float | None, second: float | None, counted: int
) -> None:
    data = read(
        score_row(0, X[0]),
        outcome_row(0, True, realised_r=first),
        outcome_row(0, True, realised_r=second, received_at=START_S + 900),
        reported=said(0, True, realised_r=1.0),
        rules=JoinRules(max_holding_s=600.0, prefer=preferred),
    )
    assert np.array_equal(data.samples.realised_r, [first or np.nan], equal_nan=True)
    assert data.said_other_r == counted
    status = list(describe(data, [], "", min_samples=400, holding_s=600.0, now_s=LATER_S))
    line = "reported again with another R: 1; the first report counts"
    assert (line in status) == bool(counted)


@pytest.mark.parametrize(
    ("preferred", "gap", "counted"),
    [("paper", False, 0), ("paper", True, 1), ("reported", False, 1)],
)
def test_another_r_of_a_report_is_told_only_where_the_report_counts(
    read: Read, preferred: Any, gap: bool, counted: int
) -> None:
    # A void position of its symbol takes a paper outcome beside it away.
    named = {"score_id": "score-2", "closed_at": START_S + 2 * EVERY_S}
    void = outcome_row(2, None, "VOID", source="paper", **named)
    data = read(
        score_row(0, X[0]),
        *([score_row(2, X[2]), void] if gap else []),
        outcome_row(0, True, source="paper", realised_r=0.5),
        outcome_row(0, True, realised_r=2.0),
        outcome_row(0, True, realised_r=0.1, received_at=START_S + 900),
        rules=JoinRules(max_holding_s=3 * EVERY_S, prefer=preferred),
    )
    assert data.samples.realised_r[0] == (2.0 if counted else 0.5)
    assert data.said_other_r == counted
