"""Whatever bytes come, a typed request or a DecodeError leaves, and limits hold at their edge."""

from __future__ import annotations

import math
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_values import values

from protocol import codec, limits, messages
from protocol.errors import DecodeError

CODES = {"malformed", "unsupported_version", "unknown_op", "invalid_field", "too_large"}
SCORE = {"v": 1, "op": "score", "id": 7, "symbol": "EURUSD", "base_score": 61.5}


def decoded(body: bytes) -> codec.Decoded | DecodeError:
    try:
        return codec.decode_request(body)
    except DecodeError as error:
        return error


def refused(body: bytes) -> DecodeError:
    error = decoded(body)
    assert isinstance(error, DecodeError)
    return error


@pytest.mark.parametrize(
    ("value", "told"),
    [(msgpack.ExtType(0, b"\0"), "an ext"), (msgpack.Timestamp(1), "an ext"), (b"x", "a bin")],
    ids=["undefined", "time", "bytes"],
)
def test_who_sends_what_the_wire_has_not_is_told_so_in_its_own_words(
    value: object, told: str
) -> None:
    message = refused(msgpack.packb(SCORE | {"direction": value})).message
    assert f"there is {told} in it" in message


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "malformed"),
        (b"\x00", "malformed"),
        (b"\xc1", "malformed"),
        (b'{"op":"score"}', "malformed"),
        (msgpack.packb([1, 2]), "malformed"),
        (msgpack.packb(None), "malformed"),
        (msgpack.packb({1: 2}), "malformed"),
        (msgpack.packb({b"v": 1}), "malformed"),
        (msgpack.packb({"v": 1, "op": "health", "x": b"binary"}), "malformed"),
        (msgpack.packb({"v": 1, "op": "health", "x": msgpack.Timestamp(1)}), "malformed"),
        (msgpack.packb({"v": 1, "op": "health"})[:-1], "malformed"),
        (msgpack.packb({"v": 1, "op": "health"}) + b"\x01", "malformed"),
        (b"\x81\xa1v\xa2\xff\xfe", "malformed"),
        (b"\xdf\xff\xff\xff\xff", "malformed"),
        (b"\x91" * 2000, "malformed"),
        (msgpack.packb({"v": 1, "op": "health"}) + b"\0" * limits.MAX_BODY_BYTES, "too_large"),
        (msgpack.packb({"op": "health"}), "unsupported_version"),
        (msgpack.packb({"v": 2, "op": "health"}), "unsupported_version"),
        (msgpack.packb({"v": 1.0, "op": "health"}), "unsupported_version"),
        (msgpack.packb({"v": True, "op": "health"}), "unsupported_version"),
        (msgpack.packb({"v": 1}), "unknown_op"),
        (msgpack.packb({"v": 1, "op": "SCORE"}), "unknown_op"),
        (msgpack.packb({"v": 1, "op": ["score"]}), "unknown_op"),
        (msgpack.packb({"v": 1, "op": "health", "id": 1.5}), "invalid_field"),
        (msgpack.packb({"v": 1, "op": "health", "id": "x" * 65}), "invalid_field"),
        (msgpack.packb({"v": 1, "op": "health", "id": [1]}), "invalid_field"),
        (msgpack.packb({"v": 1, "op": "outcome", "outcome": "WIN"}), "invalid_field"),
        (msgpack.packb({"v": 1, "op": "score_many", "signals": []}), "invalid_field"),
        (msgpack.packb({"v": 1, "op": "score_many", "signals": [1]}), "invalid_field"),
        (msgpack.packb({"v": 1, "op": "sentiment", "symbol": "*", "score": 101}), "invalid_field"),
    ],
)
def test_a_body_that_is_no_request_is_refused_with_its_code(body: bytes, code: str) -> None:
    assert refused(body).code == code


