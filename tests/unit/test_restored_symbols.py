"""What was restored at a start stays while it fits what the feed says, and else goes."""

from __future__ import annotations

import pytest
from taken_in import Given, T

from service.features.state import SymbolState
from service.feed.clock_offset import ClockOffset
from service.feed.symbol_feed import Endpoint


def test_a_restored_symbol_keeps_its_bars_when_the_offset_is_found_anew() -> None:
    given_ = Given()
    state = SymbolState("EURUSD")
    state.add_candle(int(T) // 60 - 1, 1.1, 1.2, 1.0, 1.1)
    given_.intake.restore(state, T)
    given_.feed = Endpoint("feed", False, ClockOffset("auto"))
    assert given_.quote(stamp_s=T + 10_800) == "accepted"
    assert given_.feed.clock.offset_s == 10_800
    assert list(given_.state().bars.minutes) == [int(T) // 60 - 1]


@pytest.mark.parametrize("closed_for_s", [7_190.0, 180_000.0])
@pytest.mark.parametrize("order", [("FX", "BTC"), ("BTC", "FX")])
def test_closed_markets_cost_no_symbol_what_was_restored(
    closed_for_s: float, order: tuple[str, str]
) -> None:
    given_ = Given()
    given_.feed = Endpoint("feed", False, ClockOffset("auto"))
    names = [f"FX{i}" for i in range(2)] + ["BTC"]
    for name in names:
        state = SymbolState(name)
        state.add_candle(int(T) // 60 - 1, 1.1, 1.2, 1.0, 1.1)
        given_.intake.restore(state, T)
    for second in range(30):
        given_.now_s = T + second
        for name in sorted(names, key=lambda name: order.index(name.rstrip("01"))):
            sent_s = given_.now_s if name == "BTC" else T - closed_for_s
            given_.quote(name, stamp_s=sent_s + 10_800)
    assert (given_.feed.clock.state, given_.feed.clock.offset_s) == ("live", 10_800)
    assert given_.intake.time.now(given_.now_s) == given_.now_s
    for name in names:
        assert list(given_.state(name).bars.minutes) == [int(T) // 60 - 1]


def test_what_was_restored_stays_without_what_was_added() -> None:
    given_ = Given()
    for name in ("EURUSD", "GBPUSD"):
        state = SymbolState(name)
        state.add_candle(int(T) // 60 - 2, 1.1, 1.2, 1.0, 1.1)
        given_.intake.restore(state, T)
        given_.quote(name)
    given_.bar(int(T) // 60 - 1)
    given_.feed.clock.epoch += 1
    given_.quote(stamp_s=T + 1, bid=1.0999)
    for name in ("EURUSD", "GBPUSD"):
        assert list(given_.state(name).bars.minutes) == [int(T) // 60 - 2]


def test_what_was_restored_goes_where_candles_have_come_between() -> None:
    given_ = Given()
    state = SymbolState("EURUSD")
    for ago in (4, 2):
        state.add_candle(int(T) // 60 - ago, 1.1, 1.2, 1.0, 1.1)
    given_.intake.restore(state, T)
    given_.quote()
    assert given_.bar(int(T) // 60 - 3) == "accepted"
    given_.feed.clock.epoch += 1
    given_.quote(stamp_s=T + 1, bid=1.0999)
    assert list(given_.state().bars.minutes) == []


def test_bars_made_since_are_never_taken_for_those_that_were_restored() -> None:
    given_ = Given()
    state = SymbolState("EURUSD")
    state.add_candle(int(T) // 60 - 3, 1.1, 1.2, 1.0, 1.1)
    given_.intake.restore(state, T)
    given_.quote()
    given_.bar(int(T) // 60 - 2)
    for second in (1, 2):  # as many bars stand there the second time as were restored
        given_.feed.clock.epoch += 1
        given_.quote(stamp_s=T + second, bid=1.0999)
        assert list(given_.state().bars.minutes) == [int(T) // 60 - 3]
        given_.bar(int(T) // 60 - 1)


def test_an_offset_that_changes_without_comparison_begins_the_endpoint_anew() -> None:
    given_ = Given()
    given_.bar(int(T) // 60 - 1)
    given_.quote()
    given_.quote("GBPUSD", endpoint=given_.endpoint("other"))
    given_.feed.clock.offset_s = 3600.0
    given_.feed.clock.epoch += 1
    assert given_.quote(stamp_s=T + 1, bid=1.0999) == "accepted"
    assert given_.intake.time.now(given_.now_s) == T + 1 - 3600.0
    assert list(given_.state().bars.minutes) == []
    assert given_.intake.feeds["GBPUSD"].state.mid is not None
    assert given_.intake.changes["offset_reset"] == 1


def test_bars_of_candles_alone_go_with_the_clock_that_they_were_read_by() -> None:
    given_ = Given()
    given_.feed = given_.endpoint("another")
    given_.bar(int(T) // 60 - 1, "XAU")
    given_.feed = Endpoint("feed", False, ClockOffset("auto"))
    for ago in range(40 * 60, 0, -1):  # a bridge lets go all at once what it held back
        stamp_s = T + 10_800 - ago
        given_.quote("GBP", stamp_s=stamp_s, bid=1.0 + ago * 1e-5, ask=1.1)
        if ago % 60 == 0:
            given_.bar(int(stamp_s) // 60 - 1)
    for second in range(120):
        given_.now_s = T + second
        given_.quote("GBP", stamp_s=given_.now_s + 10_800, bid=1.0 + second * 1e-5, ask=1.1)
    assert (given_.feed.clock.state, given_.feed.clock.offset_s) == ("live", 10_800.0)
    assert len(given_.state().bars) == 0, "they were read by other offsets"
    assert list(given_.state("XAU").bars.minutes) == [int(T) // 60 - 1]


def test_a_symbol_with_ticks_was_read_by_their_clock_whoever_sent_a_candle() -> None:
    given_ = Given()
    given_.quote()
    own, given_.feed = given_.feed, given_.endpoint("another")
    given_.bar(int(T) // 60 - 1)
    (feed,) = given_.intake.feeds.values()
    assert feed.candle_endpoint == "another"
    assert feed.was_read_by(own.name)
    assert not feed.was_read_by("another")
