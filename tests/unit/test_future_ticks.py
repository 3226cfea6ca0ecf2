"""A tick of the future costs nobody anything once the clock is known."""

from __future__ import annotations

import pytest
from taken_in import Given, T

from service.features.state import SymbolState
from service.feed.clock_offset import ClockOffset
from service.feed.symbol_feed import Endpoint

THREE_HOURS_S = 10_800.0


class Unknown(Given):
    """A feed by a broker's clock, of which nothing is known yet."""

    def __init__(self) -> None:
        super().__init__()
        self.feed = Endpoint("feed", False, ClockOffset("auto"))

    def tick(self, symbol: str, ahead_s: float = 0.0) -> str:
        bid = 1.1 + self.now_s % 7 * 1e-4
        return self.quote(symbol, bid, 1.2, stamp_s=self.now_s + ahead_s + THREE_HOURS_S)

    def pass_by(self, seconds: int, *, ahead_s: float = 0.0) -> None:
        """A ticks each second, B once a minute; in the third second it leads by `ahead_s`."""
        for _ in range(seconds):
            self.now_s += 1.0
            self.tick("A")
            second = self.now_s - T
            if second % 60 == 1:
                self.tick("B")
            if second == 3 and ahead_s:
                assert self.tick("B", ahead_s) == "accepted"
                assert self.intake.time.now(self.now_s) == self.now_s + ahead_s


@pytest.mark.parametrize("ahead_s", [120.0, 7200.0, 72_000.0])
def test_what_a_tick_of_the_future_did_ends_when_the_clock_is_confirmed(ahead_s: float) -> None:
    given_ = Unknown()
    for symbol in ("A", "B"):
        state = SymbolState(symbol)
        state.add_candle(int(T) // 60 - 1, 1.1, 1.2, 1.0, 1.1)
        given_.intake.restore(state, T)
    given_.pass_by(40, ahead_s=ahead_s)
    assert (given_.feed.clock.state, given_.feed.clock.offset_s) == ("live", THREE_HOURS_S)
    assert given_.intake.time.now(given_.now_s) == given_.now_s
    assert given_.intake.changes == {"offset_reset": 1, "future_forgotten": 1}
    given_.pass_by(300)
    assert given_.intake.feeds["B"].event_s == T + 301
    for symbol in ("A", "B"):
        assert given_.state(symbol).bars.minutes[0] == int(T) // 60 - 1
    assert given_.state("A").bars.minutes[-1] == int(T) // 60 + 4


def test_bars_that_only_a_future_could_close_go_with_it() -> None:
    given_ = Unknown()
    given_.pass_by(3)
    for ahead_s in (7200.0, 7260.0, 7320.0):
        given_.now_s += 1.0
        assert given_.tick("B", ahead_s) == "accepted"
    assert len(given_.state("B").bars) == 1
    given_.pass_by(30)
    assert given_.feed.clock.state == "live"
    assert given_.intake.time.now(given_.now_s) == given_.now_s
    assert len(given_.state("B").bars) == 0


def test_a_clock_that_is_confirmed_forgets_nothing_else() -> None:
    given_ = Unknown()
    given_.pass_by(40)
    assert given_.feed.clock.state == "live"
    assert given_.intake.feeds["A"].ticks == 40
    assert given_.state("A").mid is not None
    assert given_.intake.changes == {"offset_reset": 1}


def test_a_future_of_another_endpoint_stays_where_its_clock_was_given() -> None:
    given_ = Unknown()
    given_.pass_by(3)
    given_.quote("C", stamp_s=given_.now_s + 7200, endpoint=given_.endpoint("configured"))
    given_.pass_by(37)
    assert given_.feed.clock.state == "live"
    assert given_.intake.time.now(given_.now_s) == T + 7240


def test_a_future_whose_sender_breaks_off_ends_when_another_takes_over() -> None:
    given_ = Unknown()
    broken, other = (Endpoint(name, False, ClockOffset("auto")) for name in ("a", "b"))

    def tick(endpoint: Endpoint, symbol: str, ahead_s: float = 0.0) -> None:
        given_.feed = endpoint
        given_.tick(symbol, ahead_s)

    for _ in range(3):
        given_.now_s += 1.0
        tick(broken, "X")
        tick(other, "Z")
    tick(broken, "X", 7200.0)
    for _ in range(60):
        given_.now_s += 1.0
        tick(other, "X")
        tick(other, "Z")
    assert (other.clock.state, given_.intake.feeds["X"].source[0]) == ("live", "b")
    assert given_.intake.time.now(given_.now_s) == given_.now_s


def test_a_symbol_that_began_in_the_future_begins_when_its_next_tick_comes() -> None:
    given_ = Unknown()
    given_.pass_by(3)
    given_.tick("NEW", 72_000.0)
    given_.pass_by(40)
    assert given_.feed.clock.state == "live"
    given_.tick("NEW")
    assert given_.state("NEW").first_tick_s == given_.now_s
