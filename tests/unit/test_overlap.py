"""Uniqueness against a walk through time second by second."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.overlap import families, uniqueness

SYMBOLS = ("EURUSD", "GBPUSD", "EURJPY", "BTCUSD", "ETHUSD", "US30")
SIGNALS = st.tuples(st.sampled_from(SYMBOLS), st.integers(0, 40), st.integers(1, 30))


def slow(rows: list[tuple[str, int, int]]) -> list[float]:
    # In half seconds, of which a median of whole ones is a whole number.
    life = int(2 * np.median([length for _, _, length in rows]))
    found = []
    for symbol, start, _ in rows:
        kin = [2 * s for other, s, _ in rows if families(other) & families(symbol)]
        moments = range(2 * start, 2 * start + life)
        found.append(sum(1 / sum(s <= t < s + life for s in kin) for t in moments) / life)
    return found


@settings(max_examples=200)
@given(st.lists(SIGNALS, min_size=1, max_size=25))
def test_it_is_the_mean_share_over_a_signals_life(rows: list[tuple[str, int, int]]) -> None:
    symbol = np.array([row[0] for row in rows])
    start, length = (np.array([row[i] for row in rows], float) for i in (1, 2))
    assert uniqueness(symbol, start, start + length) == pytest.approx(slow(rows))


def test_copies_of_a_signal_weigh_as_much_as_one() -> None:
    weight = uniqueness(np.full(8, "EURUSD"), np.zeros(8), np.full(8, 60.0))
    assert weight.sum() == pytest.approx(1.0)


def test_the_weight_tells_nothing_of_the_outcome() -> None:
    """Of two that begin together the winner runs longer, as to a target that is further away."""
    win = np.random.default_rng(1).random(4000) < 0.5
    start = np.repeat(np.arange(2000.0) * 36_000.0, 2)
    weight = uniqueness(np.tile(["BTCUSD", "ETHUSD"], 2000), start, start + 600.0 + 3000.0 * win)
    assert weight == pytest.approx(0.5)


def test_a_signal_without_a_life_counts() -> None:
    assert uniqueness(np.array(["EURUSD"]), np.zeros(1), np.zeros(1)).tolist() == [1.0]
    assert len(uniqueness(np.array([], np.str_), np.zeros(0), np.zeros(0))) == 0


@pytest.mark.parametrize(
    ("a", "b", "related"),
    [
        ("EURUSD", "USDJPY", True),
        ("EURUSD", "AUDNZD", False),
        ("BTCUSD", "ETHUSDT", True),
        ("BTCUSD", "EURUSD", False),
        ("XAUUSD", "XAGUSD", True),
        ("US30", "NAS100", False),
        ("eurusd.r", "EURUSD", True),
        ("EUR/USD", "EUR_USD", True),
        ("EUR-USD", "USDJPY", True),
        ("AVAXUSDT", "TRX/USD", True),
        ("USDCNY", "USDINR", True),
        ("XAU/USD", "XAGUSD", True),
        ("US_30", "US30", True),
    ],
)
def test_related_are_those_that_share_a_leg_or_a_kind(a: str, b: str, related: bool) -> None:
    assert bool(families(a) & families(b)) == related
