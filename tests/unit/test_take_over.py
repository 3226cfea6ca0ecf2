"""One source a symbol: which terminal holds it, when it passes on, and what stays then."""

from __future__ import annotations

import numpy as np
import pytest
from scored_journal import score_row
from taken_in import LIMITS, Given, Mirrored, T

from service.feed.clock_offset import ClockOffset
from service.feed.symbol_feed import NEVER, Endpoint
from service.feed.symbol_names import SymbolNames

FX = ("EURUSD", "GBPUSD", "USDJPY")


def test_another_source_takes_over_only_after_silence() -> None:
    given_ = Given()
    given_.quote(node="one")
    assert given_.quote(node="two", bid=1.0) == "other_source"
    assert given_.quote(node="one", endpoint=given_.endpoint("ingest")) == "other_source"
    given_.now_s += 30.0
    assert given_.quote(node="two") == "other_source"
    given_.now_s += 0.1
    assert given_.quote(node="two") == "accepted"
    assert given_.intake.feeds["EURUSD"].source == ("feed", "two")
    assert given_.intake.changes["source_takeover"] == 1
    assert given_.quote(node="one") == "other_source"


def test_an_endpoint_brings_ticks_also_where_another_has_the_symbol() -> None:
    given_ = Given()
    other = given_.endpoint("other")
    given_.quote()
    assert (given_.feed.tick_s, other.tick_s) == (T, NEVER)
    given_.now_s += 1.0
    assert given_.quote(endpoint=other) == "other_source"
    assert (given_.feed.tick_s, other.tick_s) == (T, T + 1)
    # What is no news of a market is none: a repeat, and what is refused.
    given_.now_s += 1.0
    assert given_.quote(stamp_s=T) == "repeat"
    assert given_.quote(stamp_s=T - 9) == "late"
    assert given_.quote(bid=0.0, endpoint=other) == "non_positive"
    assert (given_.feed.tick_s, other.tick_s) == (T, T + 1)


