"""*Now* does not go back, so that no vector depends on who had asked before."""

from __future__ import annotations

from collections import Counter
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st
from taken_in import Given, T

from service.features.vector import Vector
from service.feed.feed_time import BEHIND_S
from service.vectors import Vectors

SYMBOLS = ("A", "B")


class Asked(Given):
    """An intake that is asked for vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.vectors = Vectors(self.intake, Counter())

    def vector(self, symbol: str, now_s: float) -> Vector:
        self.intake.roll(now_s)
        return self.vectors.vector(self.intake.feeds.get(symbol), symbol, now_s, 1, 70.0)


def test_now_waits_for_stamps_that_lag_behind_what_it_was() -> None:
    given_ = Given()
    given_.quote(stamp_s=T - 2)
    given_.now_s += 2.03
    assert given_.intake.time.now(given_.now_s) == T + 0.03 - 2 + 2
    given_.quote(stamp_s=T - 1, bid=1.0999)
    assert given_.intake.time.now(given_.now_s + 0.5) == T + 0.03
    given_.quote(stamp_s=T + 1)
    assert given_.intake.time.now(given_.now_s) == T + 1
    assert given_.intake.time.now(given_.now_s + 0.5) == T + 1.5


def test_a_feed_that_stays_behind_takes_now_back() -> None:
    given_ = Given()
    given_.quote(stamp_s=T)
    given_.now_s += BEHIND_S + 10  # a recording that was stopped, and goes on where it was
    held_s = given_.intake.time.now(given_.now_s)
    given_.quote(stamp_s=T + 11)
    assert given_.intake.time.now(given_.now_s) == held_s
    given_.now_s += BEHIND_S + 2
    given_.intake.time.now(given_.now_s)
    given_.quote(stamp_s=T + 12)
    assert given_.intake.time.now(given_.now_s) == T + 12


def test_a_feed_that_begins_anew_takes_now_with_it() -> None:
    given_ = Given()
    given_.quote(stamp_s=T)
    assert given_.intake.time.now(given_.now_s + 20) == T + 20
    given_.feed.clock.offset_s += 30.0
    given_.feed.clock.epoch += 1
    given_.quote(stamp_s=T + 1)
    assert given_.intake.time.now(given_.now_s) == T + 1 - 30


moments = st.tuples(
    st.sampled_from([0.01, 0.99, 1.0, 2.0, 29.0]),  # until the market's next tick
    st.sampled_from(SYMBOLS),
    st.integers(-9, 9),
    st.sampled_from([0.0, 0.02, 0.98, 5.0]),  # how long it is on its way
    st.sampled_from(["", *SYMBOLS]),  # who asks just before it comes
)


def filled() -> Asked:
    """Two symbols with half an hour of bars and nearly a minute of ticks."""
    given_ = Asked()
    for minute, symbol in product(range(30, 0, -1), SYMBOLS):
        given_.bar(int(T) // 60 - minute, symbol)
    for second, symbol in product(range(58), SYMBOLS):
        given_.now_s = T + second
        given_.quote(symbol, 1.1 + second % 5 * 1e-3, 1.2, volume=1.0)
    return given_


@settings(max_examples=60)
@given(st.lists(moments, min_size=1, max_size=12), st.booleans())
def test_a_vector_does_not_depend_on_who_asked_before(
    feed: list[tuple[float, str, int, float, str]], whole_seconds: bool
) -> None:
    busy, quiet = filled(), filled()
    market_s = came_s = T + 57
    for passed_s, symbol, step, on_its_way_s, asks in feed:
        market_s += passed_s
        came_s = max(came_s, market_s + on_its_way_s)
        if asks:
            busy.vector(asks, busy.intake.time.now(came_s))
        stamp_s = market_s // 1 if whole_seconds else market_s
        for given_ in (busy, quiet):
            given_.now_s = came_s
            given_.quote(symbol, 1.1 + step * 1e-3, 1.2, stamp_s=stamp_s, volume=1.0 + step % 3)
    now_s = busy.intake.time.now(came_s + 0.01)
    for symbol in SYMBOLS:
        assert busy.vector(symbol, now_s) == quiet.vector(symbol, now_s)
