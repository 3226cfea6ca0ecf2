"""The hold-out: nothing of the future trains, and the numbers are what they say."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.candidate import judge
from training.holdout import Fit, NotEnough, final_calibration, hold_out, measure, split
from training.samples import Floats, Samples


def samples(n: int, *, edge: float = 0.0, seed: int = 0, holding_s: float = 60.0) -> Samples:
    """Wins with probability 0.5 +- `edge` as momentum is above or below 50; 600 s apart."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 100, (n, 11))
    win = rng.random(n) < 0.5 + edge * np.where(x[:, 8] > 50, 1.0, -1.0)
    time_s = 600.0 * np.arange(n)
    unknown = np.full(n, np.nan)
    return Samples(
        x=x,
        win=win,
        time_s=time_s,
        end_s=time_s + holding_s,
        weight=np.ones(n),
        realised_r=unknown,
        reward_risk=unknown,
        cost_r=unknown,
        win_probability=unknown,
        final_score=x[:, 10],
        direction=np.ones(n, dtype=np.int8),
        backfilled=np.zeros(n, dtype=np.bool_),
        symbol=np.full(n, "EURUSD"),
        pattern=np.full(n, ""),
        score_id=np.array([str(i) for i in range(n)]),
        label_source=np.full(n, "truth_log"),
    )


def knows_the_edge(edge: float) -> Fit:
    """A predictor that was told the truth: what is measured is then known."""

    def predict(x: Floats) -> Floats:
        return 0.5 + edge * np.where(x[:, 8] > 50, 1.0, -1.0)

    return lambda _part: predict


@settings(max_examples=200)
@given(
    starts=st.lists(st.integers(0, 1000), min_size=10, max_size=60),
    data=st.data(),
)
def test_no_training_row_was_open_when_the_test_began(
    starts: list[int], data: st.DataObject
) -> None:
    n = len(starts)
    holding = data.draw(st.lists(st.integers(1, 500), min_size=n, max_size=n))
    rows = samples(n)
    time_s = np.sort(np.array(starts, dtype=np.float64))
    rows = replace(rows, time_s=time_s, end_s=time_s + np.array(holding, dtype=np.float64))
    try:
        train, test, purged = split(rows)
    except NotEnough:
        return
    began_s = test.time_s.min()
    assert train.end_s.max() < began_s
    # Everything that could train does, and what is purged is the rest of the past.
    assert len(train) == sum(end_s < began_s for end_s in rows.end_s)
    assert len(train) + purged + len(test) == n


def test_signals_of_one_moment_are_not_divided() -> None:
    rows = samples(40)
    rows = replace(rows, time_s=np.repeat(np.arange(4) * 600.0, 10))
    train, test, _ = split(replace(rows, end_s=rows.time_s + 60))
    assert not set(train.time_s) & set(test.time_s)


def test_metrics_agree_with_their_definitions() -> None:
    p, win = np.array([0.8, 0.6, 0.3, 0.1]), np.array([True, False, True, False])
    found = measure(p, win, np.ones(4))
    assert found["log_loss"] == pytest.approx(-math.log(0.8 * 0.4 * 0.3 * 0.9) / 4)
    assert found["brier"] == pytest.approx((0.04 + 0.36 + 0.49 + 0.01) / 4)
    # Of the four pairs of a win and a loss, three are in the right order.
    assert found["auc"] == pytest.approx(0.75)
    assert found["win_rate_top_half"] == 0.5
    assert measure(np.full(4, 0.5), win, np.ones(4))["auc"] == 0.5


def test_certainty_that_fails_costs_a_finite_loss() -> None:
    found = measure(np.array([0.0, 1.0]), np.array([True, False]), np.ones(2))
    assert math.isfinite(found["log_loss"])


def test_true_probabilities_beat_the_constant_by_what_they_know() -> None:
    edge = 0.3
    result = hold_out(samples(4000, edge=edge), knows_the_edge(edge))
    entropy = -(0.8 * math.log(0.8) + 0.2 * math.log(0.2))
    # Sampling noise of 1,200 rows, and calibration that has to find that it is not needed.
    assert result.gain == pytest.approx(math.log(2) - entropy, abs=0.03)
    assert result.metrics["challenger"]["win_rate_top_half"] == pytest.approx(0.8, abs=0.05)
    assert judge(result).published


def test_an_edge_that_turns_is_not_published() -> None:
    rows = samples(1200, edge=0.3)
    win = rows.win.copy()
    win[840:] = ~win[840:]
    result = hold_out(replace(rows, win=win), knows_the_edge(0.3))
    verdict = judge(result)
    assert not verdict.published
    assert "no better than guessing" in verdict.reason


def test_the_training_part_never_sees_the_test_labels() -> None:
    rows = samples(500, edge=0.2)
    seen: list[Samples] = []

    def spy(part: Samples) -> object:
        seen.append(part)
        return knows_the_edge(0.2)(part)

    hold_out(rows, spy)  # type: ignore[arg-type]
    assert max(part.time_s.max() for part in seen) < rows.time_s[350]


@settings(max_examples=50)
@given(st.lists(st.integers(0, 3000), min_size=60, max_size=120), st.integers(1, 400))
def test_every_answer_is_given_by_what_had_ended_before_its_question(
    starts: list[int], holding_s: int
) -> None:
    rows = samples(len(starts), holding_s=holding_s)
    time_s = np.sort(np.array(starts, dtype=np.float64))
    rows = replace(rows, time_s=time_s, end_s=time_s + holding_s)
    asked_s = dict(zip(rows.x[:, 0].tolist(), time_s.tolist(), strict=True))

    def fit(part: Samples) -> object:
        def predict(x: Floats) -> Floats:
            assert part.end_s.max() < min(asked_s[value] for value in x[:, 0].tolist())
            return np.clip(x[:, 8] / 100, 0.01, 0.99)

        return predict

    try:
        result = hold_out(rows, fit)  # type: ignore[arg-type]
    except NotEnough:
        return
    # Each row of the past is asked once, and stands beside its own answer.
    assert len(set(result.past.score_id)) == len(result.past)
    assert np.array_equal(result.past_raw, np.clip(result.past.x[:, 8] / 100, 0.01, 0.99))


def test_changing_the_future_leaves_the_calibration_of_the_past() -> None:
    rows = samples(500, edge=0.2)
    win = rows.win.copy()
    win[400:] = ~win[400:]
    before = hold_out(rows, knows_the_edge(0.2))
    after = hold_out(replace(rows, win=win), knows_the_edge(0.2))
    assert np.array_equal(before.p, after.p)


def test_final_calibration_rests_on_every_unseen_answer() -> None:
    rows = samples(600, edge=0.3)
    result = hold_out(rows, knows_the_edge(0.3))
    assert len(result.past) + len(result.test) == 252 + 180
    assert final_calibration(result, rows).base_rate == pytest.approx(rows.base_rate)


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_too_few_samples_are_not_enough(n: int) -> None:
    with pytest.raises(NotEnough):
        hold_out(samples(n), knows_the_edge(0.1))


def test_a_future_without_a_loss_is_not_enough() -> None:
    rows = samples(100)
    win = rows.win.copy()
    win[70:] = True
    with pytest.raises(NotEnough, match="test part"):
        hold_out(replace(rows, win=win), knows_the_edge(0.1))
