"""The simple rules and the regression behind them, against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sample_rows import sample_rows
from sklearn.linear_model import LogisticRegression

from training import rules
from training.logit import (
    Prior,
    fit_logit,
    log_loss,
    logit,
    sigmoid,
    slope_in_errors,
    with_constant,
)


def drawn(n: int, slope: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return x, rng.random(n) < sigmoid(slope * x + 0.5)


def test_newton_finds_what_scikit_learn_finds() -> None:
    x, win = drawn(3_000, 0.8)
    weight = np.random.default_rng(1).uniform(0.1, 1.0, 3_000)
    ours = fit_logit(with_constant(x), win.astype(float), weight)
    theirs = LogisticRegression(C=np.inf, tol=1e-10).fit(x[:, None], win, sample_weight=weight)
    assert ours == pytest.approx([theirs.coef_[0, 0], theirs.intercept_[0]], abs=1e-4)


def test_a_prior_gives_way_to_data() -> None:
    prior = Prior(2.0, 0.3)
    few, many = (
        fit_logit(with_constant(x), win.astype(float), np.ones(len(x)), prior)[0]
        for x, win in (drawn(10, 0.0), drawn(20_000, 0.0))
    )
    assert few > 1.0
    assert many == pytest.approx(0.0, abs=0.05)


def test_no_slope_has_a_standard_normal_deviate() -> None:
    found = [
        slope_in_errors(*drawn(200, 0.0, seed), np.ones(200), np.arange(200) // 5)
        for seed in range(300)
    ]
    assert np.mean(found) == pytest.approx(0.0, abs=0.2)
    assert np.std(found) == pytest.approx(1.0, abs=0.15)


def test_a_slope_of_one_day_is_none() -> None:
    x, win = drawn(200, 2.0)
    assert slope_in_errors(x, win, np.ones(200), np.zeros(200, np.int64)) == 0.0


def test_logit_and_sigmoid_undo_each_other() -> None:
    p = np.array([1e-5, 0.3, 0.999])
    assert sigmoid(logit(p)) == pytest.approx(p)
    assert np.isfinite(log_loss(np.array([0.0, 1.0]), np.array([True, False]))).all()


def test_a_rule_learns_the_past_and_falls_back_where_its_number_is_missing() -> None:
    spreads = np.random.default_rng(0).uniform(1, 50, 2_000)
    win = np.random.default_rng(1).random(2_000) < np.where(spreads > 20, 0.8, 0.4)
    spreads[::10] = np.nan
    rows = sample_rows(2_000, stop_spreads=spreads, win=win)
    past, later = rows.take(slice(0, 1_500)), rows.take(slice(1_500, None))
    p = rules.predict(rules.stop_spreads, past, later)
    assert p[np.isnan(later.stop_spreads)] == pytest.approx(past.base_rate)
    assert p[later.stop_spreads > 40].min() > 0.7
    assert p[later.stop_spreads < 5].max() < 0.5


def test_a_past_of_one_kind_leaves_the_base_rate() -> None:
    rows = sample_rows(20, win=np.ones(20, np.bool_))
    assert rules.predict(rules.base_score, rows, rows).tolist() == [1.0] * 20


def test_a_rule_is_asked_where_what_is_tested_carries_its_number() -> None:
    backfilled = np.arange(100) < 80
    rows = sample_rows(100, backfilled=backfilled, stop_spreads=np.where(backfilled, np.nan, 9.0))
    assert "logit_stop_spreads" in rules.applicable(rows)
    other = sample_rows(100, backfilled=backfilled, stop_spreads=np.where(backfilled, 9.0, np.nan))
    assert "logit_stop_spreads" not in rules.applicable(other)


@pytest.mark.parametrize(("carried", "asked"), [(49, False), (50, True)])
def test_the_stop_distance_is_asked_for_from_half_of_the_signals_on(
    carried: int, asked: bool
) -> None:
    rows = sample_rows(100, stop_spreads=np.where(np.arange(100) < carried, 9.0, np.nan))
    assert ("logit_stop_spreads" in rules.applicable(rows)) is asked
