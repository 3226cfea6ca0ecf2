"""The demo's claims are counted from its records."""

from __future__ import annotations

from typing import Any

import pytest

from training.simulate.account import Account, Exchange, Scored
from training.simulate.facts import (
    FEWEST,
    comparison,
    log_loss,
    models,
    percentiles,
    scored_by_model,
)


def scored(number: int, **changes: Any) -> Scored:
    signal = {
        "signal_id": f"S_{number}",
        "symbol": "EURUSD",
        "direction": "BUY",
        "base_score": 75.0,
        "final_score": 80.0,
        "status": "success",
        "win_probability": 0.5,
        "take": False,
        "model_version": "m",
        "reward_risk": 1.5,
        "cost_r": 0.1,
        "p_true": 0.5,
        "win": True,
        "opened_s": 0.0,
        "ends_s": 1.0,
    }
    return Scored(**(signal | changes))


def exchange(model: str | None = None, *, lost: bool = False) -> Exchange:
    return Exchange(1.0, 1.002, model, lost, True, 0.5)


def test_choices_count_wins_truth_and_r() -> None:
    signals = [
        scored(1, p_true=0.9, win=True, take=False, win_probability=0.2),
        scored(2, p_true=0.2, win=False, take=True, win_probability=0.8),
        scored(3, p_true=0.7, win=False, take=False, win_probability=0.7),
        scored(4, p_true=0.4, win=True, take=False, win_probability=0.1),
    ]
    everything, taken, best_taken, half, best_half = comparison(signals)
    assert (everything.n, everything.won) == (4, 0.5)
    assert everything.mean_r == pytest.approx((2 * 1.5 - 2 * 1.0) / 4 - 0.1)
    assert (taken.n, taken.won, taken.expected) == (1, 0.0, 0.2)
    assert (best_taken.n, best_taken.expected) == (1, 0.9)
    assert half.expected == pytest.approx((0.2 + 0.7) / 2)
    assert best_half.expected == pytest.approx((0.9 + 0.7) / 2)


def test_taking_nothing_is_a_choice_without_a_rate() -> None:
    taken = comparison([scored(1), scored(2)])[1]
    assert (taken.n, taken.won, taken.expected, taken.mean_r) == (0, None, None, None)


def test_a_model_that_knows_the_truth_reaches_all_of_it_and_a_constant_nothing() -> None:
    rates = [0.2, 0.8] * FEWEST
    knowing = log_loss([scored(n, p_true=p, win_probability=p) for n, p in enumerate(rates)])
    guessing = log_loss([scored(n, p_true=p, win_probability=0.5) for n, p in enumerate(rates)])
    assert knowing is not None
    assert guessing is not None
    assert knowing.share == pytest.approx(1.0)
    assert guessing.share == pytest.approx(0.0)


def test_nothing_to_know_has_no_share() -> None:
    loss = log_loss([scored(n) for n in range(FEWEST)])
    assert loss is not None
    assert loss.share is None
    assert log_loss([scored(n) for n in range(FEWEST - 1)]) is None


def test_models_are_counted_in_the_order_of_their_first_replies() -> None:
    account = Account()
    for version in (None, "b", "a", "a"):
        account.on_sent()
        account.on_answer(exchange(version), "success", 7.0)
    account.on_sent()
    account.on_answer(exchange(lost=True), "unreachable", 8.0)
    assert list(models(account).items()) == [("none", 1), ("b", 1), ("a", 2)]
    assert account.lost == 1
    assert account.in_flight == 0


def test_requests_in_flight_at_a_models_first_reply_include_it() -> None:
    account = Account()
    for _ in range(3):
        account.on_sent()
    account.on_answer(exchange("m"), "success", 7.0)
    account.on_answer(exchange("m"), "success", 8.0)
    assert account.first_replies["m"] == (7.0, 3)


def test_only_ended_signals_that_a_model_scored_are_compared() -> None:
    account = Account()
    by_base, by_model, still_open = scored(1, model_version=None), scored(2), scored(3)
    for each in (by_base, by_model, still_open):
        account.on_trade(each)
    account.on_closed(by_base)
    account.on_closed(by_model)
    assert scored_by_model(account) == [by_model]


def test_percentiles_of_nothing_are_none() -> None:
    assert percentiles([]) is None
    latency = percentiles([float(n) for n in range(101)])
    assert latency is not None
    assert (latency.p50, latency.p95, latency.longest) == (50.0, 95.0, 100.0)
