"""Counts of durations by bucket, cheap enough for every request: one bisection, two additions.

Read from another thread while it grows: a reader may see a sum that is one value behind.
"""

from __future__ import annotations

from bisect import bisect_left

LATENCY_BOUNDS_S = (
    *(50e-6, 100e-6, 150e-6, 200e-6, 300e-6, 500e-6),
    *(1e-3, 2e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1.0),
)
TURN_BOUNDS_S = (100e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1.0, 2.5)


class Histogram:
    """`counts[i]` values were at most `bounds_s[i]`, the last ones more than any bound."""

    __slots__ = ("bounds_s", "counts", "sum_s")

    def __init__(self, bounds_s: tuple[float, ...]) -> None:
        self.bounds_s = bounds_s
        self.counts = [0] * (len(bounds_s) + 1)
        self.sum_s = 0.0

    def observe(self, value_s: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(self.bounds_s, value_s)] += 1
        self.sum_s += value_s

    def cumulative(self) -> list[tuple[str, int]]:
        """(upper bound in s, how many were at most that), as Prometheus wants its buckets."""
        total, buckets = 0, []
        bounds = [*(f"{bound:g}" for bound in self.bounds_s), "+Inf"]
        for bound, count in zip(bounds, self.counts.copy(), strict=True):
            total += count
            buckets.append((bound, total))
        return buckets
