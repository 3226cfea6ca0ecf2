"""How fast counters rise: the difference of two looks, and the last of these as a line."""

from __future__ import annotations

from collections import deque
from typing import Any

from service.top.look import Look

KEPT = 120
BLOCKS = "▁▂▃▄▅▆▇█"


class Rate:
    """A counter's rises per second; `now` is None until it was seen twice."""

    def __init__(self) -> None:
        self.now: float | None = None
        self._past: deque[float] = deque(maxlen=KEPT)
        self._last: tuple[float, float] | None = None

    def see(self, at_s: float, count: float) -> None:
        """The counter stands here now. One that fell began anew with its process."""
        if self._last is not None and at_s > self._last[0] and count >= self._last[1]:
            self.now = (count - self._last[1]) / (at_s - self._last[0])
            self._past.append(self.now)
        self._last = (at_s, count)

    def lost(self) -> None:
        """Nobody answered: what comes next is not compared with what was."""
        self.now, self._last = None, None

    def line(self, width: int) -> str:
        """The last values as blocks, the newest to the right, the highest filling its place."""
        values = list(self._past)[-width:]
        top = max(values, default=0.0)
        if top <= 0.0:
            return (BLOCKS[0] * len(values)).rjust(width)
        scale = len(BLOCKS) - 1
        return "".join(BLOCKS[round(value / top * scale)] for value in values).rjust(width)


class Trend:
    """The rates that are shown."""

    def __init__(self) -> None:
        self.ticks = Rate()
        self.scores = Rate()

    def see(self, look: Look) -> None:
        """Take in one look."""
        rates = (self.ticks, self.scores)
        if look.stats is None:
            for rate in rates:
                rate.lost()
            return
        for rate, count in zip(rates, counts(look.stats), strict=True):
            rate.see(look.at_s, count)


ACCEPTED = ("tick_accepted", "candle_accepted")
HARMLESS = frozenset(
    {"tick_repeat", "candle_duplicate", "candle_other_timeframe", "candle_not_ended"}
    | {"candle_early", "candle_no_clock"}
)
"""Fates of messages that say nothing against their sender."""


def counts(stats: dict[str, Any]) -> tuple[int, int]:
    """Messages applied and signals answered, since the start."""
    fates = stats["feed"]["counts"]
    applied = sum(fates.get(name, 0) for name in ACCEPTED)
    answered = sum(n for name, n in stats["scores"].items() if name.startswith("status_"))
    return applied, answered


def refusals(stats: dict[str, Any]) -> dict[str, int]:
    """Messages of the feed that were not applied and should have been, by reason."""
    fates = stats["feed"]["counts"]
    return {name: n for name, n in fates.items() if name not in HARMLESS and name not in ACCEPTED}
