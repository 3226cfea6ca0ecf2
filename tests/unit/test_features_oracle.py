"""The stream of ticks and the batch over all of them give the same features."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.feature_oracle import FeatureOracle, Recording

from protocol.schema import FEATURE_NAMES, SCHEMA
from service.features.state import SymbolState
from service.features.vector import compute_vector

DAY_S = 1_700_006_400  # midnight UTC
NEUTRAL = {spec.name: spec.neutral for spec in SCHEMA.features}


def run_and_compare(
    recording: Recording, rng: np.random.Generator, moments: int, ahead_s: tuple[int, ...] = (0,)
) -> int:
    """Stream the recording, compare at random moments; returns how many values were present.

    At each moment *now* is one of `ahead_s` after the newest tick.
    """
    oracle = FeatureOracle(recording)
    state = SymbolState("X")
    count = len(recording.times)
    asked = set(rng.choice(count, size=min(moments, count), replace=False).tolist())
    present = now_s = 0
    columns = (recording.times, recording.bids, recording.asks, recording.deals)
    for i, (time, bid, ask, deal) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
        state.apply_tick(time, bid, ask, deal)
        if i not in asked:
            continue
        direction = int(rng.integers(-1, 2))
        # Now never goes back, but ticks may well come that are behind it.
        now_s = max(now_s, int(time) + int(rng.choice(ahead_s)))
        vector = compute_vector(state, now_s, direction, 70.0, None)
        values = dict(zip(FEATURE_NAMES, vector.values, strict=True))
        for name, expected in oracle.at(i + 1, now_s, direction).items():
            assert (name in vector.missing) == (expected is None), (name, i, now_s)
            if expected is not None:
                present += 1
                assert values[name] == pytest.approx(expected, rel=1e-9, abs=1e-9), (name, i)
            else:
                assert values[name] == NEUTRAL[name]
    return present


def random_recording(rng: np.random.Generator, interval_s: float, gaps: float) -> Recording:
    """A walk of 2,500 ticks with bursts, silences, and deals of which one is 1e9."""
    count = 2500
    steps = rng.exponential(interval_s, count)
    steps[rng.random(count) < 0.2] = 0.0
    silent = rng.random(count) < gaps
    steps[silent] += rng.uniform(60, 900, silent.sum())
    times = np.round(DAY_S - 3600 * rng.integers(0, 6) + np.cumsum(steps), 3)
    mid = 100 * np.exp(np.cumsum(rng.normal(0, 1e-4, count)))
    half = mid * rng.lognormal(-8, 0.7, count)
    deals = np.where(rng.random(count) < rng.choice([0, 0.3, 1]), rng.lognormal(0, 1, count), 0.0)
    if deals.any():
        deals[count // 3] = 1e9
    return Recording(times, mid - half, mid + half, deals)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    interval_s=st.sampled_from([0.5, 3.0, 15.0, 60.0]),
    gaps=st.sampled_from([0.0, 0.002, 0.02]),
    ahead_s=st.sampled_from([(0,), (0, 1, 30), (0, 61, 300)]),
)
def test_stream_and_batch_agree_on_random_ticks(
    seed: int, interval_s: float, gaps: float, ahead_s: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(seed)
    run_and_compare(random_recording(rng, interval_s, gaps), rng, 25, ahead_s)


def test_every_feature_of_the_schema_has_an_oracle() -> None:
    rng = np.random.default_rng(0)
    recording = random_recording(rng, 3.0, 0.0)
    known = FeatureOracle(recording).at(100, int(recording.times[99]), 1)
    given_from_outside = {"sentiment_score", "correlation_check", "base_score"}
    assert set(known) | given_from_outside == set(FEATURE_NAMES)
