"""Drift: what is called one and what is not, over many seeds, and the arithmetic by oracles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from builders import training_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import START_S, Parts, published_model

from protocol.schema import FEATURE_COUNT, FEATURE_NAMES
from service.drift import (
    BINS,
    CHI_SQUARED,
    LEAST_PSI,
    MIN_SIGNALS,
    WINDOW,
    Drift,
    bin_counts,
    effective_size,
    examine,
    psi,
)
from service.model.model import Model
from training.models.draft import DECILES

Draw = Callable[[np.random.Generator, int], np.ndarray]
FAMILY = {
    "normal": lambda rng, n: rng.normal(size=n),
    "skewed": lambda rng, n: rng.lognormal(size=n),
    "five values": lambda rng, n: rng.choice(
        [0.0, 25.0, 50.0, 75.0, 100.0], p=[0.07, 0.18, 0.45, 0.12, 0.18], size=n
    ),
    "whole numbers": lambda rng, n: np.round(np.clip(rng.normal(75, 6, size=n), 50, 99)),
    "always the same": lambda rng, n: np.full(n, 50.0),
}


def deciles_of(values: np.ndarray) -> tuple[float, ...]:
    return tuple(np.maximum.accumulate(np.quantile(values, DECILES)).tolist())


def alarms(draw: Draw, n: int, trained_on: int, seeds: int, live: Draw | None = None) -> float:
    count = 0
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        deciles = deciles_of(draw(rng, trained_on))
        count += examine((live or draw)(rng, n), deciles, trained_on).drifting
    return count / seeds


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize(("n", "trained_on"), [(100, 100), (100, 3000), (1000, 300)])
def test_what_does_not_change_is_called_a_drift_less_than_once_in_a_hundred(
    name: str, n: int, trained_on: int
):
    assert alarms(FAMILY[name], n, trained_on, seeds=200) <= 0.01


def test_signals_that_are_alike_their_neighbours_raise_no_more_alarms():
    def persistent(rng: np.random.Generator, n: int) -> np.ndarray:
        noise = rng.normal(size=n + 200) * np.sqrt(1 - 0.9**2)
        values = np.zeros(n + 200)
        for at in range(1, n + 200):
            values[at] = 0.9 * values[at - 1] + noise[at]
        return values[200:]

    assert alarms(FAMILY["normal"], 300, 1000, seeds=100, live=persistent) <= 0.03


@pytest.mark.parametrize(
    ("live", "n"),
    [
        (lambda rng, n: rng.normal(1.0, 1.0, size=n), 100),
        (lambda rng, n: rng.normal(0.6, 1.0, size=n), 300),
        (lambda rng, n: rng.normal(0.0, 2.5, size=n), 300),
        (lambda rng, n: np.full(n, 0.3), 100),  # stuck
    ],
)
def test_a_plain_shift_is_found_nearly_always(live: Draw, n: int):
    assert alarms(FAMILY["normal"], n, 3000, seeds=100, live=live) >= 0.95


def test_another_mix_of_the_same_few_values_is_found():
    def other(rng: np.random.Generator, n: int) -> np.ndarray:
        return rng.choice([0.0, 50.0, 100.0], p=[0.6, 0.1, 0.3], size=n)

    assert alarms(FAMILY["five values"], 300, 3000, seeds=50, live=other) >= 0.95


def test_a_small_change_is_no_drift_however_sure_it_is():
    rng = np.random.default_rng(1)
    found = examine(rng.normal(0.4, 1.0, size=1000), deciles_of(rng.normal(size=100_000)), 1e6)
    assert CHI_SQUARED / found.effective < 0.5 * found.psi
    assert found.psi < found.limit == LEAST_PSI
    assert not found.drifting


def test_a_manifest_may_say_that_there_were_no_samples():
    values = np.random.default_rng(2).normal(size=200)
    none, one, some = (examine(values, deciles_of(values), n) for n in (0.0, 1.0, 50.0))
    assert none == one
    assert some.limit == pytest.approx(CHI_SQUARED * (1 / some.effective + 1 / 50))


def test_the_bound_is_the_quantile_of_chi_squared():
    stats = pytest.importorskip("scipy.stats")
    assert pytest.approx(stats.chi2.ppf(1 - 0.001 / FEATURE_COUNT, BINS - 1)) == CHI_SQUARED


def test_psi_is_that_of_the_shares():
    shares = np.array([0.4, 0.2, 0.1, 0.1, 0.05, 0.05, *[0.025] * 4])
    assert psi((100 * shares - 0.5).tolist()) == pytest.approx(1.4 * np.log(2.0))


def test_psi_under_no_change_is_distributed_as_said():
    n, m = 1000, 4000
    values = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        deciles = np.quantile(rng.normal(size=m), DECILES)
        ordered = np.sort(rng.normal(size=n))
        at = np.searchsorted(ordered, deciles).tolist()
        values.append(psi(bin_counts(at, at, n)) / (1 / n + 1 / m))
    assert np.mean(values) == pytest.approx(9.0, rel=0.08)
    assert np.var(values) == pytest.approx(18.0, rel=0.35)


def gates_of(values: np.ndarray, deciles: tuple[float, ...]) -> tuple[list[int], list[int]]:
    ordered = np.sort(values)
    return (
        np.searchsorted(ordered, deciles, "left").tolist(),
        np.searchsorted(ordered, deciles, "right").tolist(),
    )


def test_without_ties_the_counts_are_a_histogram():
    rng = np.random.default_rng(3)
    values, deciles = rng.normal(size=500), deciles_of(rng.normal(size=400))
    expected, _ = np.histogram(values, [-np.inf, *deciles, np.inf])
    assert bin_counts(*gates_of(values, deciles), 500) == pytest.approx(expected.tolist())


few = st.integers(0, 6).map(float)


@settings(max_examples=150)
@given(
    st.lists(few, min_size=1, max_size=60),
    st.lists(few, min_size=9, max_size=9).map(sorted),
    st.integers(0, 2**32 - 1),
)
def test_ties_are_shared_out_within_their_gates_and_no_other_way_has_a_lesser_psi(
    values: list[float], deciles: list[float], seed: int
):
    below, up_to = gates_of(np.array(values), tuple(deciles))
    counts = bin_counts(below, up_to, len(values))
    heights = np.cumsum(counts)[:-1]
    assert len(counts) == BINS
    assert min(counts) >= -1e-9
    assert sum(counts) == pytest.approx(len(values))
    assert all(
        low - 1e-9 <= h <= high + 1e-9 for low, h, high in zip(below, heights, up_to, strict=True)
    )
    rng = np.random.default_rng(seed)
    for _ in range(20):
        other = np.maximum.accumulate(rng.uniform(below, up_to))
        shared = np.diff([0.0, *np.minimum(other, up_to), len(values)])
        assert psi(counts) <= psi(np.maximum(shared, 0.0).tolist()) + 1e-9


def test_an_effective_size_is_that_of_an_autoregression():
    rng = np.random.default_rng(5)
    values = np.zeros(20_000)
    for at in range(1, len(values)):
        values[at] = 0.6 * values[at - 1] + rng.normal()
    assert effective_size(values) == pytest.approx(20_000 * 0.4 / 1.6, rel=0.15)
    assert effective_size(rng.normal(size=2000)) == pytest.approx(2000, rel=0.2)
    assert effective_size(np.full(100, 7.0)) == 100.0
    assert effective_size(np.array([-1.0, 1.0] * 50)) == 100.0, "none counts for more than one"


def test_an_effective_size_weighs_correlations_over_the_root_of_their_number():
    rng = np.random.default_rng(6)
    values = np.cumsum(rng.normal(size=400)) + rng.normal(size=400)
    centred = values - values.mean()
    lags = range(1, 21)
    rho = [centred[lag:] @ centred[:-lag] / (centred @ centred) for lag in lags]
    divisor = 1 + 2 * sum((1 - lag / 21) * r for lag, r in zip(lags, rho, strict=True))
    assert effective_size(values) == pytest.approx(400 / divisor, rel=1e-9)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return published_model(tmp_path_factory.mktemp("models"), START_S)


def shown(model: Model, rows: np.ndarray, *, step_s: float = 600.0) -> Drift:
    drift = Drift()
    drift.follow(model)
    for at, row in enumerate(rows):
        drift.observe(at * step_s, tuple(row.tolist()))
    for _ in range(FEATURE_COUNT):
        drift.look()
    return drift


def test_the_training_rows_themselves_do_not_drift(model: Model):
    drift = shown(model, training_rows()[0])
    assert set(drift.found) == set(FEATURE_NAMES)
    assert drift.drifting == ()


def test_the_features_that_shifted_are_named_in_order(model: Model):
    rows = training_rows()[0].copy()
    rows[:, 10] = 0.2 * rows[:, 10] + 80.0
    rows[:, 3] = 50.0
    drift = shown(model, rows)
    assert drift.drifting == ("sentiment_score", "base_score")
    assert drift.found["base_score"].psi > drift.found["base_score"].limit


def test_nothing_is_said_of_fewer_than_a_hundred_signals(model: Model):
    rows = np.full((MIN_SIGNALS, FEATURE_COUNT), 99.0)
    assert shown(model, rows[:-1]).found == {}
    assert shown(model, rows).drifting


def test_the_session_is_judged_by_whole_days_only(model: Model):
    rows = np.full((MIN_SIGNALS, FEATURE_COUNT), 99.0)
    assert "session_bonus" not in shown(model, rows, step_s=600.0).found
    assert "session_bonus" in shown(model, rows, step_s=900.0).drifting


def test_old_signals_leave_the_window(model: Model):
    rows, _ = training_rows()
    shifted = np.full((WINDOW, FEATURE_COUNT), 99.0)
    all_rows = np.vstack([shifted, *[rows] * 4])[:-137]
    drift = shown(model, all_rows)
    assert drift.signals == WINDOW
    assert drift.drifting == ()
    assert drift.found == shown(model, all_rows[-WINDOW:]).found


def test_another_model_begins_anew_and_a_review_of_the_same_does_not(model: Model, tmp_path: Path):
    drift = shown(model, np.full((MIN_SIGNALS, FEATURE_COUNT), 99.0))
    drift.follow(model)
    assert drift.signals == MIN_SIGNALS
    drift.follow(published_model(tmp_path, START_S, seed=1))
    assert (drift.signals, drift.found, drift.drifting) == (0, {}, ())
    for at in range(MIN_SIGNALS):
        drift.observe(at * 3600.0, [50.0] * FEATURE_COUNT)
    for _ in range(FEATURE_COUNT):
        drift.look()
    assert set(drift.found) == set(FEATURE_NAMES)


def test_a_look_without_new_signals_changes_nothing_and_without_a_model_neither(model: Model):
    drift = shown(model, training_rows()[0])
    before = dict(drift.found)
    for _ in range(2 * FEATURE_COUNT):
        drift.look()
    assert all(drift.found[name] is before[name] for name in FEATURE_NAMES)
    idle = Drift()
    idle.look()
    assert (idle.signals, idle.found) == (0, {})


def test_signals_that_the_model_was_not_asked_are_none_of_its_window(tmp_path: Path):
    parts = Parts(tmp_path)
    parts.engine.install(published_model(tmp_path / "models", START_S))
    parts.warm()
    statuses = [parts.score(symbol=symbol)["status"] for symbol in ("EURUSD", "USDJPY", "GBPUSD")]
    assert statuses == ["success", "unknown_symbol", "success"]
    assert parts.ask("stats")["drift"]["signals"] == 2
