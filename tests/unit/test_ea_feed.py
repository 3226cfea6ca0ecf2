"""The feed parser: every shape in the field is read, and nothing else raises or gets through."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_values import nested

from protocol.ea_feed import (
    MAX_CANDLES_PER_TIMEFRAME,
    SKIPPED_KINDS,
    Candle,
    Candles,
    SentimentUpdate,
    Skipped,
    Tick,
    encode_candle,
    encode_tick,
    format_stamp,
    parse,
    parse_stamp,
    parse_timeframes,
)

OLD = (
    b'{"type":"TICK","node_id":"NODE_1_2","user_uuid":"COMMANDER_DEV_001","symbol":"EURUSD",'
    b'"bid":1.17698,"ask":1.17701,"spread":3.0,"volume":0,"timestamp":"2025.09.15 19:33:52"}'
)
NEW = (
    b'{"type":"tick","symbol":"EURUSD","bid":1.17698,"ask":1.17701,"spread":3.0,"volume":7,'
    b'"timestamp":1757964832}'
)
STAMP_S = 1757964832.0
GARBAGE = Skipped("garbage")
TICK: dict[str, Any] = {
    "type": "tick",
    "symbol": "EURUSD",
    "bid": 1.1,
    "ask": 1.2,
    "volume": 0,
    "timestamp": 1757964832,
}
CANDLE: dict[str, Any] = {
    "type": "OHLC",
    "symbol": "EURUSD",
    "timeframe": "M1",
    "time": 1757938680,
    "open": 1.2,
    "high": 1.4,
    "low": 1.1,
    "close": 1.3,
}


def frame(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode()


def test_both_generations_of_tick_are_read() -> None:
    assert parse(OLD) == Tick("EURUSD", 1.17698, 1.17701, 0.0, STAMP_S, "NODE_1_2")
    assert parse(NEW) == Tick("EURUSD", 1.17698, 1.17701, 7.0, STAMP_S, "")


@pytest.mark.parametrize(
    "prefix", [b"", b"tick ", b"TICK ", b"Tick", b"tick\t", b" ", b"\n tick  "]
)
@pytest.mark.parametrize("ending", [b"", b"\n", b"\0", b" \r\n\0"])
def test_a_tick_may_wear_a_prefix_and_an_ending(prefix: bytes, ending: bytes) -> None:
    assert parse(prefix + NEW + ending) == parse(NEW)


@pytest.mark.parametrize("word", ["tick", "TICK", "Tick", "tIcK"])
def test_the_type_may_be_in_any_case(word: str) -> None:
    assert isinstance(parse(frame(TICK | {"type": word})), Tick)


@pytest.mark.parametrize(
    "topic", [b"US30 ", b"XAUUSD.r ", b"tick: ", b"tick EURUSD\t", b"md/EURUSD|", b"#GER40"]
)
def test_a_topic_before_a_message_does_no_harm(topic: bytes) -> None:
    assert parse(topic + NEW) == parse(NEW)
    assert parse(topic + frame(CANDLE)) == parse(frame(CANDLE))
    assert parse(topic.split()[0]) == Skipped("other")


@pytest.mark.parametrize("before", [b"[", b'"a":', b"\xef\xbb\xbf", b"a" * 65, b"[1, "])
def test_what_is_no_topic_before_a_message_makes_it_garbage(before: bytes) -> None:
    assert parse(before + NEW) == GARBAGE


def test_the_prefix_stands_in_for_a_missing_type() -> None:
    bare = {key: value for key, value in TICK.items() if key != "type"}
    assert parse(b"tick " + frame(bare)) == parse(frame(TICK))
    assert parse(frame(bare)) == GARBAGE


@pytest.mark.parametrize(
    ("stamp", "expected_s"),
    [
        (1757964832, STAMP_S),
        (1757964832.25, STAMP_S + 0.25),
        ("2025.09.15 19:33:52", STAMP_S),
        ("2025.09.15 19:33", STAMP_S - 52),
        ("2025.02.29 19:33:52", None),
        ("2025.09.15", None),
        ("2025-09-15 19:33:52", None),
        ("\uff12025.09.15 19:33:52", None),
        (1757964832000, None),
        (0, None),
        (-5, None),
        (True, None),
        (None, None),
        ({}, None),
    ],
)
def test_stamps_are_numbers_or_the_brokers_text(stamp: object, expected_s: float | None) -> None:
    assert parse_stamp(stamp) == expected_s
    parsed = parse(frame(TICK | {"timestamp": stamp}))
    if expected_s is None or stamp == "2025.09.15 19:33":
        assert parsed == GARBAGE
    else:
        assert isinstance(parsed, Tick)
        assert parsed.stamp_s == expected_s


@given(st.integers(946_684_800, 4_102_444_799))
def test_text_stamps_survive_the_way_there_and_back(stamp_s: int) -> None:
    assert parse_stamp(format_stamp(stamp_s)) == stamp_s


@pytest.mark.parametrize(
    "wrong",
    [
        {"bid": -1.0},
        {"bid": "1.1"},
        {"bid": None},
        {"ask": 1e300},
        {"volume": -1},
        {"volume": 1e200},
        {"symbol": ""},
        {"symbol": "E" * 33},
        {"symbol": "EUR USD"},
        {"symbol": "EURUSD\n"},
        {"symbol": "\u0415URUSD"},
        {"symbol": 7},
        {"node_id": "n" * 65},
        {"node_id": {}},
    ],
)
def test_an_impossible_value_makes_a_tick_garbage(wrong: dict[str, Any]) -> None:
    assert parse(frame(TICK | wrong)) == GARBAGE


@pytest.mark.parametrize(
    "number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"nan", b"9" * 400]
)
@pytest.mark.parametrize("key", [b"bid", b"volume", b"timestamp"])
def test_numbers_that_are_none_are_garbage(key: bytes, number: bytes) -> None:
    head, _, _ = frame({k: v for k, v in TICK.items() if k != key.decode()}).rpartition(b"}")
    assert parse(head + b', "' + key + b'":' + number + b"}") == GARBAGE


def test_zero_and_crossed_quotes_pass_to_be_counted_by_the_engine() -> None:
    assert isinstance(parse(frame(TICK | {"bid": 0})), Tick)
    assert isinstance(parse(frame(TICK | {"bid": 1.3})), Tick)


@pytest.mark.parametrize(
    "symbol", ["EURUSD.r", "BTCUSDm", "BTCUSDT.spot", "#US30", "US500-Z", "A_b"]
)
def test_brokers_symbols_are_symbols(symbol: str) -> None:
    parsed = parse(frame(TICK | {"symbol": symbol}))
    assert isinstance(parsed, Tick)
    assert parsed.symbol == symbol


@pytest.mark.parametrize("prefix", [b"", b"OHLC ", b"ohlc "])
@pytest.mark.parametrize("word", ["OHLC", "ohlc"])
def test_a_candle_is_read(prefix: bytes, word: str) -> None:
    expected = Candle("EURUSD", "M1", 1757938680.0, 1.2, 1.4, 1.1, 1.3)
    assert parse(prefix + frame(CANDLE | {"type": word})) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"low": 1.25},
        {"high": 1.25},
        {"open": 0},
        {"timeframe": "X1"},
        {"timeframe": "PERIOD_"},
        {"time": None},
        {"symbol": ""},
    ],
)
def test_a_candle_that_contradicts_itself_is_garbage(wrong: dict[str, Any]) -> None:
    assert parse(frame(CANDLE | wrong)) == GARBAGE


@pytest.mark.parametrize(
    ("said", "read"),
    [("m1", "M1"), ("PERIOD_M1", "M1"), ("W1", "W1"), ("MN1", "MN1"), ("M2", "M2"), ("H12", "H12")],
)
def test_a_timeframe_is_read_as_terminals_write_it(said: str, read: str) -> None:
    parsed = parse(frame(CANDLE | {"timeframe": said}))
    assert isinstance(parsed, Candle)
    assert parsed.timeframe == read


def test_the_timeframes_of_a_batch_are_read_in_any_case() -> None:
    entry = {key: CANDLE[key] for key in ("time", "open", "high", "low", "close")}
    parsed = parse(frame({"type": "candle_batch", "symbol": "EURUSD", "m1": [entry]}))
    assert isinstance(parsed, Candles)
    assert [candle.timeframe for candle in parsed.candles] == ["M1"]


def test_a_batch_keeps_its_good_candles_and_counts_the_others() -> None:
    entry = {key: CANDLE[key] for key in ("time", "open", "high", "low", "close")}
    batch = {
        "type": "candle_batch",
        "symbol": "EURUSD",
        "node_id": "N1",
        "timestamp": "2025.09.15 19:33:52",
        "M1": [entry, entry | {"high": 0.1}, entry | {"time": "2025.09.15 12:18"}, 5],
        "M5": "none",
        "M15": [entry],
    }
    parsed = parse(frame(batch))
    assert isinstance(parsed, Candles)
    assert [c.timeframe for c in parsed.candles] == ["M1", "M1", "M15"]
    assert {(c.symbol, c.node_id) for c in parsed.candles} == {("EURUSD", "N1")}
    assert parsed.skipped == 3


@pytest.mark.parametrize("name", ["n" * 65, 5, {}, ["N1"], None])
def test_of_a_batch_whose_terminal_cannot_be_read_the_candles_are(name: object) -> None:
    entry = {key: CANDLE[key] for key in ("time", "open", "high", "low", "close")}
    batch = {"type": "candle_batch", "symbol": "EURUSD", "node_id": name, "M1": [entry]}
    parsed = parse(frame(batch))
    assert isinstance(parsed, Candles)
    assert [candle.node_id for candle in parsed.candles] == [""]


def test_a_batch_is_bounded_to_the_newest() -> None:
    entries = [
        {"time": 1757938680 + 60 * i, "open": 1, "high": 1, "low": 1, "close": 1}
        for i in range(MAX_CANDLES_PER_TIMEFRAME + 10)
    ]
    parsed = parse_timeframes("EURUSD", {"M1": entries})
    assert len(parsed.candles) == MAX_CANDLES_PER_TIMEFRAME
    assert parsed.candles[-1].stamp_s == entries[-1]["time"]
    assert parsed.skipped == 10


def test_sentiment_is_read_for_one_symbol_and_for_all() -> None:
    assert parse(b'{"type":"sentiment","symbol":"*","score":70}') == SentimentUpdate("*", 70.0)
    assert parse(
        b'{"type":"Sentiment","symbol":"EURUSD","score":0,"source":"news","half_life_s":60}'
    ) == SentimentUpdate("EURUSD", 0.0, "news", 60.0)
    assert parse(b'{"type":"sentiment","symbol":"*","score":101}') == GARBAGE
    assert parse(b'{"type":"sentiment","symbol":"a b","score":1}') == GARBAGE
    for half_life in (b"0", b"-60", b"1e10"):
        said = b'{"type":"sentiment","symbol":"*","score":1,"half_life_s":' + half_life + b"}"
        assert parse(said) == GARBAGE


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (b"HEARTBEAT", "heartbeat"),
        (b"HEARTBEAT|2025.09.15 19:33:52", "heartbeat"),
        (b"HEARTBEAT_OK 12", "heartbeat"),
        (b'HEARTBEAT {"node":1}', "heartbeat"),
        (b'{"type":"HELLO","node_id":"N"}', "hello"),
        (b'{"type":"close_confirmation"}', "close_confirmation"),
        (b'{"type":"brand_new_thing"}', "other"),
        (b'{"type":""}', "garbage"),
        (b'{"type":7}', "garbage"),
        (b'{"symbol":"EURUSD"}', "garbage"),
        (b"", "garbage"),
        (b"[1,2]", "garbage"),
        (b"\xff\xfe\x00", "garbage"),
        (b'{"type":"tick\xff"}', "garbage"),
        (b'{"type":"tick","a":' + b"[" * 50_000, "garbage"),
        (b'{"a":' * 30_000, "garbage"),
        (b'{"type":"tick"', "garbage"),
        (b'what {"type":"tick"} is', "garbage"),
        (b"{" + b" " * 262_144, "too_large"),
    ],
)
def test_what_is_no_message_is_skipped_by_kind(sent: bytes, kind: str) -> None:
    assert parse(sent) == Skipped(kind)


json_values = nested(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    st.text(max_size=9),
)
mutated = st.builds(
    lambda base, changes, dropped: json.dumps(
        {k: v for k, v in (base | changes).items() if k not in dropped}
    ).encode("utf-8", "surrogatepass"),
    st.sampled_from([TICK, CANDLE, {"type": "candle_batch", "symbol": "A", "M1": [CANDLE]}]),
    st.dictionaries(
        st.sampled_from([*TICK, *CANDLE, "node_id", "M1", "M5"]), json_values, max_size=3
    ),
    st.sets(st.sampled_from(sorted(TICK | CANDLE)), max_size=2),
)
cut = st.builds(
    lambda sent, at, byte: sent[:at] + byte + sent[at + 1 :],
    st.sampled_from([OLD, NEW, frame(CANDLE), b"HEARTBEAT 1"]),
    st.integers(0, 200),
    st.binary(max_size=2),
)


def check_bounds(message: object) -> None:
    """The invariant of everything that leaves `parse`."""
    if isinstance(message, Candles):
        for candle in message.candles:
            check_bounds(candle)
    elif isinstance(message, Tick):
        assert math.isfinite(message.bid + message.ask + message.volume + message.stamp_s)
        assert min(message.bid, message.ask, message.volume) >= 0.0
        assert 1 <= len(message.symbol) <= 32
        assert len(message.node_id) <= 64
    elif isinstance(message, Candle):
        assert 0 < message.low <= min(message.open, message.close)
        assert max(message.open, message.close) <= message.high <= 1e12
        assert message.stamp_s > 0
    elif isinstance(message, SentimentUpdate):
        assert 0 <= message.score <= 100
    else:
        assert isinstance(message, Skipped)
        assert message.kind in SKIPPED_KINDS


@settings(max_examples=600)
@given(st.binary(max_size=300) | mutated | cut)
def test_whatever_comes_is_read_in_bounds_or_skipped(sent: bytes) -> None:
    check_bounds(parse(sent))


prices = st.floats(1e-6, 1e6)


@settings(max_examples=200)
@given(
    prices,
    prices,
    st.floats(0, 1e9),
    st.floats(946684800, 4102444799),
    st.text("Nab_19", max_size=9),
)
def test_ticks_survive_the_way_there_and_back(
    bid: float, ask: float, volume: float, stamp_s: float, node_id: str
) -> None:
    tick = Tick("EURUSD", bid, ask, volume, stamp_s, node_id)
    assert parse(encode_tick(tick)) == tick
    old = parse(encode_tick(tick, generation="2.05"))
    assert isinstance(old, Tick)
    assert old.stamp_s == int(stamp_s)
    assert (old.bid, old.ask, old.volume) == (bid, ask, volume)


def test_candles_survive_the_way_there_and_back() -> None:
    candle = Candle("EURUSD", "M5", 1757938500.0, 1.2, 1.4, 1.1, 1.3, 3.0)
    assert parse(encode_candle(candle)) == candle


def test_an_encoded_tick_has_exactly_the_old_eas_shape() -> None:
    tick = parse(OLD)
    assert isinstance(tick, Tick)
    assert encode_tick(tick, generation="2.05") == OLD


def test_every_recorded_message_of_the_sample_is_read(shared_data: Any) -> None:
    lines = (shared_data / "ea_feed" / "ticks_20250915.jsonl").read_bytes().splitlines()
    ticks = [parse(line) for line in lines]
    assert len(ticks) == 1500
    assert all(isinstance(tick, Tick) for tick in ticks)
    assert len({tick.symbol for tick in ticks if isinstance(tick, Tick)}) == 15
