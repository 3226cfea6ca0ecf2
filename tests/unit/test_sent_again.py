"""A publisher that sends each symbol's last ticks again, as caches do at a subscription."""

from __future__ import annotations

import pytest
from taken_in import Given, T

from service.feed.clock_offset import ClockOffset
from service.feed.intake import RESTART_AFTER_LATE
from service.feed.symbol_feed import Endpoint

MINUTE = int(T) // 60


class SentAgain(Given):
    """Ticks of a live feed, and the last of them once more."""

    def __init__(self, apart_s: float, count: int) -> None:
        super().__init__()
        self.feed = Endpoint("feed", False, ClockOffset("auto"))
        self.now_s += 30.0
        self.apart_s = apart_s
        for _ in range(count):
            self.tick()

    def tick(self) -> str:
        self.now_s += self.apart_s
        return self.tick_of(self.now_s)

    def tick_of(self, stamp_s: float) -> str:
        return self.quote(bid=1.1 + stamp_s % 7 * 1e-4, ask=1.2, stamp_s=stamp_s)

    def again(self, count: int) -> list[str]:
        """The last ticks come once more, all within a moment."""
        newest_s = self.now_s
        fates = []
        for ago in range(count - 1, -1, -1):
            self.now_s += 0.0005
            fates.append(self.tick_of(newest_s - ago * self.apart_s))
        self.now_s = newest_s
        return fates

    def minutes(self) -> list[int]:
        return list(self.state().bars.minutes)


def test_the_last_minutes_sent_again_change_nothing() -> None:
    for count in (60, 890):
        given_ = SentAgain(1.0, 90 * 60)
        before, revision, bars = given_.minutes(), given_.state().revision, given_.state().bars
        assert len(before) == 89
        assert given_.again(count) == ["late"] * (count - 1) + ["repeat"]
        assert not given_.intake.changes
        assert given_.state().revision == revision
        assert given_.tick() == "accepted"
        assert given_.state().bars is bars
        assert given_.minutes()[:89] == before


@pytest.mark.parametrize(("minutes", "speed"), [(14, 10.0), (14, 12.0), (6, 5.0)])
def test_the_last_minutes_sent_again_more_slowly_cost_no_bar_either(
    minutes: int, speed: float
) -> None:
    given_ = SentAgain(1.0, 90 * 60)
    before, newest_s = given_.minutes(), given_.now_s
    for ago in range(60 * minutes, 0, -1):
        given_.now_s += 1.0 / speed
        given_.tick_of(newest_s - ago)
    assert not given_.intake.changes
    assert given_.minutes()[: len(before)] == before


@pytest.mark.parametrize(("speed", "begun_anew"), [(2.0, 3), (2.5, 0), (10.0, 0)])
def test_a_short_recording_is_read_again_at_no_more_than_double_speed(
    speed: float, begun_anew: int
) -> None:
    given_ = Given()
    given_.feed = Endpoint("feed", False, ClockOffset("auto"))
    for _ in range(4):
        for second in range(600):
            given_.now_s += 1.0 / speed
            given_.quote(bid=1.1 + second % 7 * 1e-4, ask=1.2, stamp_s=T - 86_400.0 + second)
        given_.now_s += 30.0
    assert given_.intake.changes["symbol_restarted"] == begun_anew


def test_a_longer_past_costs_no_bar_from_before_it() -> None:
    given_ = SentAgain(60.0, 90)
    partial = set()
    for _ in range(3):
        given_.again(60)
        newest = int(given_.now_s) // 60
        # That of the first tick that is believed again.
        partial.add(newest - 60 + RESTART_AFTER_LATE + 1)
        assert given_.minutes() == [m for m in range(MINUTE + 2, newest) if m not in partial]
        given_.tick()
    assert given_.intake.changes == {"symbol_restarted": 3}


def test_nothing_is_kept_that_had_not_closed_by_what_is_sent_again() -> None:
    given_ = SentAgain(60.0, 90)
    newest_s = given_.now_s
    for ago in range(60, 8, -1):
        given_.tick_of(newest_s - 60.0 * ago)
    assert given_.intake.changes == {"symbol_restarted": 1}
    now_s = given_.intake.time.now(given_.now_s)
    assert now_s == newest_s - 9 * 60.0
    assert given_.minutes()[-1] < int(now_s) // 60


def test_a_clock_that_went_back_leaves_no_bar() -> None:
    given_ = SentAgain(1.0, 20 * 60)
    given_.feed = given_.endpoint("feed")  # a given offset, while the sender's clock is set back
    for _ in range(70):
        given_.now_s += 1.0
        given_.tick_of(given_.now_s - 600.0)
    assert given_.intake.changes == {"symbol_restarted": 1}
    assert given_.minutes() == []
