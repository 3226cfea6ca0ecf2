"""The charts that hold a promise against outcomes, and the limit that goes with a promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.monitor.cusum import FALSE_ALARMS, HORIZON, Promise, chart, increments, limit_of

DECILES = (0.55, 0.6, 0.64, 0.67, 0.7, 0.73, 0.76, 0.8, 0.85)
KNOWN_WELL = Promise(0.7, DECILES, 1e9)
STEPS = st.lists(st.floats(-3.0, 3.0), min_size=1, max_size=60)


def drawn(promise: Promise, shape: tuple[int, int], seed: int) -> np.ndarray:
    """Served probabilities that have the promise's deciles, drawn another way: decile by decile."""
    rng = np.random.default_rng(seed)
    middles = np.convolve(promise.deciles, [0.5, 0.5], "valid")
    return rng.choice([promise.deciles[0] - 0.05, *middles, promise.deciles[-1] + 0.04], shape)


@given(STEPS)
@settings(max_examples=60)
def test_a_chart_below_its_limit_is_the_rise_above_the_lowest_point(steps: list[float]) -> None:
    total = np.concatenate([[0.0], np.cumsum(steps)])
    expected = (total - np.minimum.accumulate(total))[1:]
    found = chart(np.array(steps), limit=1e9)
    np.testing.assert_allclose(found.values, expected, atol=1e-9)
    assert not found.alarm.any()


def test_an_alarm_stays_until_as_much_speaks_for_the_promise() -> None:
    found = chart(np.array([3.0, 3.0, -2.0, -2.0, -0.5, -0.5, 1.0]), limit=5.0)
    assert found.values.tolist() == [3.0, 5.0, 3.0, 1.0, 0.5, 0.0, 1.0]
    assert found.alarm.tolist() == [False, True, True, True, True, False, False]


def test_outcomes_count_by_how_much_likelier_another_truth_makes_them() -> None:
    steps = increments(np.array([0.8, 0.8]), np.array([True, False]), 0.6)
    assert steps["vanished"] == pytest.approx([math.log(0.6 / 0.8), math.log(0.4 / 0.2)])
    # Odds of 4 become 4 exp(-0.5).
    lower = 4 * math.exp(-0.5) / (1 + 4 * math.exp(-0.5))
    assert steps["lower"] == pytest.approx([math.log(lower / 0.8), math.log((1 - lower) / 0.2)])


def test_a_single_outcome_is_bounded_however_sure_the_model_was() -> None:
    steps = increments(np.array([1.0, 0.0]), np.array([False, True]), 0.5)
    assert all(np.isfinite(values).all() and values.max() < 4.0 for values in steps.values())


def test_a_promise_that_holds_reaches_the_limit_as_rarely_as_said() -> None:
    limit = limit_of(KNOWN_WELL).nats
    said = drawn(KNOWN_WELL, (400, HORIZON), seed=1)
    won = np.random.default_rng(2).random(said.shape) < said
    steps = increments(said, won, KNOWN_WELL.base_rate)
    alarms = np.mean(
        [any(chart(step[i], limit).alarm.any() for step in steps.values()) for i in range(400)]
    )
    # 400 runs: three standard errors are 0.03.
    assert abs(alarms - FALSE_ALARMS) < 0.03


def test_a_lost_edge_is_noticed_about_when_it_is_said_to_be() -> None:
    limit = limit_of(KNOWN_WELL)
    said = drawn(KNOWN_WELL, (200, 1500), seed=3)
    won = np.random.default_rng(4).random(said.shape) < KNOWN_WELL.base_rate
    steps = increments(said, won, KNOWN_WELL.base_rate)
    first = [
        min(
            int(alarm.argmax()) if alarm.any() else 1500
            for alarm in (chart(step[i], limit.nats).alarm for step in steps.values())
        )
        for i in range(200)
    ]
    assert np.median(first) == pytest.approx(limit.noticed_after, rel=0.3)


def test_a_promise_learned_from_few_signals_is_given_more_room() -> None:
    assert limit_of(Promise(0.7, DECILES, 150.0)).nats > limit_of(KNOWN_WELL).nats + 1.0


def test_a_promise_that_tells_nothing_apart_cannot_lose_an_edge() -> None:
    limit = limit_of(Promise(0.6, (0.6,) * 9, 500.0))
    assert math.isinf(limit.noticed_after)
    assert math.isfinite(limit.nats)


def test_the_same_promise_has_the_same_limit() -> None:
    # Worked out anew, as another process does.
    assert limit_of.__wrapped__(KNOWN_WELL) == limit_of(KNOWN_WELL)
