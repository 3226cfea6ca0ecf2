"""What *now* is: the one time by which the windows, bars and decay of all symbols go.

Pure: it is told event times and the receive times at which they came, and reads no clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from service.feed.symbol_feed import NEVER

BEHIND_S = 60.0
"""Stamps that lag behind *now* by no more than this are waited for: the EA's are whole seconds, and
a feed that stood still catches up. One that is further behind stays there."""

NOW_AHEAD_S = 60.0
"""More than a clock that is kept right leads by, or than a stamp in whole seconds. Where *now*
leads by more, an offset that is to be learnt is not found yet."""
FOUND_WITHIN_S = 300.0
"""So long *now* may lead the wall by more than NOW_AHEAD_S while a feed's clock is being found."""


@dataclass(slots=True)
class FeedTime:
    """*Now* in UTC s: the newest event time plus what has passed since that was received.

    Without an event time it is the receive time itself. It moves with the receive time, so that
    windows and decay go on without ticks, and with each newer event time. Where that makes less
    than was told before, which may have closed bars, it waits there until the stamps have caught
    up; by more than BEHIND_S it goes back, as it may once it was forgotten. It is ahead while it
    leads the receive time by more than NOW_AHEAD_S, but for FOUND_WITHIN_S at most.

    `event_s` is the newest event time, NEVER before there is one; `came_s` (receive time) is when
    it came or, before the first, when somebody first asked for *now*.
    """

    event_s: float = NEVER
    came_s: float = NEVER
    _told_s: float = NEVER
    _ahead_since_s: float = NEVER

    def now(self, receive_time_s: float) -> float:
        """*Now* at a receive time, for somebody who may act on it: it counts as told."""
        if self.event_s == NEVER:
            if self.came_s == NEVER:
                self.came_s = receive_time_s
            return receive_time_s
        now_s = self.event_s + max(0.0, receive_time_s - self.came_s)
        if not 0.0 < self._told_s - now_s <= BEHIND_S:
            self._told_s = now_s
        return self._told_s

    def is_ahead(self, receive_time_s: float) -> bool:
        """Whether *now* has come to lead what the wall says, but not for long.

        A clock that is being found does so for a minute or two; a recording that is played faster
        than it was made does for good, and is meant.
        """
        ahead_s = self.now(receive_time_s) - receive_time_s
        return ahead_s > NOW_AHEAD_S and receive_time_s - self._ahead_since_s <= FOUND_WITHIN_S

    def move(self, event_s: float, receive_time_s: float) -> None:
        """An event time that is newer than `event_s` came."""
        self.event_s = event_s
        self.came_s = receive_time_s
        if event_s <= receive_time_s + NOW_AHEAD_S:
            self._ahead_since_s = NEVER
        elif self._ahead_since_s == NEVER:
            self._ahead_since_s = receive_time_s

    def forget(self) -> None:
        """The event times so far are not comparable with those that follow: *now* begins anew."""
        self.event_s = self._told_s = self._ahead_since_s = NEVER

    def clock_stepped(self, step_s: float) -> None:
        """UTC was set on by `step_s` (negative: back): receive times from before move with it."""
        self.came_s += step_s
        self._ahead_since_s += step_s
