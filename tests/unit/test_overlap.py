"""Uniqueness against a walk from one beginning or end to the next, in fractions."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.dataset.overlap import POOLED, families, uniqueness

SYMBOLS = ("EURUSD", "GBPUSD", "EURJPY", "BTCUSD", "ETHUSD", "US30")
LONGEST = 20
SIGNALS = st.tuples(st.sampled_from(SYMBOLS), st.integers(0, 40), st.integers(1, 30))


def life(symbol: str, rows: list[tuple[str, int, int]]) -> Fraction:
    own = [min(length, LONGEST) for other, _, length in rows if other == symbol]
    pooled = Fraction(sum(min(length, LONGEST) for _, _, length in rows), len(rows))
    return (sum(own) + POOLED * pooled) / (len(own) + POOLED)


def slow(rows: list[tuple[str, int, int]]) -> list[float]:
    runs = [(symbol, start, start + life(symbol, rows)) for symbol, start, _ in rows]
    found = []
    for symbol, begin, end in runs:
        kin = [(b, e) for other, b, e in runs if families(other) & families(symbol)]
        at = sorted({begin, end} | {t for run in kin for t in run if begin < t < end})
        shares = (
            (after - t) / sum(b <= t < e for b, e in kin) for t, after in itertools.pairwise(at)
        )
        found.append(float(sum(shares) / (end - begin)))
    return found


@settings(max_examples=200)
@given(st.lists(SIGNALS, min_size=1, max_size=15))
def test_it_is_the_mean_share_over_a_signals_life(rows: list[tuple[str, int, int]]) -> None:
    symbol = np.array([row[0] for row in rows])
    start, length = (np.array([row[i] for row in rows], float) for i in (1, 2))
    assert uniqueness(symbol, start, start + length, LONGEST) == pytest.approx(slow(rows))


def test_the_weight_tells_nothing_of_the_outcome() -> None:
    """Of two that begin together the winner runs longer, as to a target that is further away."""
    win = np.random.default_rng(1).random(4000) < 0.5
    start = np.repeat(np.arange(2000.0) * 36_000.0, 2)
    symbol = np.tile(["BTCUSD", "ETHUSD"], 2000)
    weight = uniqueness(symbol, start, start + 600.0 + 3000.0 * win)
    assert np.average(win, weights=weight) == pytest.approx(win.mean(), abs=1e-3)
    for name in ("BTCUSD", "ETHUSD"):
        own = symbol == name
        assert weight[own] == pytest.approx(weight[own][0])
        # Those of one symbol won a little more often, by chance, and live so much longer.
        assert weight[own][0] == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize("stopped", [0.0, 0.6, 1.0])
def test_where_most_are_stopped_soon_those_that_run_overlap_as_much_as_they_do(stopped: float):
    """One each 600 s, stopped after 300 s or run for 7,200: of each a share by the mean life."""
    n = 5000
    life_s = np.where(np.random.default_rng(2).random(n) < stopped, 300.0, 7200.0)
    start = np.arange(float(n)) * 600.0
    weight = uniqueness(np.full(n, "EURUSD"), start, start + life_s)
    assert weight.mean() == pytest.approx(min(1.0, 600.0 / life_s.mean()), rel=0.05)


def test_a_symbol_of_short_lives_makes_those_of_another_no_shorter():
    start = np.arange(2000.0) * 600.0
    long = np.tile([True, False, False], 2000)
    symbol, begin = np.where(long, "EURUSD", "BTCUSD"), np.repeat(start, 3)
    weight = uniqueness(symbol, begin, begin + np.where(long, 7200.0, 300.0))
    assert weight[long].mean() == pytest.approx(1 / 12, rel=0.05)
    assert weight[~long].mean() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("late", [0, 1, 9, 11, 40])
def test_ends_that_come_days_late_are_not_how_long_the_others_live(late: int) -> None:
    n = 1000
    start = np.arange(float(n)) * 1200.0
    end = start + 900.0
    end[500 : 500 + late] += 3 * 86_400.0
    assert uniqueness(np.full(n, "EURUSD"), start, end, 7500.0).sum() == pytest.approx(n, rel=0.01)


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
