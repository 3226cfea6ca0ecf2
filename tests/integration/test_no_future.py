"""Nothing that happens after a score reaches its sample's features: two futures, one past."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import START_S, Parts, candle, tick

from training.dataset.join import read_dataset
from training.dataset.join_rules import JoinRules
from training.dataset.samples import Samples

SYMBOLS = ("EURUSD", "GBPUSD")
HOLDING_S = 600.0
LATER = st.one_of(
    st.tuples(st.just("tick"), st.sampled_from(SYMBOLS), st.floats(0.5, 2.0)),
    st.tuples(st.just("bar"), st.sampled_from(SYMBOLS), st.floats(0.5, 2.0)),
    st.tuples(st.just("outcome"), st.sampled_from(("OTHER_1", "LATER_0")), st.booleans()),
    st.tuples(st.just("score"), st.sampled_from(SYMBOLS), st.floats(0.0, 100.0)),
)


def past(parts: Parts) -> None:
    """Four signals, scored and ended."""
    parts.warm(*SYMBOLS)
    for at in range(4):
        parts.clock.advance(20.0)
        now_s = parts.clock.utc_s()
        parts.feed(tick(SYMBOLS[at % 2], now_s, 1.1 + at * 1e-4))
        reply = parts.score(
            symbol=SYMBOLS[at % 2],
            base_score=60.0 + at,
            direction="BUY",
            signal_id=f"SIG_{at}",
        )
        assert reply["ok"], reply
    for at in range(4):
        parts.clock.advance(60.0)
        report(parts, f"SIG_{at}", at % 2 == 0)


def report(parts: Parts, signal_id: str, win: bool) -> None:
    ended = {"outcome": "WIN_TP" if win else "LOSS_SL", "closed_at": parts.clock.utc_s()}
    parts.ask("outcome", signal_id=signal_id, **ended)


def future(parts: Parts, events: list[tuple[str, str, Any]]) -> None:
    """Random ticks, bars, outcomes and further signals, each later than the last."""
    for number, (kind, name, value) in enumerate(events):
        parts.clock.advance(30.0)
        now_s = parts.clock.utc_s()
        if kind == "tick":
            parts.feed(tick(name, now_s, float(value)))
        elif kind == "bar":
            parts.feed(candle(name, int(now_s) // 60 - 1, float(value)))
        elif kind == "outcome":
            report(parts, name, bool(value))
        else:
            given = {"base_score": float(value), "direction": "SELL"}
            parts.score(symbol=name, signal_id=f"LATER_{number}", **given)


def samples(folder: Path, events: list[tuple[str, str, Any]]) -> Samples:
    parts = Parts(folder)
    past(parts)
    future(parts, events)
    parts.journal.close()
    data = read_dataset(
        parts.config.journal_path,
        {},
        JoinRules(max_missing=9, max_holding_s=HOLDING_S),
        now_s=START_S + 1e6,
    )
    early = np.isin(data.samples.score_id, data.samples.score_id[:4])
    return data.samples.take(early)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """Those that nothing followed."""
    return samples(tmp_path_factory.mktemp("alone"), [])


@settings(max_examples=25)
@given(events=st.lists(LATER, max_size=12))
def test_whatever_follows_the_samples_are_the_same(
    alone: Samples, events: list[tuple[str, str, Any]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        followed = samples(Path(folder), events)
    assert len(alone) == 4
    for column in ("x", "win", "time_s", "end_s", "direction", "symbol"):
        assert np.array_equal(getattr(alone, column), getattr(followed, column)), column
