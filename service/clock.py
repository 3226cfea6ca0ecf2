"""The only place that reads clocks for the loop and what it turns.

UTC is anchored once and carried on by the monotonic clock, so that a step of the wall
clock never runs through the features; the anchor is renewed, and the step counted, when
housekeeping finds the two more than a second apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """UTC seconds and monotonic seconds; tests turn one by hand."""

    def utc_s(self) -> float:
        """Seconds since the epoch, never stepping while in use."""

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start, for latency, deadlines and staleness."""


class SystemClock:
    """The machine's clocks; `wall_s` is the one that may step."""

    def __init__(self, wall_s: Callable[[], float] = time.time) -> None:
        self._wall_s = wall_s
        self._anchor_s = wall_s() - time.monotonic()

    def utc_s(self) -> float:
        """Seconds since the epoch: the anchor carried on by the monotonic clock."""
        return self._anchor_s + time.monotonic()

    monotonic_s = staticmethod(time.monotonic)
    """Seconds since boot."""

    def reanchor(self) -> float:
        """Follow a step of the wall clock of more than a second; returns the step in s."""
        step_s = self._wall_s() - self.utc_s()
        if abs(step_s) <= 1.0:
            return 0.0
        self._anchor_s += step_s
        return step_s
