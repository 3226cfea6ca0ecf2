"""A price far from the last one counts when a second quote agrees; a bad one changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taken_in import Given

FAR = [(1100.0, 1100.1), (0.0011, 0.0011001), (1.1, 2.2), (1.25, 1.2501), (0.95, 0.9501)]


def test_a_quote_within_a_tenth_of_the_last_one_is_no_spike() -> None:
    given_ = Given()
    for bid in (1.0, 1.09, 0.99, 1.08, 1.18):
        given_.now_s += 1
        assert given_.quote(bid=bid, ask=bid) == "accepted"


@pytest.mark.parametrize(("bid", "ask"), FAR)
def test_a_price_that_has_moved_costs_one_tick(bid: float, ask: float) -> None:
    given_ = Given()
    given_.quote()
    fates = []
    for _ in range(3):
        given_.now_s += 1
        fates.append(given_.quote(bid=bid, ask=ask))
    assert fates == ["spike", "accepted", "accepted"]


def test_a_bad_quote_that_is_sent_again_confirms_nothing() -> None:
    given_ = Given()
    stamp_s = given_.now_s
    given_.quote()
    fates = []
    for _ in range(3):
        given_.now_s += 1
        fates.append(given_.quote(bid=1100.0, ask=1100.1, stamp_s=stamp_s + 1))
    assert fates == ["spike"] * 3


def test_two_bad_quotes_that_disagree_are_two() -> None:
    given_ = Given()
    fates = []
    for bid in (1.1, 1100.0, 0.0011, 1.1):
        given_.now_s += 1
        fates.append(given_.quote(bid=bid, ask=bid))
    assert fates == ["accepted", "spike", "spike", "accepted"]


def test_a_market_of_wide_spreads_is_taken_in() -> None:
    given_ = Given()
    for _ in range(3):
        given_.now_s += 1
        assert given_.quote(bid=1.0, ask=1.5) == "accepted"


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
