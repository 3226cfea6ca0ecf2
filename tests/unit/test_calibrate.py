"""Calibration: what is fitted, what is served, and that no edge is served as none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from protocol.manifest import Calibration
from service.model.model import calibrate, interpolate, sigmoid
from training.calibration.calibrate import fit_calibration, fit_curve, served, shrink_weight
from training.calibration.platt import fit_platt


def simulated(n, strength, seed=0):
    """Predictions whose true chance is sigmoid(strength * logit(raw))."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(0.0, 1.0, n)
    raw = 1.0 / (1.0 + np.exp(-logit))
    return raw, rng.uniform(size=n) < 1.0 / (1.0 + np.exp(-strength * logit))


def isotonic(**changes):
    fields = {
        "kind": "isotonic",
        "base_rate": 0.5,
        "shrink_weight": 1.0,
        "at": (0.0, 1.0),
        "low": (0.0, 0.8),
        "high": (0.2, 1.0),
        "coverage": 0.9,
        "method": "test",
        "points": (0.2, 0.8),
        "values": (0.3, 0.6),
    }
    return Calibration(**(fields | changes))


def test_platt_is_the_logistic_regression_on_the_logit():
    raw, y = simulated(40_000, 0.7)
    slope, intercept = fit_platt(raw, y)
    logit = np.log(raw / (1.0 - raw))[:, None]
    reference = LogisticRegression(C=np.inf, tol=1e-10).fit(logit, y)
    # Platt's smoothed targets and the prior of the slope move it by about 1/n.
    assert slope == pytest.approx(reference.coef_[0, 0], abs=2e-3)
    assert intercept == pytest.approx(reference.intercept_[0], abs=2e-3)


def test_few_answers_leave_the_slope_near_what_forests_have():
    slopes = [fit_platt(*simulated(20, 0.0, seed))[0] for seed in range(20)]
    assert max(slopes) < 2.0
    assert 0.5 < np.median(slopes) < 1.3


def test_weights_count_rows():
    raw, y = simulated(500, 0.7)
    twice = fit_platt(np.tile(raw, 2), np.tile(y, 2))
    assert fit_platt(raw, y, np.full(500, 2.0)) == pytest.approx(twice, abs=1e-6)


def test_an_inverted_ranking_is_served_as_the_base_rate():
    raw, y = simulated(2_000, -1.0)
    slope, intercept = fit_platt(raw, y)
    assert slope == 0.0
    assert sigmoid(intercept) == pytest.approx(y.mean(), abs=2e-3)


@pytest.mark.parametrize("gap", [0.0, 0.3])
def test_separable_and_constant_predictions_stay_finite(gap):
    y = np.arange(40) % 2 == 0
    slope, intercept = fit_platt(np.where(y, 0.5 + gap, 0.5 - gap), y)
    assert math.isfinite(slope)
    assert math.isfinite(intercept)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=30))
def test_platt_is_finite_and_rising_on_anything(rows):
    raw, y = np.array([r for r, _ in rows]), np.array([w for _, w in rows])
    slope, intercept = fit_platt(raw, y)
    assert 0.0 <= slope <= 1e3
    assert abs(intercept) <= 1e3


def trusted(raw, y):
    """Of answers that do not depend on one another."""
    return shrink_weight(raw, y, np.ones(len(raw)), np.arange(len(raw)))


def test_trust_is_none_without_an_edge_and_nearly_full_with_a_plain_one():
    nothing = [trusted(*simulated(500, 0.0, seed)) for seed in range(21)]
    plain = [trusted(*simulated(5_000, 1.5, seed)) for seed in range(5)]
    assert np.median(nothing) < 0.05
    assert min(plain) > 0.9


def test_too_few_rows_are_not_trusted_at_all():
    assert trusted(np.array([0.4, 0.6]), np.array([False, True])) < 0.1


