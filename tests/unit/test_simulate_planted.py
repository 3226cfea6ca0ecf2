"""Samples with a known truth: what is stated of them is so."""

from __future__ import annotations

import numpy as np
import pytest

from protocol.schema import SCHEMA
from training.measure import best_half, calibration_slope
from training.simulate import planted

CROWD = planted.Crowd(size=6.0, shared=0.5, daily=0.15)


@pytest.mark.parametrize("half", [0.72, 0.8, 0.9])
def test_the_edge_is_the_one_that_was_asked_for(half: float) -> None:
    truth = planted.edge(0.7, half)
    p = truth.probability(planted.fresh(60_000, seed=5))
    assert p.mean() == pytest.approx(0.7, abs=0.01)
    assert p[best_half(p)].mean() == pytest.approx(half, abs=0.01)


def test_wins_come_as_often_as_the_truth_says() -> None:
    truth = planted.edge(0.7, 0.85)
    samples = planted.samples(30_000, 300.0, truth, seed=1)
    p = truth.probability(samples.x)
    assert calibration_slope(p, samples.win, np.ones(len(p))) == pytest.approx(1.0, abs=0.06)
    assert samples.win.mean() == pytest.approx(0.7, abs=0.02)


def test_shuffled_labels_say_nothing_of_the_vectors_but_share_their_luck() -> None:
    truth = planted.edge(0.7, 0.9)
    slopes, alike = [], []
    for seed in range(12):
        samples = planted.samples(3_000, 60.0, truth, seed=seed, crowd=CROWD, shuffled=True)
        p = truth.probability(samples.x)
        slopes.append(calibration_slope(p, samples.win, np.ones(len(p))) or 0.0)
        alike.append(np.mean(samples.win[1:] == samples.win[:-1]))
    assert np.mean(slopes) == pytest.approx(0.0, abs=0.15)
    # Neighbours are mostly of one cluster; strangers would agree 58 % of the time.
    assert np.mean(alike) > 0.62


def test_vectors_lie_within_the_schema_and_time_runs_forward() -> None:
    samples = planted.samples(500, 20.0, planted.edge(), seed=2, crowd=CROWD)
    low = np.array([feature.low for feature in SCHEMA.features])
    high = np.array([feature.high for feature in SCHEMA.features])
    assert (samples.x >= low).all()
    assert (samples.x <= high).all()
    assert (np.diff(samples.time_s) >= 0).all()
    assert (samples.end_s > samples.time_s).all()


def test_clusters_leave_fewer_effective_signals() -> None:
    alone = planted.samples(600, 60.0, planted.edge(), seed=3)
    together = planted.samples(600, 60.0, planted.edge(), seed=3, crowd=CROWD)
    assert together.n_effective < 0.5 * alone.n_effective
    assert alone.n_effective > 500


def test_the_same_seed_gives_the_same_samples() -> None:
    one, two = (planted.samples(50, 5.0, planted.edge(), seed=4) for _ in range(2))
    assert np.array_equal(one.x, two.x)
    assert np.array_equal(one.win, two.win)
