"""A price far from the last one counts when another quote agrees; a bad one changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taken_in import Given

from protocol.ea_feed import Tick
from service.features.state import SymbolSnapshot, SymbolState
from service.feed.spikes import Spikes

FAR = [(1100.0, 1100.1), (0.0011, 0.0011001), (1.1, 2.5), (0.4, 1.1001), (1.7, 1.7001), (0.7, 0.7)]


def test_a_market_that_only_moves_fast_is_taken_in() -> None:
    given_ = Given()
    for bid in (1.0, 1.4, 1.0, 0.7, 0.85, 1.2, 0.9):
        given_.now_s += 1
        assert given_.quote(bid=bid, ask=bid) == "accepted"


@pytest.mark.parametrize(("bid", "ask"), FAR)
@pytest.mark.parametrize("seconds", [0, 1])
def test_a_price_that_has_gone_far_costs_one_tick(bid: float, ask: float, seconds: int) -> None:
    given_ = Given()
    given_.quote()
    fates = []
    for step in range(3):
        given_.now_s += seconds
        fates.append(given_.quote(bid=bid, ask=ask * (1.0 + step / 1000.0)))
    assert fates == ["spike", "accepted", "accepted"]


@pytest.mark.parametrize("seconds", [0, 1])
def test_a_bad_quote_that_is_sent_again_confirms_nothing(seconds: int) -> None:
    given_ = Given()
    given_.quote()
    fates = []
    for _ in range(3):
        given_.now_s += seconds
        fates.append(given_.quote(bid=1100.0, ask=1100.1))
    assert fates == (["spike"] * 3 if seconds else ["spike", "repeat", "repeat"])
    given_.now_s += 59 - 2 * seconds
    assert given_.quote(bid=1100.0, ask=1100.1) == "spike"
    given_.now_s += 1
    assert given_.quote(bid=1100.0, ask=1100.1) == "accepted", "all that came for a minute"


def test_the_quote_of_a_closed_market_that_is_out_of_reach_is_one_spike() -> None:
    given_ = Given()
    given_.quote()
    assert given_.quote(bid=1.1, ask=2.5, volume=3.0, stamp_s=given_.now_s) == "spike"
    stamp_s = given_.now_s
    for _ in range(100):
        given_.now_s += 3
        assert given_.quote(bid=1.1, ask=2.5, volume=3.0, stamp_s=stamp_s) == "repeat"


def test_two_bad_quotes_that_disagree_are_two() -> None:
    given_ = Given()
    fates = []
    for bid in (1.1, 1100.0, 0.0011, 1.1):
        given_.now_s += 1
        fates.append(given_.quote(bid=bid, ask=bid))
    assert fates == ["accepted", "spike", "spike", "accepted"]


def test_silence_between_bad_quotes_is_no_minute_of_them() -> None:
    given_ = Given()
    fates = []
    bad = ((30, 0.6, 1.4), (50, 0.005, 1.9), (115, 0.6, 1.4), (116, 0.6, 1.4))
    quotes = ((0, 1.1, 1.1), *bad, (117, 1.1, 1.1))
    for second, bid, ask in (*quotes, *((200 + at_s, bid, ask) for at_s, bid, ask in quotes)):
        given_.now_s += second
        fates.append(given_.quote(bid=bid, ask=ask))
        given_.now_s -= second
    assert fates == ["accepted", "spike", "spike", "spike", "spike", "accepted"] * 2


def test_a_quote_that_is_sent_again_stands_against_those_out_of_reach() -> None:
    given_ = Given()
    good = {"stamp_s": given_.now_s}
    assert given_.quote(**good) == "accepted"
    assert given_.quote(bid=1100.0, ask=1100.1, **good) == "spike"
    assert given_.quote(**good) == "repeat"
    assert given_.quote(bid=1101.0, ask=1101.1, **good) == "spike"


def test_what_was_said_before_a_jump_contradicts_nothing_of_it() -> None:
    given_ = Given()
    old_s = given_.now_s
    given_.quote()
    fates = []
    for bid in (2.2, 2.21, 2.22):
        given_.now_s += 1
        fates.append(given_.quote(bid=bid, ask=bid))
        fates.append(given_.quote(stamp_s=old_s))
    assert fates == ["spike", "repeat", "accepted", "late", "accepted", "late"]


def test_a_market_of_wide_spreads_is_taken_in() -> None:
    given_ = Given()
    for _ in range(3):
        given_.now_s += 1
        assert given_.quote(bid=1.0, ask=2.0) == "accepted"


def test_a_spread_that_narrows_is_taken_in_though_its_ask_falls_far() -> None:
    given_ = Given()
    assert given_.quote(bid=80.0, ask=200.0) == "accepted"
    given_.now_s += 1
    assert given_.quote(bid=100.0, ask=100.1) == "accepted"


def test_after_a_start_too_a_bad_quote_sent_again_is_one() -> None:
    given_ = Given()
    given_.bar(int(given_.now_s) // 60 - 1)
    fates = [given_.quote(bid=0.6, ask=1.8, stamp_s=given_.now_s) for _ in range(3)]
    given_.now_s += 3600
    fates += [given_.quote(bid=0.01, ask=20.0), given_.quote()]
    assert fates == ["spike", "repeat", "repeat", "spike", "accepted"]


def test_quotes_that_never_agree_are_kept_out_for_a_minute_at_most() -> None:
    given_ = Given()
    fates = []
    for second in range(63):
        given_.now_s += 1
        bid = 100.0 if second == 0 else 60.0 + second / 100.0
        fates.append(given_.quote(bid=bid, ask=150.0 if second % 2 else bid))
    assert fates == ["accepted", *["spike"] * 60, "accepted", "accepted"]


def test_a_clock_that_is_set_back_begins_the_minute_anew() -> None:
    spikes = Spikes()
    stamps = (10_000.0, 0.0, 59.0, 60.0)
    ticks = [Tick("EURUSD", 2.0, 2.0, 0.0, stamp_s, "") for stamp_s in stamps]
    fates = [spikes.refusal(1, 1.0, 1.0, tick) for tick in ticks]
    assert fates == ["tick_spike", "tick_spike", "tick_spike", None]


def test_the_first_tick_after_a_start_is_judged_by_the_last_bar() -> None:
    given_ = Given()
    given_.bar(int(given_.now_s) // 60 - 1)
    bars = tuple(given_.state().bars)
    again = Given()
    again.intake.restore(
        SymbolState.restore(SymbolSnapshot("EURUSD", bars, (), None, None)), again.now_s
    )
    assert again.quote(bid=0.1, ask=0.1) == "spike"
    assert again.quote() == "accepted"


@given(st.lists(st.sampled_from([None, *FAR]), max_size=120))
def test_single_bad_quotes_leave_what_is_known_as_it_would_be_without_them(
    bad: list[tuple[float, float] | None],
) -> None:
    clean, dirty = Given(), Given()
    for number, spike in enumerate(bad):
        for given_ in (clean, dirty):
            given_.now_s += 7
            bid = 1.1 + 0.001 * (number % 5)
            assert given_.quote(bid=bid, ask=bid + 0.0001) == "accepted"
        if spike is not None:
            dirty.now_s += 0.5
            assert dirty.quote(bid=spike[0], ask=spike[1]) == "spike"
            dirty.now_s -= 0.5
    if bad:
        ours, theirs = clean.state(), dirty.state()
        assert (ours.mid, list(ours.spreads)) == (theirs.mid, list(theirs.spreads))
        assert list(ours.bars.closes) == list(theirs.bars.closes)
        assert ours.revision == theirs.revision
