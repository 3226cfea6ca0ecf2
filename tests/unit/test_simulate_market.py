"""The simulated market and its bridge: reproducible, sane, and as the field's feeds are."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise, takewhile

import numpy as np
import pytest

from protocol.ea_feed import Candle, Skipped, Tick, parse
from training.simulate.bridge import BROKER_AHEAD_S, Item, frames
from training.simulate.market import HOUR_S, INSTRUMENTS, Market, Quotes

START_S = 1_741_564_800.0


@pytest.fixture(scope="module")
def hours() -> list[Quotes]:
    market = Market(3)
    return [market.hour(START_S + HOUR_S * n) for n in range(6)]


@pytest.fixture(scope="module")
def items() -> list[Item]:
    stream = frames(Market(3), START_S, 3)
    return list(takewhile(lambda item: item.time_s < START_S + 6 * HOUR_S, stream))


def test_a_seed_is_a_market() -> None:
    one, same, other = (Market(seed).hour(START_S) for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one.bid, other.bid)


def test_quotes_are_ordered_positive_and_never_crossed(hours: list[Quotes]) -> None:
    for number, hour in enumerate(hours):
        start_s = START_S + HOUR_S * number
        assert (np.diff(hour.time_s) >= 0).all()
        assert start_s <= hour.time_s[0]
        assert hour.time_s[-1] < start_s + HOUR_S
        assert (hour.bid > 0).all()
        assert (hour.ask > hour.bid).all()
        for at, one in enumerate(INSTRUMENTS):
            for price in (hour.bid[hour.which == at], hour.ask[hour.which == at]):
                assert price == pytest.approx(np.round(price / one.point) * one.point)
                assert price == pytest.approx(one.price, rel=0.1)


def test_every_symbol_has_ticks_in_every_minute(hours: list[Quotes]) -> None:
    for hour in hours:
        minute = ((hour.time_s - START_S) // 60).astype(int)
        seen = set(zip(hour.which.tolist(), minute.tolist(), strict=True))
        assert len(seen) == 60 * len(INSTRUMENTS)


def test_only_symbols_with_deals_show_volume(hours: list[Quotes]) -> None:
    deals = np.array([each.deals for each in INSTRUMENTS])
    for hour in hours:
        assert ((hour.volume > 0) == deals[hour.which]).all()


def test_prices_go_on_from_hour_to_hour(hours: list[Quotes]) -> None:
    for at in range(len(INSTRUMENTS)):
        mids = [(h.bid + h.ask)[h.which == at] / 2 for h in hours]
        jumps = [abs(b[0] / a[-1] - 1) for a, b in pairwise(mids)]
        assert max(jumps) < 0.01


def test_every_frame_is_one_that_the_parser_knows(items: list[Item]) -> None:
    kinds = Counter(
        message.kind if isinstance(message, Skipped) else type(message).__name__
        for message in (parse(item.frame) for item in items)
    )
    assert set(kinds) == {"Tick", "Candle", "heartbeat", "hello"}


def test_market_time_never_goes_back(items: list[Item]) -> None:
    assert (np.diff([item.time_s for item in items]) >= 0).all()


def test_both_generations_speak_on_the_brokers_clock(items: list[Item]) -> None:
    ticks = [item for item in items if item.tick is not None]
    assert {b'"TICK"' in item.frame for item in ticks} == {True, False}
    for item in ticks:
        parsed = parse(item.frame)
        assert isinstance(parsed, Tick)
        assert parsed == item.tick
        assert parsed.stamp_s == int(item.time_s) + BROKER_AHEAD_S


def test_feed_has_repeats_and_crossed_quotes_that_are_no_sound_ticks(items: list[Item]) -> None:
    unsound = [parse(item.frame) for item in items if item.tick is None]
    ticks = [message for message in unsound if isinstance(message, Tick)]
    assert any(tick.bid > tick.ask for tick in ticks)
    repeats = sum(tick.bid < tick.ask for tick in ticks)
    assert 0.02 < repeats / len(items) < 0.06


def test_a_candle_is_that_of_the_ticks_of_the_minute_that_ended(items: list[Item]) -> None:
    candles = [(item, parse(item.frame)) for item in items if item.frame.startswith(b"OHLC ")]
    assert len(candles) > 20
    for item, candle in candles:
        assert isinstance(candle, Candle)
        assert candle.timeframe == "M1"
        opened_s = candle.stamp_s - BROKER_AHEAD_S
        assert opened_s % 60.0 == 0.0
        assert 60.0 <= item.time_s - opened_s < 120.0
        bids = [
            other.tick.bid
            for other in items
            if other.tick
            and other.tick.symbol == candle.symbol
            and opened_s <= other.time_s < opened_s + 60.0
        ]
        prices = (candle.open, candle.high, candle.low, candle.close)
        assert prices == pytest.approx((bids[0], max(bids), min(bids), bids[-1]))
        assert candle.volume == len(bids)
