"""What a mean of overlapping signals is worth: a bound by days, not by signals.

The rule: signals of one day share their luck, so days are what is counted, or longer stretches
where signals run for longer. With few of them the t distribution's quantile stands for the normal
one. What days share with the next is not seen.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from service.arrays import Floats, Ints

DAY_S = 86_400.0
BLOCK_S = 14_400.0
LEVEL = 0.95
ROUNDING = 1e-9
"""Of all weight: less is left only by rounding."""
FEWEST_JUDGED, FEWEST_JUDGED_DAYS = 50, 5
"""Signals, and days of them, below which a served model is not judged."""


class Mean(NamedTuple):
    """A weighted mean, its standard error by clusters and their number."""

    value: float
    error: float
    clusters: int

    @property
    def low(self) -> float:
        """The one-sided 95 % bound: value - t(0.95; clusters - 1) * error."""
        return self.value - self.margin

    @property
    def high(self) -> float:
        """The one-sided 95 % bound on the other side."""
        return self.value + self.margin

    @property
    def margin(self) -> float:
        """Half of the two-sided 90 % interval; endless with a single cluster."""
        return t_quantile(self.clusters - 1) * self.error if self.clusters > 1 else np.inf


def days(time_s: Floats) -> Ints:
    """The UTC day (n,) of each moment."""
    return np.floor(time_s / DAY_S).astype(np.int64)


def stretches(time_s: Floats, holding_s: float) -> Ints:
    """The day (n,) of each moment, or a longer stretch where signals may run for `holding_s`.

    Twice the holding time, so that most of what runs together ends together.
    """
    return np.floor(time_s / max(DAY_S, 2.0 * holding_s)).astype(np.int64)


def blocks(time_s: Floats, holding_s: float = 0.0) -> Ints:
    """The four hours (n,) of each moment: longer than a signal runs, many where days are few."""
    return np.floor(time_s / max(BLOCK_S, holding_s)).astype(np.int64)


def clustered(values: Floats, weight: Floats, groups: Ints) -> Mean:
    """The weighted mean of `values` (n,) and its error, rows of one group being dependent."""
    value = float(np.sum(weight * values) / weight.sum())
    falls = without_each(values, weight, groups)
    return Mean(value, jackknifed(falls), len(falls))


def without_each(values: Floats, weight: Floats, groups: Ints) -> Floats:
    """By how much the weighted mean falls where each group is left out in turn (G,).

    NaN for a group that has all weight: nothing is left without it.
    """
    total = float(weight.sum())
    value = float(np.sum(weight * values) / total)
    _, member = np.unique(groups, return_inverse=True)
    others = total - np.bincount(member, weights=weight)
    sums = np.bincount(member, weights=weight * (values - value))
    falls: Floats = np.divide(
        sums, others, out=np.full(len(sums), np.nan), where=others > ROUNDING * total
    )
    return falls


def jackknifed(falls: Floats) -> float:
    """The error of a number that falls by these (G,) without each group in turn.

    The root of (G - 1) / G times the sum of their squares: Bell and McCaffrey 2002. It counts how
    much a group that outweighs the others pulls the mean to itself; with groups of equal weight it
    is the sandwich of Liang and Zeger 1986, times G / (G - 1).
    """
    count = len(falls)
    if count < 2 or not np.isfinite(falls).all():
        return float("inf")
    return float(np.sqrt(np.sum(falls**2) * (count - 1) / count))


def t_quantile(degrees: int, level: float = LEVEL) -> float:
    """Student's t quantile."""
    from scipy.special import stdtrit  # type: ignore[import-untyped]

    return float(stdtrit(degrees, level))


def normal_deviate(t: float, degrees: int) -> float:
    """The standard normal deviate as improbable as Student's `t`; -30..30."""
    from scipy.special import ndtri, stdtr

    if not np.isfinite(t) or degrees < 1:
        return 0.0
    # The lower tail is the accurate one.
    deviate = -float(ndtri(max(float(stdtr(degrees, -abs(t))), 1e-190)))
    return float(np.copysign(deviate, t))