def test_who_sends_json_is_told_so() -> None:
    assert "JSON" in refused(b'{"v": 1, "op": "health"}').message


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"symbol": None}, "symbol"),
        ({"symbol": ""}, "symbol"),
        ({"symbol": "EUR USD"}, "symbol"),
        ({"symbol": "EURUSD\n"}, "symbol"),
        ({"symbol": "x" * 33}, "symbol"),
        ({"symbol": "*"}, "symbol"),
        ({"direction": "LONG"}, "direction"),
        ({"direction": "buy"}, "direction"),
        ({"entry_price": 0}, "entry_price"),
        ({"entry_price": -1.1}, "entry_price"),
        ({"entry_price": math.inf}, "entry_price"),
        ({"stop_loss": math.nan}, "stop_loss"),
        ({"reward_risk": 0}, "reward_risk"),
        ({"cost_r": -0.1}, "cost_r"),
        ({"deadline_ms": 0}, "deadline_ms"),
        ({"sentiment": 100.5}, "sentiment"),
        ({"signal_id": ""}, "signal_id"),
        ({"signal_id": 12}, "signal_id"),
        ({"explain": 1}, "explain"),
        ({"timeframe_data": []}, "timeframe_data"),
        (
            {"timeframe_data": {"M1": [{"open": 1, "high": 1, "low": 1}]}},
            "timeframe_data.M1[0].close",
        ),
        (
            {"direction": "BUY", "entry_price": 1.1, "stop_loss": 1.2},
            "stop_loss",
        ),
        (
            {"direction": "SELL", "entry_price": 1.1, "take_profit": 1.2},
            "take_profit",
        ),
    ],
)
def test_a_wrong_field_is_named_and_the_base_score_understood(
    change: dict[str, Any], field: str
) -> None:
    error = refused(msgpack.packb(SCORE | change))
    assert (error.code, error.fallback, error.request_id) == ("invalid_field", 61.5, 7)
    assert error.field is not None
    assert error.field.startswith(field)


@pytest.mark.parametrize("base", [None, "75", True, -0.1, 100.1, math.nan, [75]])
def test_a_base_score_that_is_none_is_no_fallback(base: Any) -> None:
    error = refused(msgpack.packb(SCORE | {"base_score": base}))
    assert (error.code, error.field, error.fallback) == ("invalid_field", "base_score", None)


@pytest.mark.parametrize(
    "change",
    [{"v": 9}, {"op": "scroe"}, {"id": 0.5}, {"x": [[[[[[[1]]]]]]]}, {"symbol": 5}],
)
def test_every_refusal_after_decoding_keeps_the_base_score(change: dict[str, Any]) -> None:
    for base in (0.0, 61.5, 100.0):
        assert refused(msgpack.packb(SCORE | {"base_score": base} | change)).fallback == base


def test_missing_fields_are_named() -> None:
    assert refused(msgpack.packb({"v": 1, "op": "score", "base_score": 50})).field == "symbol"
    assert refused(msgpack.packb({"v": 1, "op": "score", "symbol": "A"})).field == "base_score"
    assert refused(msgpack.packb({"v": 1, "op": "outcome", "signal_id": "a"})).field == "outcome"


