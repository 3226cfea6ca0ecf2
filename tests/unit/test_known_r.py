"""R that is known of part of the signals only: it is said, and hidden where which part tells."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from found_rows import FEW_TREES, N, rows_of
from signal_weeks import advice_of, lines, weeks_of_signals

from training.candidate import make
from training.dataset.answered import Advice
from training.dataset.join import Dataset
from training.dataset.samples import Samples
from training.known_r import known_r
from training.report.answers import answers
from training.report.figures import figures
from training.report.findings import find
from training.report.page import render
from training.truth_log import ReadingRules, read_truth_logs

GOLD = np.arange(N) % 3 == 0
HIDDEN = "R is not shown"
PARTLY = "if of which depends on how they went, nothing said of R holds"


def by_hand(rows: Samples, ends: str) -> Samples:
    """Every third signal closed by hand, pips only: those that `ends` says, or as many by lot."""
    third = np.arange(len(rows)) % 3 == 0
    lot = np.random.default_rng(3).random(len(rows)) < 0.5
    closed = third & {"won": rows.win, "lost": ~rows.win, "any": lot}[ends]
    changes = {"at_level": ~closed, "realised_r": np.full(len(rows), np.nan)}
    return Samples(**{name: getattr(rows, name) for name in rows.__slots__} | changes)


def live(ends: str) -> Samples:
    terms = {"reward_risk": np.full(900, 1.5), "cost_r": np.zeros(900)}
    return by_hand(weeks_of_signals(900, edge=0.2, **terms), ends)


@pytest.mark.parametrize("ends", ["won", "lost"])
def test_results_show_no_r_that_is_known_of_one_kind_of_end(ends: str) -> None:
    rows = live(ends)
    shown = lines(rows, advice_of(rows))
    (total,) = (line.split() for line in shown if line.startswith("together"))
    assert [total[4], total[8], total[12]] == ["-", "-", "-"]
    said = " ".join(" ".join(shown).split())
    assert said.count("Established: ") == 1  # of wins alone
    assert "R a signal" not in said
    assert HIDDEN in said
    part = rows.win if ends == "won" else ~rows.win
    share = f"{100 * rows.at_level[part].mean():.1f} % of the {ends}"
    assert f"known of {rows.at_level.sum():,} of 900 signals" in said
    assert share in said


def test_nor_one_that_is_selected_among_those_advised_on_alone() -> None:
    """A model of the last days, while winners of these are closed by hand."""
    n = 4500
    rows = weeks_of_signals(n, edge=0.2, reward_risk=np.full(n, 1.5), cost_r=np.zeros(n))
    late = np.arange(n) >= n - 300
    closed = late & rows.win & (np.arange(n) % 4 == 0)
    rows = replace(rows, at_level=~closed, realised_r=np.full(n, np.nan))
    assert not known_r(rows).selected
    shown = lines(rows, advice_of(rows.take(late)))
    (total,) = (line.split() for line in shown if line.startswith("together"))
    assert [total[4], total[8], total[12]] == ["-", "-", "-"]
    said = " ".join(" ".join(shown).split())
    assert f"{HIDDEN}, since of those advised on it is known of {300 - closed.sum()} of 300" in said
    assert "R a signal" not in said


def test_nor_one_that_is_selected_among_the_few_that_were_taken() -> None:
    n = 4500
    rows = weeks_of_signals(n, edge=0.0, reward_risk=np.full(n, 1.5), cost_r=np.zeros(n))
    few = np.arange(n) % 30 == 0
    closed = few & ~rows.win & (np.arange(n) % 60 == 0)
    rows = replace(rows, at_level=~closed, realised_r=np.full(n, np.nan))
    advice = {
        score_id: Advice("m", bool(take))
        for score_id, take in zip(rows.score_id.tolist(), few, strict=True)
    }
    said = " ".join(" ".join(lines(rows, advice)).split())
    assert f"{HIDDEN}, since of those taken it is known of {150 - closed.sum()} of 150" in said
    assert "R a signal" not in said


def test_results_say_of_how_many_r_is_known_where_it_is_missing_by_lot() -> None:
    rows = live("any")
    said = " ".join(" ".join(lines(rows, advice_of(rows))).split())
    n = int(rows.at_level.sum())
    assert f"R is known of {n:,} of 900 signals: {PARTLY}" in said
    assert f"all {n:,} advised on whose R is known, weighted" in said
    assert HIDDEN not in said


def test_where_r_is_known_of_all_or_none_nothing_is_said_of_it() -> None:
    for rows in (rows_of(0.2), rows_of(0.2, reward_risk=np.full(N, np.nan))):
        assert known_r(rows).said == ""
        assert not known_r(rows).selected


def test_missing_by_lot_is_seldom_taken_for_a_choice() -> None:
    found = 0
    for seed in range(300):
        lot = np.random.default_rng(seed).random(N) < 0.8
        found += known_r(rows_of(0.0, at_level=lot)).selected
    # 0.27 % of 300 and two standard deviations of that.
    assert found <= 1 + 2


def test_a_few_that_are_missing_move_no_mean() -> None:
    for missing, selected in ((0.015, False), (0.03, True)):
        rows = rows_of(0.0, every_s=60.0, win=np.arange(N) % 2 > 0)
        lost = np.flatnonzero(~rows.win)[: round(missing * N / 2)]
        at_level = np.ones(N, dtype=np.bool_)
        at_level[lost] = False
        assert known_r(rows_of(0.0, win=rows.win, at_level=at_level)).selected == selected


@pytest.mark.parametrize("ends", ["won", "lost", "any"])
def test_the_report_concludes_nothing_from_r_that_is_known_of_one_kind_of_end(ends: str) -> None:
    candidate = make(by_hand(rows_of(0.3), ends), FEW_TREES, now_s=0.0)
    found = find(candidate, FEW_TREES)
    said = [" ".join(answer.text) for answer in answers(candidate, found, [])]
    data = Dataset(candidate.samples, N, {}, 0, 0)
    page = render(candidate, found, data, read_truth_logs([], ReadingRules()), [], {})
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    of = f"known of {candidate.walk.test.at_level.sum():,} of {len(candidate.walk.test):,} signals"
    assert of in text
    hidden = ends != "any"
    assert (HIDDEN in said[1]) == hidden
    assert ("judged by wins alone" in candidate.verdict.reason) == hidden
    assert (PARTLY in said[4]) == (not hidden)
    assert ("R a signal" in said[0]) == (not hidden)
    assert ("take_margin_r" in " ".join(said)) is False
    assert ("unknown" in text) == hidden
    assert ({"reward", "coverage"} <= set(figures(found))) == (not hidden)


def test_of_those_that_pay_their_costs_r_is_said_to_be_that_of_the_known() -> None:
    candidate = make(by_hand(rows_of(0.3), "any"), FEW_TREES, now_s=0.0)
    said = answers(candidate, find(candidate, FEW_TREES), [])[1].text[-1]
    assert re.search(r"those of them whose R is known made \S+ R each", said)


def test_where_no_signal_would_pay_and_r_is_of_one_kind_of_end_that_is_said() -> None:
    rows = by_hand(rows_of(0.3, cost_r=np.full(N, 9.0)), "won")
    candidate = make(rows, FEW_TREES, now_s=0.0)
    said = answers(candidate, find(candidate, FEW_TREES), [])[1].text
    assert said[-1].startswith(HIDDEN)
    assert "shares made" not in " ".join(said)
