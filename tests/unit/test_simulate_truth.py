"""The truth's stated best is the best: against random draws, and against any other choice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.schema import FEATURE_COUNT, FEATURE_NAMES
from training.simulate.truth import (
    TERMS,
    Truth,
    best,
    best_log_loss,
    best_win_rate,
    expected_log_loss,
)

seeds = st.integers(0, 10_000)
strengths = st.floats(0.0, 4.0)
base_rates = st.floats(0.1, 0.9)


def vectors(seed: int, n: int = 200) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.0, 100.0, (n, FEATURE_COUNT))


@settings(max_examples=25)
@given(seed=seeds, strength=strengths, base_rate=base_rates, coverage=st.floats(0.05, 1.0))
def test_stated_best_win_rate_is_what_random_draws_give(
    seed: int, strength: float, base_rate: float, coverage: float
) -> None:
    p = Truth(base_rate, strength).probability(vectors(seed))
    chosen = best(p, max(1, round(coverage * len(p))))
    draws = np.random.default_rng(seed + 1).random((2000, len(chosen))) < p[chosen]
    error = np.sqrt(np.mean(p[chosen] * (1 - p[chosen])) / draws.size)
    assert abs(draws.mean() - best_win_rate(p, coverage)) < 6 * error + 1e-9


@settings(max_examples=25)
@given(seed=seeds, strength=strengths, base_rate=base_rates)
def test_stated_best_log_loss_is_what_random_draws_give(
    seed: int, strength: float, base_rate: float
) -> None:
    p = Truth(base_rate, strength).probability(vectors(seed))
    win = np.random.default_rng(seed + 1).random((2000, len(p))) < p
    losses = -np.where(win, np.log(p), np.log1p(-p))
    error = losses.std() / np.sqrt(losses.size)
    assert abs(losses.mean() - best_log_loss(p)) < 6 * error + 1e-9


@settings(max_examples=50)
@given(seed=seeds, strength=strengths, count=st.integers(1, 200))
def test_no_other_choice_and_no_other_prediction_is_better(
    seed: int, strength: float, count: int
) -> None:
    p = Truth(0.5, strength).probability(vectors(seed))
    rng = np.random.default_rng(seed + 2)
    other = rng.permutation(len(p))[:count]
    assert p[other].mean() <= p[best(p, count)].mean() + 1e-12
    assert expected_log_loss(p, rng.random(len(p))) >= best_log_loss(p)


@given(seed=seeds, base_rate=base_rates)
def test_without_strength_every_signal_wins_alike(seed: int, base_rate: float) -> None:
    assert Truth(base_rate, 0.0).probability(vectors(seed)) == pytest.approx(base_rate)


def test_more_strength_means_more_to_gain() -> None:
    x = vectors(1)
    rates = [best_win_rate(Truth(0.5, s).probability(x), 0.5) for s in (0.0, 0.5, 1.0, 2.0)]
    assert rates == sorted(rates)
    assert rates[0] == pytest.approx(0.5)


def test_probability_is_the_stated_function() -> None:
    x = np.full((1, FEATURE_COUNT), 50.0)
    for term in TERMS:
        x[0, FEATURE_NAMES.index(term.feature)] = term.centre
    at = FEATURE_NAMES.index("tf_alignment")
    x[0, at] += TERMS[0].scale
    odds = np.log(0.3 / 0.7) + 2.0 * TERMS[0].weight
    assert Truth(0.3, 2.0).probability(x)[0] == pytest.approx(1 / (1 + np.exp(-odds)))


def test_features_beyond_the_stated_limit_change_nothing_more() -> None:
    far, further = np.full((1, FEATURE_COUNT), 1e6), np.full((1, FEATURE_COUNT), 1e9)
    truth = Truth()
    assert truth.probability(far) == truth.probability(further)


def test_documentation_states_this_function() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "demo.md").read_text()
    for term in TERMS:
        row = f"| {term.feature} | {term.centre:g} | {term.scale:g} | {term.weight:.2f} |"
        assert row in text
    assert f"logit({Truth().base_rate})" in text
    assert f"`--strength` ({Truth().strength})" in text


@pytest.mark.parametrize(("base_rate", "strength"), [(0.0, 1.0), (1.0, 1.0), (0.5, -0.1)])
def test_impossible_truths_are_refused(base_rate: float, strength: float) -> None:
    with pytest.raises(ValueError, match="lies between"):
        Truth(base_rate, strength)