def test_a_take_over_begins_the_short_windows_anew_and_keeps_the_bars() -> None:
    given_ = Given()
    given_.bar(int(T) // 60 - 1)
    for at in range(5):
        given_.quote(node="one", stamp_s=T + at)
    given_.now_s += 40.0
    given_.quote(node="two")
    assert len(given_.state().spreads) == 1
    # The bar in progress was interrupted and never closes.
    given_.quote(node="two", stamp_s=T + 61, bid=1.0999)
    assert list(given_.state().bars.minutes) == [int(T) // 60 - 1]


def test_a_take_over_voids_what_was_followed_by_the_other_source() -> None:
    given_ = Given()
    given_.quote(node="one")
    for number, symbol in enumerate(("EURUSD", "GBPUSD")):
        terms = {"direction": 1, "entry_price": 1.1, "stop_loss": 1.0, "take_profit": 1.2}
        row = score_row(number, np.full(11, 50.0), symbol=symbol, event_time=T, **terms)
        given_.intake.paper.follow(row, symbol)
    given_.now_s += 31.0
    assert given_.quote(node="two") == "accepted"
    (end,) = given_.intake.paper.ended.values()
    assert (end.word, end.position.score_id) == ("VOID", "score-0")


def test_a_source_that_repeats_is_not_silent() -> None:
    given_ = Given()
    for _ in range(10):
        given_.now_s += 20
        given_.quote(node="one", stamp_s=T)
    assert given_.quote(node="two") == "other_source"


def test_two_live_terminals_do_not_take_a_thin_symbol_from_each_other() -> None:
    alone, both = Mirrored(), Mirrored()
    for at in range(40):
        alone.pass_by(40, "one")
        alone.send("one", "EURNOK")
        both.pass_by(40, "one", "two")
        for node in ("one", "two") if at % 3 == 0 else ("two", "one"):
            both.send(node, "EURNOK")
    assert both.intake.changes["source_takeover"] == 0
    assert len(alone.state("EURNOK").bars) == 25
    assert list(both.state("EURNOK").bars) == list(alone.state("EURNOK").bars)


def test_a_terminal_whose_every_other_tick_is_refused_is_heard_all_the_same() -> None:
    given_ = Mirrored()
    given_.send("two", "EURNOK")
    given_.pass_by(100, "one", "two")
    assert given_.held_by("EURUSD") == "one"
    assert given_.send("one", "EURNOK") == "other_source"
    given_.pass_by(31, "one")
    assert given_.send("one", "EURNOK") == "accepted"


@pytest.mark.parametrize("passed_s", [300, 301])
def test_a_terminal_that_dropped_a_symbol_does_not_hold_it_for_ever(passed_s: int) -> None:
    given_ = Mirrored()
    given_.send("one", "EURNOK")
    given_.pass_by(passed_s, "one")
    assert given_.send("two", "EURNOK") == ("accepted" if passed_s > 300 else "other_source")


def test_a_symbol_may_always_rest_for_as_long_as_its_terminal() -> None:
    given_ = Mirrored()
    given_.intake.terminals.silence_s = 1000.0
    given_.send("one", "EURNOK")
    given_.pass_by(1000, "one")
    assert given_.send("two", "EURNOK") == "other_source"
    given_.pass_by(1, "one")
    assert given_.send("two", "EURNOK") == "accepted"


def test_a_broker_that_renames_a_symbol_gets_it_when_the_old_name_has_rested() -> None:
    given_ = Given(names=SymbolNames((".r",)))
    given_.quote("EURNOK")
    for passed_s in range(301):
        assert given_.quote("EURNOK.r", bid=1.0999) == "other_source", passed_s
        given_.now_s += 1
        given_.quote("EURUSD")
    assert given_.quote("EURNOK.r", bid=1.0999) == "accepted"


@pytest.mark.parametrize("step_s", [45.0, 86_400.0, -45.0, -3600.0])
def test_a_clock_that_is_set_hands_no_symbol_to_another_terminal(step_s: float) -> None:
    given_ = Mirrored(clock_offset="auto")
    given_.pass_by(60, "one", "two", symbols=("EURUSD", "GBPUSD"))
    given_.intake.clock_stepped(step_s)
    market_s = given_.now_s
    given_.now_s += step_s
    for symbol in ("EURUSD", "GBPUSD"):
        assert given_.send("two", symbol, age_s=given_.now_s - market_s) == "other_source"
    # And who is silent from then on loses them after as long as ever.
    given_.now_s += 30.0
    assert given_.send("two") == "other_source"
    given_.now_s += 0.1
    given_.send("two")
    assert given_.held_by("EURUSD") == "two"


def test_terminals_are_remembered_for_the_symbols_that_they_hold() -> None:
    given_ = Given()
    for number in range(50):
        for symbol in ("A", "B"):
            assert given_.quote(symbol, node=f"{symbol} {number}") == "accepted"
        assert given_.quote("C", node="that stays") == "accepted"
        given_.now_s += 31.0
    assert given_.intake.changes["source_takeover"] == 2 * 49
    known = given_.intake.terminals.known
    assert len(known) <= LIMITS.symbols + 1
    for feed in given_.intake.feeds.values():
        assert known[feed.source] is feed.terminal


@pytest.mark.parametrize("mirrors", [True, False])
@pytest.mark.parametrize("ages_s", [(0.0, 0.0, 0.0), (3000.0, 1500.0, 0.0), (0.0, 1500.0, 3000.0)])
def test_a_stand_by_whose_clock_is_found_at_its_take_over_keeps_the_bars(
    mirrors: bool, ages_s: tuple[float, ...]
) -> None:
    given_ = Mirrored(endpoints=2, clock_offset="auto")
    given_.pass_by(600, "one", *["two"] * mirrors, symbols=FX)
    before = {name: list(given_.state(name).bars) for name in FX}
    assert all(len(bars) == 9 for bars in before.values())
    given_.now_s += 31
    for name, age_s in zip(FX, ages_s, strict=True):  # the last quotes, some of them old
        assert given_.send("two", name, age_s=age_s) == "accepted"
    given_.pass_by(180, "two", symbols=FX)
    clock = given_.terminals["two"].clock
    assert (clock.state, clock.offset_s) == ("live", 10_800.0)
    for name in FX:
        assert list(given_.state(name).bars)[:9] == before[name]
        assert len(given_.state(name).bars) >= 11, "and goes on from there"


@pytest.mark.parametrize("back_s", [600.0, 3600.0, 10_800.0])
def test_a_stand_by_does_not_keep_bars_of_a_clock_that_was_ahead(back_s: float) -> None:
    """It would make none of its own until the clock has come to where it was."""
    given_ = Mirrored(endpoints=2, clock_offset="auto")
    given_.pass_by(600, "one")
    given_.now_s -= back_s
    given_.intake.clock_stepped(-back_s)
    given_.now_s += 31
    given_.pass_by(180, "two")
    assert given_.held_by("EURUSD") == "two"
    minutes = list(given_.state().bars.minutes)
    assert len(minutes) in (2, 3)
    assert minutes[-1] == int(given_.now_s) // 60 - 1


def test_candles_of_another_endpoint_stay_where_the_ticks_clock_is_found() -> None:
    given_ = Given()
    given_.bar(int(T) // 60 - 1)
    given_.feed = Endpoint("another", False, ClockOffset("auto"))
    given_.quote(stamp_s=T + 10_800 - 3000.0)
    given_.quote("GBPUSD", stamp_s=T + 10_800)
    assert given_.feed.clock.offset_s == 10_800.0
    assert list(given_.state().bars.minutes) == [int(T) // 60 - 1]


def test_nothing_is_kept_of_a_new_symbol_that_a_wrong_clock_placed() -> None:
    given_ = Given()
    given_.feed = Endpoint("feed", False, ClockOffset("auto"))
    given_.quote(stamp_s=T + 10_800 - 3000.0)
    assert given_.state().first_tick_s is not None
    given_.quote("GBPUSD", stamp_s=T + 10_800)
    assert given_.state().first_tick_s is None


@pytest.mark.parametrize("endpoints", [1, 2])
def test_what_was_taken_over_goes_with_the_clock_that_read_it(endpoints: int) -> None:
    given_ = Mirrored(endpoints=endpoints)
    given_.pass_by(180, "one")
    read_by_one = list(given_.state().bars)
    given_.now_s += 31
    given_.pass_by(1 if endpoints == 1 else 120, "two")  # from another endpoint: and bars since
    assert given_.held_by("EURUSD") == "two"
    assert len(given_.state().bars) == len(read_by_one) + (endpoints == 2)
    given_.terminals["two"].clock.epoch += 1
    given_.pass_by(1, "two")
    assert list(given_.state().bars) == (read_by_one if endpoints == 2 else [])
