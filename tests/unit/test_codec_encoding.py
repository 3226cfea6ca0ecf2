"""What a request is encoded to means the same when it is read, or is refused before it is sent."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_values import values

from protocol import codec, messages, questions

requests = st.one_of(
    st.builds(
        messages.ScoreRequest,
        symbol=st.from_regex(r"[A-Za-z0-9._#+\-/&!^$@]{1,32}", fullmatch=True),
        base_score=st.floats(0, 100),
        signal_id=st.none() | st.text(min_size=1, max_size=128),
        direction=st.sampled_from([None, "BUY", "SELL"]),
        reward_risk=st.none() | st.floats(0.1, 1000),
        generated_at=st.none() | st.floats(0, 1e10) | st.text(max_size=20),
        explain=st.booleans(),
    ),
    st.builds(
        messages.OutcomeRequest,
        outcome=st.booleans() | st.text(min_size=1, max_size=64),
        signal_id=st.text(min_size=1, max_size=128),
        realised_r=st.none() | st.floats(-1e12, 1e12),
    ),
    st.builds(messages.SentimentRequest, symbol=st.just("*"), score=st.floats(0, 100)),
    st.builds(messages.HealthRequest),
)


@settings(max_examples=150)
@given(requests, st.none() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=64))
def test_what_is_encoded_is_decoded_alike(request: Any, request_id: Any) -> None:
    found = codec.decode_request(codec.encode_request(request, request_id))
    assert (found.request, found.request_id, found.ignored) == (request, request_id, ())


@pytest.mark.parametrize(
    "fields",
    [
        {"base_score": 101.0},
        {"base_score": math.nan},
        {"base_score": "75"},
        {"base_score": 50.0, "symbol": "EUR USD"},
        {"base_score": 50.0, "direction": "UP"},
        {"base_score": 50.0, "timeframe_data": {"M1": [{"open": 1.0}]}},
        {"base_score": 50.0, "pattern": object()},
    ],
)
def test_a_request_that_the_server_would_refuse_is_not_encoded(fields: dict[str, Any]) -> None:
    request = messages.ScoreRequest(**({"symbol": "EURUSD"} | fields))
    with pytest.raises(ValueError, match="score: "):
        codec.encode_request(request)


CANDLE = {"open": 1, "high": 1.5, "low": Decimal(1), "close": np.float32(1.5), "time": "x" * 64}
plausible = st.sampled_from(
    [
        *(1, 1.5, True, None, "BUY", "SELL", "x" * 64, "\U0001f600" * 128, "\ud800", 10**400),
        *(b"BUY", np.float32(1.5), Decimal("1.5"), datetime(2026, 1, 1, tzinfo=UTC)),
        *({}, {"M1": [CANDLE] * 60}, {"M5": [CANDLE | {"more": [[[[0]]]]}]}, []),
    ]
)
signals = st.dictionaries(
    st.sampled_from(messages.ScoreRequest.__struct_fields__), plausible | values, max_size=3
).map(lambda changes: {"symbol": "EURUSD", "base_score": 50.0} | changes)


@settings(max_examples=500)
@given(signals, st.integers(0, 257))
def test_what_was_checked_once_is_encoded_as_if_it_were_checked_again(
    signal: dict[str, Any], count: int
) -> None:
    more = dict(signal)
    symbol, base_score = more.pop("symbol"), more.pop("base_score")
    asked: list[Any] = []
    with suppress(ValueError):  # refused before either encodes it
        asked.append(questions.score(symbol, base_score, more).request)
        asked.append(questions.score_many([signal] * count).request)
    for request in asked:
        again = encoded(codec.encode_request, request)
        assert encoded(codec.encode_checked, request) == again


def encoded(encode: Callable[[messages.Request, int], bytes], request: Any) -> bytes | str:
    try:
        return encode(request, 7)
    except ValueError as error:
        return str(error)


def test_numpy_scalars_are_numbers() -> None:
    request = messages.ScoreRequest(
        symbol="EURUSD", base_score=np.float32(61.5), entry_price=np.float64(1.5)
    )
    found = codec.decode_request(codec.encode_request(request))
    assert found.request == messages.ScoreRequest(symbol="EURUSD", base_score=61.5, entry_price=1.5)


def test_a_truth_of_numpy_is_one_and_no_number() -> None:
    outcome = codec.request_of(messages.OutcomeRequest, outcome=np.bool_(True), signal_id="a")
    assert outcome.outcome is True
    for explain in (True, False):
        request = questions.score("EURUSD", 50.0, {"explain": np.bool_(explain)}).request
        assert request == messages.ScoreRequest(symbol="EURUSD", base_score=50.0, explain=explain)
    with pytest.raises(ValueError, match="base_score"):
        questions.score("EURUSD", np.bool_(True), {})  # type: ignore[arg-type]


class _NotAValue:
    """As pandas' NA: no number, no text, and neither true nor false."""

    def __bool__(self) -> bool:
        raise TypeError("ambiguous")


@pytest.mark.parametrize("value", [_NotAValue(), np.array([1.1, 1.2]), 1 + 2j])
def test_what_is_no_value_is_refused_with_the_name_of_its_field(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^score: .* - at `\$\.entry_price`$"):
        questions.score("EURUSD", 50.0, {"direction": "BUY", "entry_price": value})
    signal = {"symbol": "EURUSD", "base_score": 50.0, "entry_price": value}
    with pytest.raises(ValueError, match=r"^score_many, signal 0: .* - at `\$\.entry_price`$"):
        questions.score_many([signal])
    with pytest.raises(ValueError, match=r"^outcome: .* - at `\$\.realised_r`$"):
        codec.request_of(messages.OutcomeRequest, outcome=True, signal_id="a", realised_r=value)


def test_a_request_over_the_limit_is_not_encoded() -> None:
    signals = [{"pad": "p" * 1024, "n": i} for i in range(256)]
    with pytest.raises(ValueError, match="bytes"):
        codec.encode_request(messages.ScoreManyRequest(signals=signals))
