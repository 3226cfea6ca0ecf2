"""A share of wins that moves is no edge: only what tells signals of one time apart is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from sample_rows import sample_rows

from service.arrays import Floats
from training.candidate import final_calibration
from training.dataset.join_rules import Rhythm
from training.dataset.samples import Samples
from training.gate import Checks, Unseen, judge
from training.logit import logit, sigmoid
from training.report.coverage import above_terms, rating, taken
from training.walk_forward import Fit, WalkForward, walk_forward

N = 1500
HOURLY = Rhythm(embargo_s=14_400.0, holding_s=3_600.0)
SOUND = Checks(parity=0.0, row_s=4e-5)

MOVING: dict[str, Callable[[Floats], Floats]] = {
    "rises": lambda t: 0.35 + 0.3 * t,
    "falls": lambda t: 0.65 - 0.3 * t,
    "jumps": lambda t: np.where(t > 0.5, 0.65, 0.4),
}


def knows(edge: float) -> Fit:
    """A forest that says how many had won of what trained it, and `edge` by the momentum."""

    def fit(part: Samples) -> Callable[[Floats], Floats]:
        odds = logit(np.array(part.base_rate))
        return lambda x: sigmoid(odds + edge * np.sign(x[:, 8] - 50.0) + 1e-3 * (x[:, 0] - 50.0))

    return fit


@cache
def walked(kind: str, seed: int, edge: float = 0.0) -> WalkForward:
    rows = sample_rows(N, seed=seed, reward_risk=np.ones(N), cost_r=np.full(N, 0.05))
    odds = logit(MOVING[kind](np.linspace(0.0, 1.0, N))) + edge * np.sign(rows.x[:, 8] - 50.0)
    win = np.random.default_rng(seed + 1000).random(N) < sigmoid(odds)
    drawn = sample_rows(N, seed=seed, win=win, reward_risk=rows.reward_risk, cost_r=rows.cost_r)
    return walk_forward(drawn, knows(edge), HOURLY)


@pytest.mark.parametrize("kind", MOVING)
def test_the_gate_takes_no_share_of_wins_that_moves_for_an_edge(kind: str) -> None:
    verdicts = [judge(walked(kind, seed), SOUND) for seed in range(10)]
    passed = [not any("the constant" in why for why in verdict.failed) for verdict in verdicts]
    assert sum(passed) <= 1
    assert all(abs(verdict.metrics["challenger"]["auc"] - 0.5) < 0.08 for verdict in verdicts)


@pytest.mark.parametrize("kind", MOVING)
def test_the_better_half_is_no_better_where_only_the_share_of_wins_moves(kind: str) -> None:
    gains = 0
    for seed in range(10):
        walk = walked(kind, seed)
        score = rating(walk.level(walk.p), walk.test).score
        made = taken(score, walk.p, walk.test, 0.5).more_wins
        gains += made is not None and made.better
    assert gains <= 1


@pytest.mark.parametrize("kind", MOVING)
def test_an_edge_is_found_while_the_share_of_wins_moves(kind: str) -> None:
    walk = walked(kind, 1, edge=0.6)
    verdict = judge(walk, SOUND)
    assert verdict.published, verdict.failed
    assert final_calibration(walk, walk.past).slope == pytest.approx(1.0, abs=0.35)


def learns(part: Samples) -> Callable[[Floats], Floats]:
    """A forest of one split: how many had won above and below 50 of the first feature."""
    above = part.x[:, 0] > 50.0
    shares = [
        (np.sum(part.weight[at] * part.win[at]) + 5.0) / (np.sum(part.weight[at]) + 10.0)
        for at in (above, ~above)
    ]
    return lambda x: np.where(x[:, 0] > 50.0, *shares) + 1e-4 * (x[:, 1] - 50.0)


def changed_broker(seed: int) -> WalkForward:
    """More win from half-way on, and a feature is higher: of one time it tells nothing."""
    rows = sample_rows(N, seed=seed, reward_risk=np.ones(N), cost_r=np.full(N, 0.05))
    later = np.arange(N) >= N // 2
    x = rows.x.copy()
    x[:, 0] = np.where(later, 30.0, 0.0) + 0.7 * x[:, 0]
    win = np.random.default_rng(seed + 1000).random(N) < np.where(later, 0.6, 0.4)
    return walk_forward(replace(rows, x=x, win=win), learns, HOURLY)


def test_a_feature_that_changes_once_as_the_share_of_wins_does_is_no_edge() -> None:
    published = gains = 0
    for seed in range(20):
        walk = changed_broker(seed)
        level = walk.level(walk.p)
        half = taken(rating(level, walk.test).score, walk.p, walk.test, 0.5).more_wins
        terms = above_terms(level, walk.test)
        published += judge(walk, SOUND).published
        gains += any(made is not None and made.better for made in (half, terms))
    assert published <= 2
    assert gains <= 2


def test_a_champion_is_held_against_its_equal_on_the_same_level() -> None:
    walk = changed_broker(1)
    at = walk.groups >= np.median(walk.groups)
    champion = Unseen("20260101T000000Z-000000", at, walk.p[at])
    found = judge(walk, SOUND, champion).metrics["champion"]
    assert found["r_taken"] == found["r_challenger"]


def test_a_constant_ranks_nothing_however_often_it_changes() -> None:
    walk = walked("rises", 1)
    constant = walk.others["constant"]
    assert np.ptp(constant) > 0.05
    assert np.ptp(walk.level(constant)) == 0.0
    assert judge(walk, SOUND).metrics["constant"]["auc"] == 0.5
    served = judge(replace(walk, p=constant), SOUND)
    assert "the model's log loss was that of a constant. Not established" in served.reason
