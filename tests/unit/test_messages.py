"""What may stand in a message, beyond types and bounds."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import messages
from protocol.ea_feed import Tick, encode_tick, parse


@pytest.mark.parametrize(
    ("direction", "stop_loss", "take_profit", "at_fault"),
    [
        ("BUY", 1.0, 1.2, None),
        ("SELL", 1.2, 1.0, None),
        ("BUY", 1.2, None, "stop_loss"),
        ("BUY", 1.1, None, "stop_loss"),
        ("BUY", None, 1.0, "take_profit"),
        ("SELL", 1.0, None, "stop_loss"),
        ("SELL", None, 1.2, "take_profit"),
        (None, 1.2, 1.0, None),
        (None, 1.0, 1.2, None),
        (None, 1.2, 1.3, "take_profit"),
        (None, 1.0, 0.9, "take_profit"),
        (None, None, 0.9, None),
    ],
)
def test_levels_lie_on_their_side_of_the_entry(
    direction: str | None, stop_loss: float | None, take_profit: float | None, at_fault: str | None
) -> None:
    content = {
        "symbol": "EURUSD",
        "base_score": 50,
        "direction": direction,
        "entry_price": 1.1,
        "stop_loss": stop_loss,
        "take_profit": take_profit,
    }
    if at_fault is None:
        msgspec.convert(content, messages.ScoreRequest)
    else:
        with pytest.raises(msgspec.ValidationError, match=at_fault):
            msgspec.convert(content, messages.ScoreRequest)


@settings(max_examples=150)
@given(st.text(st.characters(codec="utf-8"), max_size=34))
def test_whatever_symbol_ticks_have_can_be_scored_and_no_other(symbol: str) -> None:
    in_feed = isinstance(parse(encode_tick(Tick(symbol, 1.0, 1.1, 0.0, 1.7e9))), Tick)
    try:
        msgspec.convert({"symbol": symbol, "base_score": 1}, messages.ScoreRequest)
    except msgspec.ValidationError:
        assert not in_feed
    else:
        assert in_feed


@pytest.mark.parametrize("symbol", ["EURUSD.r", "#AAPL", "US30!", "_X", "BTC/USDT", "$SPX", "^VIX"])
def test_the_names_that_brokers_give(symbol: str) -> None:
    assert msgspec.convert({"symbol": symbol, "base_score": 1}, messages.ScoreRequest)
    assert msgspec.convert({"symbol": symbol, "score": 1}, messages.SentimentRequest)


def test_an_outcome_needs_one_of_the_two_ids() -> None:
    with pytest.raises(ValueError, match="signal_id or score_id"):
        messages.OutcomeRequest(outcome="WIN")
    assert messages.OutcomeRequest(outcome=True, score_id="a").outcome is True


def test_a_refusal_says_which_versions_are_spoken() -> None:
    reply = messages.error_reply("unsupported_version", "v was 2", fallback=61.5, request_id="a")
    assert reply == {
        "v": 1,
        "id": "a",
        "ok": False,
        "error": {"code": "unsupported_version", "message": "v was 2"},
        "fallback": 61.5,
        "versions": [1],
    }


def test_only_a_refusal_that_has_them_carries_field_and_fallback() -> None:
    reply = messages.error_reply("malformed", "no map")
    assert reply["error"] == {"code": "malformed", "message": "no map"}
    assert "fallback" not in reply
