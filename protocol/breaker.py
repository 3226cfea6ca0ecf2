"""A circuit breaker: after time-outs in a row nobody waits any more until a probe is answered.

Pure: counts are given to it, and the pause before a probe is drawn from a number that is an
argument. `client` and `aio` share it, `prober` turns it.
"""

from __future__ import annotations


class Breaker:
    """Closed at first; opens at the `after`-th time-out in a row (0: never)."""

    __slots__ = ("_after", "_timeouts", "answers", "is_open")

    def __init__(self, after: int) -> None:
        self._after = after
        self._timeouts = 0
        self.answers = 0
        self.is_open = False

    def answered(self) -> None:
        """Something answered: close."""
        self.answers += 1
        self._timeouts = 0
        self.is_open = False

    def timed_out(self, answers: int) -> bool:
        """A call that began after so many `answers` got none. True where that opens the circuit.

        Where another call was answered meanwhile the service is there, and what was held up is
        the caller: its loop, or its threads.
        """
        if answers != self.answers:
            return False
        self._timeouts += 1
        if self.is_open or not self._after or self._timeouts < self._after:
            return False
        self.is_open = True
        return True


def pause_s(interval_s: float, draw: float) -> float:
    """The pause before a probe, from half to one and a half intervals; `draw` in 0..1.

    Clients that lost the service together do not come back together.
    """
    return interval_s * (0.5 + draw)