def test_what_happened_on_two_days_is_hardly_trusted():
    raw, y = simulated(1_000, 1.5)
    many, two = (
        shrink_weight(raw, y, np.ones(1_000), np.arange(1_000) * days // 1_000) for days in (100, 2)
    )
    assert many > 0.99
    assert two < 0.5


def test_what_is_served_is_calibrated():
    raw, y = simulated(20_000, 0.5)
    p = fit_curve(raw[:10_000], y[:10_000], n_effective=10_000).served(raw[10_000:])
    later = y[10_000:]
    for part in np.array_split(np.argsort(p), 5):
        assert p[part].mean() == pytest.approx(later[part].mean(), abs=0.04)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    held = []
    for seed in range(24):
        raw, y = simulated(1_000, 0.8, seed)
        answer = calibrate(fit_calibration(raw, y, n_effective=1_000, seed=seed), 0.6)
        truth = sigmoid(0.8 * math.log(0.6 / 0.4))
        held.append(answer.low <= truth <= answer.high)
    # 90 % nominal; 24 draws of that fall below 17 in about 1 of 600.
    assert sum(held) >= 17


def test_the_interval_is_as_wide_as_its_coverage_wants():
    n, rng = 1_000, np.random.default_rng(1)
    raw, y = simulated(n, 0.8)
    drawn = [np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(200)]
    spread = np.std([fit_platt(raw, y, times.astype(float))(np.array([0.6])) for times in drawn])
    answer = calibrate(fit_calibration(raw, y, n_effective=n), 0.6)
    # 90 % of a normal spread; 80 % of it would be 2 * 1.28.
    assert answer.high - answer.low == pytest.approx(2 * 1.645 * spread, rel=0.15)


def test_the_interval_is_read_where_the_forest_answered():
    answer = calibrate(isotonic(), 0.5)
    assert (answer.low, answer.p, answer.high) == pytest.approx((0.4, 0.45, 0.6))


def test_a_given_base_rate_moves_the_interval_along():
    raw, y = simulated(2_000, 1.0)
    answer = calibrate(fit_calibration(raw, y, n_effective=2_000, base_rate=0.7), 0.5)
    # A bound that is on the answer's wrong side is served as the answer itself.
    assert answer.low + 0.005 < answer.p < answer.high - 0.005


def test_rows_of_one_group_are_drawn_together():
    raw, y = simulated(600, 0.8)
    alone = calibrate(fit_calibration(raw, y, n_effective=600), 0.5)
    copies = calibrate(
        fit_calibration(
            np.repeat(raw, 5),
            np.repeat(y, 5),
            n_effective=600,
            groups=np.repeat(np.arange(600), 5),
        ),
        0.5,
    )
    assert copies.high - copies.low == pytest.approx(alone.high - alone.low, rel=0.3)


def test_a_given_base_rate_is_what_the_shrinking_falls_back_to():
    raw, y = simulated(400, -1.0)  # a ranking that is the wrong way round has no edge at all
    found = fit_calibration(raw, y, n_effective=400, base_rate=0.7)
    assert (found.base_rate, found.shrink_weight) == (0.7, 0.0)
    assert served(found, raw[:3]).tolist() == [0.7] * 3


def test_the_service_calibrates_as_the_trainer_did_to_the_very_ends():
    raw, y = simulated(2_000, 1.0)
    found = fit_calibration(raw, y, n_effective=2_000)
    at = np.array([0.0, 1e-5, 0.3, 1 - 1e-5, 1.0])
    assert [calibrate(found, r).p for r in at.tolist()] == pytest.approx(served(found, at))


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="wins and losses"):
        fit_calibration(np.full(10, 0.5), np.ones(10, np.bool_), n_effective=10)


@settings(max_examples=200)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1e3), st.floats(-1e3, 1e3))
def test_whatever_the_calibration_the_served_lies_within_its_interval(
    raw, base_rate, weight, slope, intercept
):
    fields = {"base_rate": base_rate, "shrink_weight": weight}
    platt = isotonic(**fields, kind="platt", points=(), values=(), slope=slope, intercept=intercept)
    for calibration in (platt, isotonic(**fields)):
        answer = calibrate(calibration, raw)
        assert 0.0 <= answer.low <= answer.p <= answer.high <= 1.0
        assert answer.raw == raw


@settings(max_examples=200)
@given(st.floats(-1, 2), st.lists(st.floats(0, 1), min_size=2, max_size=9, unique=True))
def test_interpolation_is_numpys(x, points):
    at = tuple(sorted(points))
    values = tuple(float(v) for v in np.linspace(0.1, 0.9, len(at)))
    assert interpolate(x, at, values) == pytest.approx(np.interp(x, at, values), abs=1e-9)
