"""What goes between the original's records and the wire's, whatever a caller puts into them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from enum import Enum, IntEnum
from typing import Any

import msgspec
import numpy as np
import original_setup
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_values import nested

from protocol import codec, messages
from protocol.ea_feed import Tick, parse
from protocol.market_features import (
    MarketFeatures,
    candles_of,
    metadata_of,
    number,
    outcome_request,
)
from protocol.schema import FEATURE_NAMES, SCHEMA
from protocol.tick_push import tick_frame

ORIGINAL_FEATURES = [
    "atr_volatility",
    "volume_delta",
    "tf_alignment",
    "sentiment_score",
    "whale_activity",
    "spread_quality",
    "correlation_check",
    "session_bonus",
    "momentum_strength",
    "support_resistance",
    "symbol",
    "timestamp",
    "base_score",
]
BASE = messages.ScoreReply(
    status="no_model",
    used_base_score=True,
    original_base_score=61.5,
    final_score=61.5,
    score_scale="base",
    symbol="EURUSD",
)
CANDLE = {"open": 1.0, "high": 1.2, "low": 0.9, "close": 1.1, "time": 1_757_944_800}


def test_the_record_has_the_originals_fields_in_their_order_and_neutral_defaults() -> None:
    record = asdict(MarketFeatures())
    assert [*record] == [*ORIGINAL_FEATURES, "score_id"]
    for feature in SCHEMA.features:
        if feature.neutral is not None and feature.name in record:
            assert record[feature.name] == feature.neutral
    assert record["session_bonus"] == SCHEMA.features[7].constants["else"]


@pytest.mark.parametrize(
    "reply",
    [
        BASE,
        msgspec.structs.replace(
            BASE,
            status="success",
            win_probability=0.6,
            ml_enhanced_score=70.0,
            session_bonus=20.0,
            features={name: float(at) for at, name in enumerate(FEATURE_NAMES)} | {"score_id": "s"},
            explanation=messages.Explanation(bias=0.5, contributions={}, calibration_shift=0.0),
        ),
        msgspec.structs.replace(BASE, status="unreachable", error="away"),
    ],
)
def test_metadata_have_every_original_key_and_are_plain(reply: messages.ScoreReply) -> None:
    metadata = metadata_of(reply, {}, 1_757_944_800.0)
    assert set(metadata) >= original_setup.METADATA
    assert json.loads(json.dumps(metadata)) == metadata
    assert ("error" in metadata) == (reply.error is not None)
    record = MarketFeatures(**metadata["features"])
    assert (record.symbol, record.timestamp, record.base_score) == ("EURUSD", 1_757_944_800.0, 61.5)
    assert record.score_id == reply.features.get("score_id", "")


def test_without_the_model_no_number_is_made_up() -> None:
    metadata = metadata_of(BASE, {}, 0.0)
    unknown = ("win_probability", "ml_confidence", "prediction", "expected_r", "take")
    assert [metadata[key] for key in unknown] == [None] * len(unknown)
    assert (metadata["ml_enhanced_score"], metadata["session_bonus"]) == (61.5, 0.0)


def test_what_the_model_in_shadow_cannot_say_is_none_too() -> None:
    known = dict.fromkeys(messages.ModelView.__struct_fields__[:-2], 0.5)
    there = msgspec.structs.replace(BASE, shadow=messages.ModelView(**known))
    assert metadata_of(there, {}, 0.0)["shadow"] == known | {"expected_r": None, "take": None}


def test_what_no_service_saw_of_the_market_is_said_to_be_missing() -> None:
    away = metadata_of(msgspec.structs.replace(BASE, status="unreachable"), {}, 0.0)
    assert away["missing"] == [name for name in FEATURE_NAMES if name != "base_score"]
    seen = dict.fromkeys(FEATURE_NAMES, 50.0)
    there = msgspec.structs.replace(BASE, features=seen, missing=("whale_activity",))
    assert metadata_of(there, {}, 0.0)["missing"] == ["whale_activity"]


class Several:
    """As a tensor of more than one number."""

    def __float__(self) -> float:
        raise RuntimeError("a tensor with 2 elements cannot be converted to a scalar")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1.0),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (True, None),
        ("1.5", None),
        (math.nan, None),
        (math.inf, None),
        (1e13, None),
        (None, None),
        ([], None),
        (10**400, None),
        (Several(), None),
    ],
)
def test_a_number_is_finite_bounded_and_no_text(value: Any, expected: float | None) -> None:
    assert number(value) == expected


def report(data: dict[str, Any], outcome: Any = True, **features: Any) -> messages.OutcomeRequest:
    return outcome_request("EG_1", MarketFeatures(**features), outcome, data)


def test_the_word_counts_where_there_is_one() -> None:
    # The original's own example takes WIN_TP for a loss: it compares with "WIN".
    assert report({"outcome": "WIN_TP"}, outcome=False).outcome == "WIN_TP"
    assert report({"outcome": "timeout"}, outcome=False).outcome == "timeout"
    assert report({}, outcome=False).outcome is False
    assert report({"outcome": None}).outcome is True
    assert report({}, outcome="LOSS").outcome == "LOSS"
    assert report({}, outcome=np.bool_(True)).outcome is True


@pytest.mark.parametrize(
    "said", [1, 0, 1.0, True, np.int64(1), np.bool_(True), b"WIN", "", "x" * 65]
)
def test_what_is_no_word_leaves_it_at_win_or_not(said: Any) -> None:
    assert report({"outcome": said}, outcome=True).outcome is True
    assert report({"outcome": said}, outcome=False).outcome is False


class Ended(Enum):
    WIN = "WIN_TP"
    LOSS_SL = 2


class Numbered(IntEnum):
    LOSS = 1
    WIN = 2


@pytest.mark.parametrize(
    ("outcome", "word"),
    [(Ended.WIN, "WIN_TP"), (Ended.LOSS_SL, "LOSS_SL"), *((each, each.name) for each in Numbered)],
)
def test_a_member_of_an_enumeration_is_its_word(outcome: Enum, word: str) -> None:
    assert report({"outcome": outcome}).outcome == word
    assert report({}, outcome=outcome).outcome == word


@pytest.mark.parametrize("outcome", [None, -12.5, 2, math.nan, [1.0], np.array([1, 2])])
def test_what_is_no_outcome_is_neither_win_nor_loss(outcome: Any) -> None:
    with pytest.raises(ValueError, match=r"outcome|ambiguous"):
        report({}, outcome=outcome)


def test_what_the_outcome_data_say_is_sent_and_what_is_odd_left_out() -> None:
    request = report(
        {
            "runtime_minutes": 45,
            "max_favorable_pips": 15.5,
            "max_adverse_pips": -3.2,
            "final_pips": "lots",
            "realised_r": math.nan,
            "completed_at": "2025-09-15T14:00:00+00:00",
        },
        score_id="run-1",
    )
    assert request == messages.OutcomeRequest(
        outcome=True,
        signal_id="EG_1",
        score_id="run-1",
        max_favorable_pips=15.5,
        max_adverse_pips=-3.2,
        runtime_seconds=2700.0,
        closed_at="2025-09-15T14:00:00+00:00",
    )


def test_minutes_that_no_number_of_seconds_can_be_are_left_out() -> None:
    request = report({"runtime_minutes": 1e11})
    assert request.runtime_seconds is None
    codec.encode_request(request, 1)


def test_an_end_that_is_none_leaves_it_to_the_other_name() -> None:
    both = {"closed_at": None, "completed_at": 1_757_944_800}
    assert report(both).closed_at == 1_757_944_800
    assert report(both | {"closed_at": 1_757_944_801}).closed_at == 1_757_944_801


@pytest.mark.parametrize("key", ["closed_at", "completed_at"])
def test_an_end_in_milliseconds_is_sent_as_it_is(key: str) -> None:
    assert report({key: 1_757_944_800_250}).closed_at == 1_757_944_800_250


def test_symbol_base_score_and_time_stand_in_for_a_missing_score_id() -> None:
    request = report({}, symbol="EURUSD", base_score=61.5, timestamp=1_757_944_800.0)
    assert (request.symbol, request.base_score, request.scored_at) == (
        "EURUSD",
        61.5,
        1_757_944_800.0,
    )
    assert report({}, symbol="EURUSD", base_score=61.5).scored_at is None
    with pytest.raises(ValueError, match="signal_id or score_id"):
        outcome_request(None, None, True, None)


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary()
anything = nested(leaves, st.text(max_size=5))


@settings(max_examples=200)
@given(
    st.dictionaries(
        st.sampled_from(
            [
                "outcome",
                "runtime_seconds",
                "runtime_minutes",
                "final_pips",
                "realised_r",
                "max_adverse_pips",
                "closed_at",
                "completed_at",
            ]
        ),
        anything,
    ),
    st.dictionaries(
        st.sampled_from(["symbol", "base_score", "timestamp", "score_id"]), anything, max_size=4
    ),
)
def test_any_report_that_can_be_made_can_be_sent(
    data: dict[str, Any], features: dict[str, Any]
) -> None:
    request = outcome_request("EG_1", features, True, data)
    codec.encode_request(request, 1)


ohlcv = dict.fromkeys(("open", "high", "low", "close", "time", "volume"), anything)
candles = st.lists(st.fixed_dictionaries({}, optional=ohlcv) | st.just(CANDLE))


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(["M1", "M5", "M15", "H1"]), anything | candles))
def test_candles_that_are_none_are_left_out(data: dict[str, Any]) -> None:
    kept = candles_of(data)
    request = messages.ScoreRequest(symbol="EURUSD", base_score=1.0, timeframe_data=kept)
    codec.encode_request(request, 1)
    good = sum(bar == CANDLE for bar in data["M1"]) if isinstance(data.get("M1"), list) else 0
    assert len(kept.M1 if kept else []) >= min(good, 60)


class Ambiguous:
    """As a table of pandas: neither true nor false, and a list of names."""

    def __bool__(self) -> bool:
        raise ValueError("the truth value is ambiguous")

    def __iter__(self) -> Iterator[str]:
        return iter(CANDLE)


TABLE = np.array([(1.0, 1.2, 0.9, 1.1)], dtype=[(name, "f8") for name in list(CANDLE)[:4]])


@pytest.mark.parametrize(
    "odd", [Ambiguous(), TABLE, np.zeros((2, 5)), 7, 1.5, object(), b"M1", "M1"]
)
def test_a_timeframe_that_is_no_list_of_candles_costs_the_others_nothing(odd: Any) -> None:
    kept = candles_of({"M1": odd, "M5": [CANDLE]})
    assert kept is not None
    assert (kept.M1, len(kept.M5)) == ([], 1)
    assert candles_of({"M1": odd}) is None
    assert candles_of(odd) is None


def test_a_candles_time_has_two_names() -> None:
    named = CANDLE | {"time": None, "timestamp": CANDLE["time"]}
    assert candles_of({"M1": [named]}) == candles_of({"M1": [CANDLE]})


def test_of_many_candles_the_newest_sixty_are_sent() -> None:
    bars = [CANDLE | {"time": 1_757_944_800 + 60 * at, "extra": "x"} for at in range(200)]
    kept = candles_of({"M1": bars, "M5": [], "H1": bars})
    assert kept is not None
    assert [bar.time for bar in kept.M1] == [float(bar["time"]) for bar in bars[-60:]]
    assert candles_of({"M5": []}) is None


@pytest.mark.parametrize(
    ("stamp", "stamp_s"),
    [
        (1_757_944_800, 1_757_944_800.0),
        (np.float64(1_757_944_800.5), 1_757_944_800.5),
        ("2025.09.15 14:00:00", 1_757_944_800.0),
        (None, 1_700_000_000.0),
    ],
)
def test_a_tick_becomes_a_message_of_the_feed(stamp: Any, stamp_s: float) -> None:
    tick = {"bid": 50_000, "ask": np.float64(50_008), "spread": 0.00016, "volume": 1500}
    frame = tick_frame("BTCUSD", tick | {"timestamp": stamp}, now_s=1_700_000_000.0)
    assert parse(frame) == Tick("BTCUSD", 50_000.0, 50_008.0, 1500.0, stamp_s)


class Ticker(str):
    """A text of a caller's own kind."""

    __slots__ = ()


@pytest.mark.parametrize("symbol", [np.array(["BTCUSD"])[0], Ticker("BTCUSD")])
def test_a_symbol_of_another_class_is_what_it_is(symbol: str) -> None:
    tick = {"bid": np.float32(2), "ask": np.float64(3), "timestamp": np.int64(1_757_944_800)}
    frame = tick_frame(symbol, tick, now_s=1_700_000_000.0)
    assert parse(frame) == Tick("BTCUSD", 2.0, 3.0, 0.0, 1_757_944_800.0)


@pytest.mark.parametrize(
    "tick",
    [
        {},
        {"bid": 1.0},
        {"bid": "1.0", "ask": 1.1},
        {"bid": math.nan, "ask": 1.1},
        {"bid": 1.0, "ask": 1.1, "timestamp": "yesterday"},
        {"bid": 1.0, "ask": 1.1, "timestamp": 12.0},
    ],
)
def test_what_is_no_quote_is_no_tick(tick: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a tick has"):
        tick_frame("EURUSD", tick, now_s=1_700_000_000.0)