def nested(levels: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(levels - 1):
        value = [value]
    return SCORE | {"x": value}


def test_limits_hold_at_their_edge() -> None:
    def accepted(**extra: Any) -> bool:
        found = decoded(msgpack.packb(SCORE | extra))
        return isinstance(found, codec.Decoded) or found.code != "malformed"

    assert accepted(x="s" * limits.MAX_STRING)
    assert not accepted(x="s" * (limits.MAX_STRING + 1))
    assert accepted(x=[0] * limits.MAX_ARRAY)
    assert not accepted(x=[0] * (limits.MAX_ARRAY + 1))
    keys = {str(i): 0 for i in range(limits.MAX_MAP)}
    assert accepted(x=keys)
    assert not accepted(x=keys | {"more": 0})
    assert codec.decode_request(msgpack.packb(nested(limits.MAX_DEPTH)))
    assert refused(msgpack.packb(nested(limits.MAX_DEPTH + 1))).code == "malformed"


def test_the_largest_frame_is_read_and_one_byte_more_is_not() -> None:
    signals: list[dict[str, Any]] = [{"pad": "p" * 1010} for _ in range(256)]
    content = {"v": 1, "op": "score_many", "signals": signals}
    room = limits.MAX_BODY_BYTES - len(msgpack.packb(content))
    for signal in signals[: room // 10]:
        signal["pad"] += "p" * 10
    signals[-1]["pad"] += "p" * (room % 10)
    body = msgpack.packb(content)
    assert len(body) == limits.MAX_BODY_BYTES
    assert isinstance(codec.decode_request(body).request, messages.ScoreManyRequest)
    content["signals"][-1]["pad"] += "p"
    assert refused(msgpack.packb(content)).code == "too_large"


def test_unknown_keys_are_named_and_their_number_is_bounded() -> None:
    assert codec.decode_request(msgpack.packb(SCORE | {"base_scroe": 1})).ignored == ("base_scroe",)
    many = {"k" * 200 + str(i): i for i in range(100)}
    ignored = codec.decode_request(msgpack.packb(SCORE | many)).ignored
    assert len(ignored) == limits.MAX_IGNORED_KEYS
    assert max(map(len, ignored)) == limits.MAX_ID_CHARS


def test_timeframes_that_nobody_knows_are_named_behind_the_unknown_keys() -> None:
    frames = {"M1": [], "m1": "x", "H1": []}
    content = SCORE | {"timeframe_data": frames, "base_scroe": 1}
    named = ("base_scroe", "timeframe_data.m1", "timeframe_data.H1")
    assert codec.decode_request(msgpack.packb(content)).ignored == named
    # One of a batch has no envelope of its own.
    assert codec.unknown_keys(content) == ("v", "op", "id", *named)
    many = {"timeframe_data": {"k" * 200 + str(i): i for i in range(100)}}
    ignored = codec.decode_request(msgpack.packb(SCORE | many)).ignored
    assert len(ignored) == limits.MAX_IGNORED_KEYS
    assert {len(name) for name in ignored} == {limits.MAX_ID_CHARS}
    for known in ({"M1": [], "M5": [], "M15": []}, {}, None):
        body = msgpack.packb(SCORE | {"timeframe_data": known})
        assert codec.decode_request(body).ignored == ()
    # To another operation it is itself a key that nobody knows.
    other = {"v": 1, "op": "health", "timeframe_data": {"m1": []}}
    assert codec.decode_request(msgpack.packb(other)).ignored == ("timeframe_data",)


GIVEN: list[dict[str, Any]] = [
    SCORE,
    {"v": 1, "op": "outcome", "id": 7, "signal_id": "EG_1", "outcome": True},
    {"v": 1, "op": "score_many", "id": 7, "signals": [{"symbol": "A", "base_score": 50}]},
    {"v": 1, "op": "sentiment", "id": 7, "symbol": "*", "score": 50},
    {"v": 1, "op": "health", "id": 7},
]
flips = st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=2)


def changed(content: dict[str, Any], bytes_at: list[tuple[int, int]]) -> bytes:
    """Its encoding, some of whose bytes are other ones."""
    body = bytearray(msgpack.packb(content))
    for at, value in bytes_at:
        body[at % len(body)] = value
    return bytes(body)


@settings(max_examples=300)
@given(st.binary(max_size=200) | st.builds(changed, st.sampled_from(GIVEN), flips))
def test_any_bytes_give_a_request_or_a_refusal(body: bytes) -> None:
    found = decoded(body)
    if isinstance(found, DecodeError):
        assert found.code in CODES
    else:
        assert found.request.op in messages.REQUESTS


known = st.sampled_from(
    sorted({name for kind in messages.REQUESTS.values() for name in kind.__struct_fields__})
)


@settings(max_examples=300)
@given(
    op=st.sampled_from(sorted(messages.REQUESTS)) | values,
    version=st.just(1) | values,
    fields=st.dictionaries(known | st.text(max_size=8), values, max_size=4),
)
def test_any_content_gives_a_request_or_a_refusal(
    op: Any, version: Any, fields: dict[str, Any]
) -> None:
    body = msgpack.packb({"symbol": "EURUSD", "base_score": 50.0, **fields, "op": op, "v": version})
    found = decoded(body)
    if isinstance(found, DecodeError):
        assert found.code in CODES
        assert found.fallback is None or 0 <= found.fallback <= 100
    elif not isinstance(found.request, messages.ScoreManyRequest):
        # What was accepted is itself encodable, and means the same.
        again = codec.decode_request(codec.encode_request(found.request, 1))
        assert again.request == found.request


score_keys = st.sampled_from((*messages.ScoreRequest.__struct_fields__, "v", "op", "id", "extra"))
likely = st.sampled_from(
    (1, 1.0, True, None, "score", "BUY", "x" * 64, "x" * 65, 50, 2**63, 100.5, {}, {"M1": []})
)


@settings(max_examples=500)
@given(
    st.dictionaries(score_keys, likely | values, max_size=3),
    st.just("") | score_keys,
    flips,
)
def test_a_usual_score_means_the_same_by_both_ways(
    changes: dict[str, Any], without: str, bytes_at: list[tuple[int, int]]
) -> None:
    content = SCORE | changes
    content.pop(without, None)
    body = changed(content, bytes_at)
    quick = codec._usual_score(body)
    if quick is not None:
        slow = codec._any_request(body)
        assert (quick.request_id, quick.ignored) == (slow.request_id, slow.ignored)
        # Bytes tell 1 from 1.0 and True.
        assert msgspec.msgpack.encode(quick.request) == msgspec.msgpack.encode(slow.request)


def test_a_usual_score_goes_the_short_way() -> None:
    assert codec._usual_score(msgpack.packb(SCORE)) is not None
    assert codec._usual_score(msgpack.packb(SCORE | {"unknown": 1})) is None
    candles = {"M1": [{"open": 1, "high": 1, "low": 1, "close": 1, "unknown": [0] * 257}]}
    assert refused(msgpack.packb(SCORE | {"timeframe_data": candles})).code == "malformed"


@pytest.mark.parametrize(
    "value",
    [
        b"\x81\x80\x00",  # a map as a key
        b"\x81\x91\x80\x00",  # a list that holds a map as a key
        b"\xc4\x01a",
        b"\xc7\x04\x05abcd",
        msgpack.packb(msgpack.Timestamp(1)),
        b"\x91" * 2000,
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        msgpack.packb([0] * 257),
        msgpack.packb("x" * 1025),
    ],
)
@pytest.mark.parametrize("field", ["symbol", "generated_at", "timeframe_data", "explain", "id"])
def test_what_no_field_can_hold_is_malformed_in_any_field(field: str, value: bytes) -> None:
    content = {key: given for key, given in SCORE.items() if key != field}
    packed = msgpack.packb(content)
    body = bytes([packed[0] + 1]) + packed[1:] + msgpack.packb(field) + value
    assert refused(body).code == "malformed"


@pytest.mark.parametrize("repeats", [1, 10, 127 - len(SCORE), 128 - len(SCORE) + 1])
def test_of_a_repeated_key_the_last_one_counts_within_the_limit(repeats: int) -> None:
    packed = msgpack.packb(SCORE)
    count = (len(SCORE) + repeats).to_bytes(2, "big")
    body = (
        b"\xde"
        + count
        + packed[1:]
        + b"".join(msgpack.packb("id") + b"\x05" for _ in range(repeats))
    )
    found = decoded(body)
    if len(SCORE) + repeats > limits.MAX_MAP:
        assert isinstance(found, DecodeError)
        assert found.code == "malformed"
    else:
        assert isinstance(found, codec.Decoded)
        assert found.request_id == 5


@pytest.mark.parametrize("found", [1_757_944_800.25, 1_757_944_800_250, "2025-09-15T14:00:00Z"])
def test_a_signal_may_say_in_any_form_when_it_was_found(found: float | str) -> None:
    decoded_ = decoded(msgpack.packb(SCORE | {"generated_at": found}))
    assert isinstance(decoded_, codec.Decoded)
    assert isinstance(decoded_.request, messages.ScoreRequest)
    assert decoded_.request.generated_at == found
