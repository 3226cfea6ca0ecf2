"""From a probability to a decision: the blend, break-even, expected R and the statuses.

Pure arithmetic on numbers that are already known; of the reasons for serving the base
score the first that holds is given.
"""

from __future__ import annotations

from typing import NamedTuple

from protocol.messages import Signal


class Weights(NamedTuple):
    """final = clamp(base_weight * base + model_weight * 100p) + bonus_weight * bonus."""

    base: float
    model: float
    session_bonus: float


class Terms(NamedTuple):
    """What a signal can win and costs, in R. `reward_risk` is None where it is unknown."""

    reward_risk: float | None
    cost_r: float


MAX_TERM_R = 1000.0
"""Bound of reward and cost, as on the wire: a stop next to the entry makes them endless."""


def clamp100(value: float) -> float:
    """`value` cut to 0..100."""
    return min(100.0, max(0.0, value))


def blend(
    weights: Weights, base_score: float, probability: float, session_bonus: float
) -> tuple[float, float]:
    """(enhanced, final), both 0..100; final adds the session bonus and is cut again."""
    enhanced = clamp100(weights.base * base_score + weights.model * 100.0 * probability)
    return enhanced, clamp100(enhanced + weights.session_bonus * session_bonus)


def trade_terms(signal: Signal, spread: float | None) -> Terms:
    """Reward and cost of a signal in R: as sent, else from its levels and the live spread.

    R is the distance from entry to stop. One round trip costs one spread.
    """
    risk = None
    if signal.entry_price is not None and signal.stop_loss is not None:
        risk = abs(signal.entry_price - signal.stop_loss)
    reward_risk = signal.reward_risk
    if reward_risk is None and risk and signal.take_profit is not None:
        assert signal.entry_price is not None
        reward_risk = min(abs(signal.take_profit - signal.entry_price) / risk, MAX_TERM_R) or None
    cost_r = signal.cost_r
    if cost_r is None:
        cost_r = min(spread / risk, MAX_TERM_R) if risk and spread is not None else 0.0
    return Terms(reward_risk, cost_r)


def breakeven_probability(terms: Terms) -> float | None:
    """p* at which expected R is nil: (1 + c) / (1 + b). Above 1: no trade can pay."""
    if terms.reward_risk is None:
        return None
    return (1.0 + terms.cost_r) / (1.0 + terms.reward_risk)


def expected_r(probability: float, terms: Terms) -> float | None:
    """E[R] = p b - (1 - p) - c."""
    if terms.reward_risk is None:
        return None
    return probability * terms.reward_risk - (1.0 - probability) - terms.cost_r


def take(probability_low: float, terms: Terms, margin_r: float) -> bool | None:
    """Whether expected R at the low end of the interval clears the margin."""
    low_r = expected_r(probability_low, terms)
    return None if low_r is None else low_r > margin_r


def base_score_reason(
    *,
    known_symbol: bool,
    feed_is_stale: bool,
    warm: bool,
    mode: str,
    has_model: bool,
    model_expired: bool,
    model_wants_direction: bool,
    direction: int,
    past_deadline: bool,
) -> str | None:
    """Why the base score is served and the model not asked; None: ask it.

    The data come first: an operator without a model yet still wants to learn that the
    feed is broken. Shadow is no reason here: the model is asked, its answer kept apart.
    """
    if past_deadline:
        return "deadline"
    if mode == "off":
        return "off"
    if not known_symbol:
        return "unknown_symbol"
    if feed_is_stale:
        return "stale_feed"
    if not warm:
        return "warming_up"
    if not has_model:
        return "no_model"
    if model_expired:
        return "expired_model"
    if model_wants_direction and direction == 0:
        return "no_direction"
    return None
