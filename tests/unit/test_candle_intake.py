"""Candles fill what ticks have not made, by the clock of their endpoint, once they ended."""

from __future__ import annotations

from itertools import product

import pytest
from taken_in import SYMBOLS, Given, T

from protocol.ea_feed import Candle
from service.feed.clock_offset import ClockOffset
from service.feed.intake import EARLY_TOGETHER
from service.feed.symbol_feed import EARLY_CANDLES, Endpoint


def test_candles_fill_what_ticks_have_not_made() -> None:
    given_ = Given()
    minute = int(T) // 60
    assert given_.bar(minute - 2) == "accepted"
    assert given_.bar(minute - 2) == "duplicate"
    assert given_.bar(minute) == "not_ended"
    assert given_.bar(minute - 2, timeframe="M5") == "other_timeframe"
    assert given_.bar(minute - 8 * 1440) == "too_old"
    message = Candle("EURUSD", "M1", T - 90, 1.1, 1.2, 1.0, 1.1)
    given_.intake.on_candle(given_.feed, message, T)
    assert given_.intake.counts["candle_unaligned"] == 1
    assert list(given_.state().bars.minutes) == [minute - 2]


def test_a_candle_that_is_of_no_use_makes_no_symbol_known_and_no_other_forgotten() -> None:
    given_ = Given()
    for name in ("A", "B", "C"):
        given_.quote(name)
    given_.now_s += 3601
    minute = int(given_.now_s) // 60
    # The EA sends the last candle of each symbol it shows, of those that trade no more too.
    assert given_.bar(minute - 8 * 1440, "D") == "too_old"
    assert given_.bar(minute, "D") == "not_ended"
    assert set(given_.intake.feeds) == {"A", "B", "C"}
    assert given_.bar(minute - 1, "D") == "accepted"
    assert "D" in given_.intake.feeds


def test_candles_are_read_by_the_clock_of_their_endpoint() -> None:
    given_ = Given()
    given_.feed = given_.endpoint("feed", offset=10_800.0)
    assert given_.bar(int(T) // 60 + 180 - 1) == "accepted"
    assert list(given_.state().bars.minutes) == [int(T) // 60 - 1]


@pytest.mark.parametrize("offset_s", [10_800.0, -18_000.0])
def test_candles_wait_for_a_clock_that_is_to_be_learnt(offset_s: float) -> None:
    given_ = Given()
    given_.feed = Endpoint("feed", False, ClockOffset("auto"))
    five_hours_ago = int(T + offset_s) // 60 - 300
    assert given_.bar(five_hours_ago) == "early"
    assert not given_.intake.feeds
    given_.quote(stamp_s=T + offset_s)  # the last one of a closed market, for all it says
    given_.quote(stamp_s=T + offset_s + 1)
    assert given_.bar(five_hours_ago) == "duplicate"
    assert list(given_.state().bars.minutes) == [int(T) // 60 - 300]


@pytest.mark.parametrize("offset_s", [0.0, 10_800.0])
def test_a_candle_that_had_not_ended_when_it_came_early_is_no_bar(offset_s: float) -> None:
    given_ = Given()
    given_.feed = Endpoint("feed", False, ClockOffset("auto"))
    minute = int(T + offset_s) // 60
    given_.now_s += 5
    assert given_.bar(minute) == "early"
    given_.now_s += 70
    for _ in range(2):
        given_.now_s += 1
        given_.quote(stamp_s=given_.now_s + offset_s)
    assert not given_.feed.early
    assert given_.bar(minute) == "accepted"
    assert list(given_.state().bars.minutes) == [int(T) // 60]


def test_early_candles_of_before_a_clock_step_came_when_they_came() -> None:
    given_ = Given()
    given_.feed = Endpoint("feed", False, ClockOffset("auto"))
    minutes = range(int(T) // 60 - 120, int(T) // 60)
    given_.now_s -= 3600.0
    assert {given_.bar(minute) for minute in minutes} == {"early"}
    given_.now_s += 3600.0
    given_.intake.clock_stepped(3600.0)
    given_.feed.clock_stepped(3600.0)
    for _ in range(3):
        given_.now_s += 1
        given_.quote()
    assert list(given_.state().bars.minutes) == list(minutes)


def test_an_hour_of_as_many_symbols_as_there_may_be_waits_whole() -> None:
    given_ = Given()
    given_.feed = Endpoint("feed", False, ClockOffset("auto"))
    for ago, number in product(range(60, 0, -1), range(SYMBOLS)):
        candle = Candle(f"SYM{number}", "M1", T // 60 * 60 - 60 * ago, 1.1, 1.2, 1.0, 1.1)
        given_.intake.on_candle(given_.feed, candle, T)
    assert len(given_.feed.early) == given_.intake.counts["candle_early"] == 60 * SYMBOLS


def test_of_many_early_candles_the_last_are_let_in_a_few_with_each_tick() -> None:
    given_ = Given()
    given_.feed = Endpoint("feed", False, ClockOffset("auto"))
    last = int(T) // 60 - 1
    for _ in range(2):
        for minute in range(last - EARLY_CANDLES + 101, last + 1):
            assert given_.bar(minute) == "early"
    assert len(given_.feed.early) == EARLY_CANDLES
    given_.quote()
    for at in range(1, EARLY_CANDLES // EARLY_TOGETHER + 1):
        given_.quote(stamp_s=T + at / 10)
        assert len(given_.feed.early) == EARLY_CANDLES - EARLY_TOGETHER * at
    assert given_.state().bars.minutes[-1] == last


def test_a_candle_holds_no_symbol_against_the_terminal_that_ticks_it() -> None:
    given_ = Given()
    given_.bar(int(T) // 60 - 1)
    assert given_.quote(node="terminal") == "accepted"
    assert list(given_.state().bars.minutes) == [int(T) // 60 - 1]
