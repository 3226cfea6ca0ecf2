"""Correlation over common minutes of closed bars."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.features.correlation import by_activity, compared, independence
from service.features.state import SymbolState

NOW_M = 19_000 * 1440 + 720


def symbol(name: str, closes: dict[int, float]) -> SymbolState:
    """Candles with these closes; the keys are minutes before now (1 is the last closed)."""
    state = SymbolState(name)
    for ago in sorted(closes, reverse=True):
        close = closes[ago]
        assert state.add_candle(NOW_M - ago, close, close, close, close)
    return state


def zigzag(bars: int, first: int = 1) -> dict[int, float]:
    """Closes that go up and down by turns, so that returns are +ln(1.01), -ln(1.01), ..."""
    return {ago: 100.0 * 1.01 ** (ago % 2) for ago in range(first, first + bars)}


def correlation(target: SymbolState, others: list[SymbolState]) -> float | None:
    return independence(compared(target, by_activity(others, NOW_M), NOW_M))


def test_twenty_common_minutes_are_needed() -> None:
    target = symbol("A", zigzag(61))
    assert correlation(target, [symbol("B", zigzag(20))]) is None
    assert correlation(target, [symbol("B", zigzag(21))]) == pytest.approx(0.0)


def test_a_return_needs_both_of_its_minutes() -> None:
    # 40 bars, but every third minute is missing: of each two bars only one has a return.
    sparse = {ago: close for ago, close in zigzag(60).items() if ago % 3}
    assert len(sparse) == 40
    returns = symbol("B", sparse).minute_returns(NOW_M)
    assert np.count_nonzero(~np.isnan(returns.values)) == returns.there.bit_count() == 20


def test_only_the_last_60_minutes_count() -> None:
    target = symbol("A", zigzag(200))
    assert correlation(target, [symbol("B", zigzag(100, first=45))]) is None


def test_a_pair_without_variance_is_skipped() -> None:
    target = symbol("A", zigzag(61))
    still = symbol("B", dict.fromkeys(range(1, 62), 50.0))
    grows = symbol("C", {ago: 50.0 * 1.001**-ago for ago in range(1, 62)})
    assert correlation(target, [still]) is None
    assert correlation(target, [grows]) is None
    assert correlation(still, [target]) is None
    assert correlation(target, [still, grows, symbol("D", zigzag(61))]) == (pytest.approx(0.0))


def test_a_symbol_is_not_compared_with_itself() -> None:
    target = symbol("A", zigzag(61))
    assert correlation(target, [target]) is None


def test_a_bar_that_is_over_counts_without_being_rolled() -> None:
    target, other = symbol("A", zigzag(30, first=2)), symbol("B", zigzag(30, first=2))
    for state in (target, other):
        state.apply_tick((NOW_M - 1) * 60.0, 120.0, 120.0, 0.0)
    assert correlation(target, [other]) == pytest.approx(0.0)
    assert not np.isnan(target.minute_returns(NOW_M).values[-1])


def test_the_32_most_active_are_taken_and_ties_go_by_name() -> None:
    target = symbol("T", zigzag(61))
    alike = [symbol(f"S{i:02}", zigzag(61)) for i in range(31)]
    quarter = {ago: 100.0 * 1.01 ** (ago % 4 == 1) for ago in range(1, 62)}
    rest = [symbol("A", quarter), symbol("B", zigzag(61)), symbol("C", zigzag(61))]
    begin = (NOW_M - 5) * 60.0
    for i, state in enumerate([*alike, *rest]):
        # All alike have two ticks, A, B and C one each: of those A is first by name.
        for second in range(2 if i < 31 else 1):
            state.apply_tick(begin + second, 100.0, 100.0, 0.0)
    # Of two moves of the target A makes one: half its variance in common, rho = sqrt(1/2).
    expected = 100 * (1 - (31 + math.sqrt(0.5)) / 32)
    for others in ([*alike, *rest], [*reversed(rest), *alike]):
        assert correlation(target, others) == pytest.approx(expected)


def test_active_is_who_had_ticks_in_the_20_minutes_before_this_one() -> None:
    target = symbol("T", zigzag(61))
    alike = [symbol(f"S{i:02}", zigzag(61)) for i in range(32)]
    quarter = {ago: 100.0 * 1.01 ** (ago % 4 == 1) for ago in range(1, 62)}
    now, before = symbol("A", quarter), symbol("B", quarter)

    def trade(state: SymbolState, *seconds: int) -> None:
        for second in seconds:
            state.apply_tick(NOW_M * 60.0 + second, 100.0, 100.0, 0.0)

    for state in alike:
        trade(state, *range(-300, -292))
    trade(now, *range(60))
    # Six of these are in time. A gap of more than three minutes would forget those before.
    trade(before, *range(-1211, -1201), *range(-1201, -1, 179))
    assert correlation(target, [now, before, *alike]) == pytest.approx(0.0)


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 8), gaps=st.sampled_from([0.0, 0.1]))
def test_it_agrees_with_corrcoef(seed: int, count: int, gaps: float) -> None:
    rng = np.random.default_rng(seed)
    closes = [
        {
            ago: float(100 * np.exp(x))
            for ago, x in enumerate(np.cumsum(rng.normal(0, 1e-3, 70)), start=1)
            if rng.random() >= gaps
        }
        for _ in range(count + 1)
    ]
    states = [symbol(f"S{i}", each) for i, each in enumerate(closes)]
    returns = [
        {ago: math.log(c[ago] / c[ago + 1]) for ago in range(1, 61) if {ago, ago + 1} <= c.keys()}
        for c in closes
    ]
    rhos = []
    for other in returns[1:]:
        common = sorted(returns[0].keys() & other.keys())
        if len(common) >= 20:
            pair = np.corrcoef([returns[0][t] for t in common], [other[t] for t in common])
            rhos.append(abs(pair[0, 1]))
    expected = pytest.approx(100 * (1 - np.mean(rhos)), rel=1e-9) if rhos else None
    assert correlation(states[0], states[1:]) == expected
