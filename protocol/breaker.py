"""A circuit breaker: after time-outs in a row nobody waits any more until a probe is answered.

Pure: counts are given to it, and the pause before a probe is drawn from a number that is an
argument. `prober` turns it, for the clients of both kinds.
"""

from __future__ import annotations


class Breaker:
    """Closed at first; opens at the `after`-th time-out in a row (0: never).

    Calls that are under way together are of one evidence: `news` grows with each answer and each
    time-out that counts, and one that began before the last of them is no further time-out.
    """

    __slots__ = ("_after", "_timeouts", "is_open", "news")

    def __init__(self, after: int) -> None:
        self._after = after
        self._timeouts = 0
        self.news = 0
        self.is_open = False

    def answered(self) -> None:
        """Something answered: close."""
        self.news += 1
        self._timeouts = 0
        self.is_open = False

    def timed_out(self, news: int) -> bool:
        """A call that began at this `news` got no answer. True where that opens the circuit."""
        if self.is_open or news != self.news:
            return False
        self.news += 1
        self._timeouts += 1
        self.is_open = 0 < self._after <= self._timeouts
        return self.is_open


def pause_s(interval_s: float, draw: float) -> float:
    """The pause before a probe, from half to one and a half intervals; `draw` in 0..1.

    Clients that lost the service together do not come back together.
    """
    return interval_s * (0.5 + draw)
