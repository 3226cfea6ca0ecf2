"""The bound by days: right on the average, few days and shared luck included."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from training.bound import (
    DAY_S,
    blocks,
    clustered,
    days,
    normal_deviate,
    stretches,
    t_quantile,
)


def test_single_rows_give_the_textbook_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=50)
    found = clustered(values, np.ones(50), np.arange(50))
    assert found.value == pytest.approx(values.mean())
    assert found.error == pytest.approx(stats.sem(values))
    assert found.low == pytest.approx(values.mean() - stats.t.ppf(0.95, 49) * stats.sem(values))


def test_rows_of_a_group_count_once() -> None:
    values = np.random.default_rng(0).normal(size=20)
    once = clustered(values, np.ones(20), np.arange(20))
    often = clustered(np.repeat(values, 7), np.ones(140), np.repeat(np.arange(20), 7))
    assert often == pytest.approx(once)


def test_one_day_establishes_nothing() -> None:
    found = clustered(np.ones(100), np.ones(100), np.zeros(100, np.int64))
    assert found.low == -np.inf


@pytest.mark.parametrize("count", [5, 10, 30])
def test_shared_luck_passes_no_more_often_than_promised(count: int) -> None:
    rng = np.random.default_rng(count)
    passed = 0
    for _ in range(400):
        day = rng.integers(count, size=200)
        values = rng.normal(size=count)[day] + rng.normal(size=200)
        passed += clustered(values, np.ones(200), day).low > 0
    # 5 % of 400 and three standard deviations of that.
    assert passed <= 20 + 13


@pytest.mark.parametrize("sizes", [[250, 12, 12, 12, 12], [300, *[10] * 29]])
def test_a_day_that_outweighs_the_others_does_not_vouch_for_itself(sizes: list[int]) -> None:
    rng = np.random.default_rng(len(sizes))
    day, passed = np.repeat(np.arange(len(sizes)), sizes), 0
    for _ in range(1000):
        values = np.sqrt(0.02) * rng.normal(size=len(sizes))[day] + rng.normal(size=len(day))
        passed += clustered(values, np.ones(len(day)), day).low > 0
    # 5 % would be 50; some 80 are left, where days of equal weight were assumed 270 and 150.
    assert passed <= 110


def test_the_error_is_that_of_leaving_out_each_group_in_turn() -> None:
    rng = np.random.default_rng(3)
    values, weight = rng.normal(size=60), rng.uniform(0.1, 2.0, size=60)
    groups = rng.integers(7, size=60) ** 2
    kept = [groups != group for group in np.unique(groups)]
    without = [np.average(values[rows], weights=weight[rows]) for rows in kept]
    mean = np.average(values, weights=weight)
    error = np.sqrt(6 / 7 * np.sum((np.array(without) - mean) ** 2))
    assert clustered(values, weight, groups).error == pytest.approx(error)


def test_luck_shared_by_signals_that_run_for_two_days_passes_no_more_often() -> None:
    rng = np.random.default_rng(1)
    holding_s, span_days, passed = 2 * DAY_S, 60, 0
    for _ in range(400):
        # What a signal makes is the luck of the hours through which it runs, and its own.
        hours = np.cumsum(rng.normal(size=24 * (span_days + 2)))
        start = rng.integers(24 * span_days, size=300)
        values = (hours[start + 48] - hours[start]) / 7.0 + rng.normal(size=300)
        groups = stretches(3600.0 * start, holding_s)
        passed += clustered(values, np.ones(300), groups).low > 0
    # 5 % of 400 and three standard deviations of that. By days it would be some 45.
    assert passed <= 20 + 13


def test_a_stretch_is_a_day_and_a_block_four_hours_unless_signals_run_longer() -> None:
    time_s = np.arange(0.0, 40 * DAY_S, 1800.0)
    assert np.array_equal(stretches(time_s, 7500.0), days(time_s))
    assert len(np.unique(stretches(time_s, 2 * DAY_S))) == 10
    assert np.array_equal(blocks(time_s, 7500.0), blocks(time_s))
    assert len(np.unique(blocks(time_s, DAY_S))) == 40


def test_quantiles_are_scipys() -> None:
    assert t_quantile(4) == pytest.approx(stats.t.ppf(0.95, 4))
    for t in (-3.0, 0.0, 0.4, 5.0):
        expected = stats.norm.ppf(stats.t.cdf(t, 6))
        assert normal_deviate(t, 6) == pytest.approx(expected, abs=1e-9)
    assert 0.0 < normal_deviate(1e9, 200) < 31.0
    assert normal_deviate(float("nan"), 5) == 0.0


def test_a_day_begins_at_midnight_utc() -> None:
    assert days(np.array([0.0, 86_399.9, 86_400.0])).tolist() == [0, 0, 1]
