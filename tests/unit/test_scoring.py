"""The blend, break-even, expected R, and the order of reasons for serving the base score."""

from __future__ import annotations

import itertools
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.messages import Signal
from service import scoring
from service.scoring import Terms, Weights

WEIGHTS = Weights(0.4, 0.6, 1.0)
unit = st.floats(0, 1)
hundred = st.floats(0, 100)


@pytest.mark.parametrize(
    ("base", "p", "bonus", "enhanced", "final"),
    [
        (78.0, 0.39, 10.0, 54.6, 64.6),
        (78.0, 0.39, 25.0, 54.6, 79.6),
        (100.0, 1.0, 10.0, 100.0, 100.0),
        (0.0, 0.0, 10.0, 0.0, 10.0),
        (95.0, 0.9, 25.0, 92.0, 100.0),
    ],
)
def test_blend_by_hand(base: float, p: float, bonus: float, enhanced: float, final: float) -> None:
    assert scoring.blend(WEIGHTS, base, p, bonus) == pytest.approx((enhanced, final))


@given(hundred, unit, st.floats(10, 25), st.builds(Weights, unit, unit, st.floats(0, 4)))
def test_a_blend_is_a_score(base: float, p: float, bonus: float, weights: Weights) -> None:
    enhanced, final = scoring.blend(weights, base, p, bonus)
    assert 0 <= enhanced <= final <= 100


def test_terms_as_sent_come_before_terms_worked_out() -> None:
    signal = Signal(
        symbol="A",
        base_score=50,
        entry_price=1.1,
        stop_loss=1.099,
        take_profit=1.102,
        reward_risk=3.0,
        cost_r=0.2,
    )
    assert scoring.trade_terms(signal, 0.0001) == Terms(3.0, 0.2)


def test_terms_from_levels_and_live_spread() -> None:
    signal = Signal(symbol="A", base_score=50, entry_price=1.1, stop_loss=1.099, take_profit=1.102)
    terms = scoring.trade_terms(signal, 0.0001)
    assert terms.reward_risk == pytest.approx(2.0)
    assert terms.cost_r == pytest.approx(0.1)
    assert scoring.trade_terms(signal, None).cost_r == 0.0


def test_without_levels_nothing_is_made_up() -> None:
    assert scoring.trade_terms(Signal(symbol="A", base_score=50), 0.0001) == Terms(None, 0.0)
    only_entry = Signal(symbol="A", base_score=50, entry_price=1.1, take_profit=1.2)
    assert scoring.trade_terms(only_entry, 0.0001) == Terms(None, 0.0)
    no_risk = Signal(symbol="A", base_score=50, entry_price=1.1, stop_loss=1.1, take_profit=1.2)
    assert scoring.trade_terms(no_risk, 0.0001) == Terms(None, 0.0)
    no_reward = Signal(symbol="A", base_score=50, entry_price=1.1, stop_loss=1.0, take_profit=1.1)
    assert scoring.trade_terms(no_reward, None) == Terms(None, 0.0)


def test_a_stop_beside_the_entry_gives_no_more_than_the_wire_takes() -> None:
    entry = 1.1
    levels = {"entry_price": entry, "stop_loss": entry - 1e-9, "take_profit": 1.2}
    signal = Signal(symbol="A", base_score=50, **levels)
    terms = scoring.trade_terms(signal, 0.0001)
    sent = {"symbol": "A", "base_score": 50, **terms._asdict()}
    assert msgspec.convert(sent, Signal).reward_risk == terms.reward_risk == 1000.0
    assert terms.cost_r == 1000.0


prices = st.floats(min_value=5e-324, max_value=1e12)


@given(st.tuples(prices, prices, prices), st.booleans(), st.none() | st.floats(0, 1e12), unit)
def test_no_levels_make_a_term_endless(
    levels: tuple[float, float, float], buys: bool, spread: float | None, p: float
) -> None:
    stop, entry, target = sorted(levels, reverse=not buys)
    signal = Signal(
        symbol="A", base_score=50, entry_price=entry, stop_loss=stop, take_profit=target
    )
    terms = scoring.trade_terms(signal, spread)
    values = (terms.reward_risk, terms.cost_r, scoring.expected_r(p, terms))
    assert all(value is None or math.isfinite(value) for value in values)


def test_break_even_and_expected_r_by_hand() -> None:
    terms = Terms(1.5, 0.05)
    assert scoring.breakeven_probability(terms) == pytest.approx(0.42)
    assert scoring.expected_r(0.42, terms) == pytest.approx(0.0)
    assert scoring.expected_r(0.5, terms) == pytest.approx(0.2)
    assert scoring.breakeven_probability(Terms(None, 0.0)) is None
    assert scoring.expected_r(0.5, Terms(None, 0.0)) is None


@given(unit, st.floats(0.01, 1000), st.floats(0, 1000))
def test_expected_r_is_positive_exactly_above_break_even(p: float, b: float, c: float) -> None:
    terms = Terms(b, c)
    threshold, expected = scoring.breakeven_probability(terms), scoring.expected_r(p, terms)
    assert threshold is not None
    assert expected is not None
    assert math.copysign(1, expected) == math.copysign(1, p - threshold) or (
        math.isclose(p, threshold, abs_tol=1e-9)
    )


def test_take_asks_the_low_end_of_the_interval_for_the_margin() -> None:
    terms = Terms(1.0, 0.0)
    assert scoring.take(0.6, terms, 0.1) is True
    assert scoring.take(0.6, terms, 0.2) is False
    assert scoring.take(0.5, terms, 0.0) is False
    assert scoring.take(0.9, Terms(None, 0.0), 0.0) is None


FINE: dict[str, Any] = {
    "known_symbol": True,
    "feed_is_stale": False,
    "warm": True,
    "mode": "live",
    "has_model": True,
    "model_expired": False,
    "model_wants_direction": False,
    "direction": 1,
    "past_deadline": False,
}
# In the order in which they win.
OBSTACLES = (
    ("deadline", {"past_deadline": True}),
    ("off", {"mode": "off"}),
    ("unknown_symbol", {"known_symbol": False}),
    ("stale_feed", {"feed_is_stale": True}),
    ("warming_up", {"warm": False}),
    ("no_model", {"has_model": False}),
    ("expired_model", {"model_expired": True}),
    ("no_direction", {"model_wants_direction": True, "direction": 0}),
)


def test_every_set_of_obstacles_gives_the_first_of_them() -> None:
    for chosen in itertools.product((False, True), repeat=len(OBSTACLES)):
        obstacles = [o for o, there in zip(OBSTACLES, chosen, strict=True) if there]
        at = FINE | {key: value for _, change in obstacles for key, value in change.items()}
        assert scoring.base_score_reason(**at) == (obstacles[0][0] if obstacles else None)


def test_shadow_and_a_direction_are_no_obstacles() -> None:
    assert scoring.base_score_reason(**FINE | {"mode": "shadow"}) is None
    assert scoring.base_score_reason(**FINE | {"model_wants_direction": True}) is None
    assert scoring.base_score_reason(**FINE | {"direction": 0}) is None
