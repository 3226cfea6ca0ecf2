"""Calibration without a formula, for large samples: win rates by promise that never fall.

The rule: what comes out rises, never promises 0 or 1, and has at most as many points as bins.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.arrays import Bools, Floats

BINS = 20
DIGITS = 12
"""Of an answer that tell it from another."""


class Isotonic(NamedTuple):
    """calibrated = `values` interpolated linearly over `points` at raw; the ends hold beyond."""

    points: Floats
    values: Floats

    def __call__(self, raw: Floats) -> Floats:
        """The calibrated probabilities (n,) of the forest's (n,)."""
        result: Floats = np.interp(raw, self.points, self.values)
        return result


class Bins(NamedTuple):
    """Which of 20 bins of equal size each answer (n,) lies in, by the forest's probability."""

    member: NDArray[np.intp]
    raw: Floats
    number: int


def binned(raw: Floats) -> Bins:
    """Divide answers (n,); ties may be divided too, in order of time."""
    count = min(BINS, len(raw))
    order = np.argsort(raw, kind="stable")
    member = np.empty(len(raw), dtype=np.intp)
    member[order] = np.arange(len(raw)) * count // len(raw)
    return Bins(member, raw, count)


def fit_isotonic(bins: Bins, y: Bools, weight: Floats) -> Isotonic | None:
    """The rising win rates that fit best; None where these come out as one and the same.

    Pool adjacent violators (Ayer et al., Ann. Math. Stat. 26 (1955) 641) over the bins, each
    pool a point at its mean, with straight lines between (Oron and Flournoy 2017): a step
    function would put signals on a level that the forest tells apart. A bin's rate is drawn
    to the base rate by the weight of one signal, so that none promises 0 or 1.
    """
    from scipy.optimize import isotonic_regression  # type: ignore[import-untyped]

    size = np.bincount(bins.member, weights=weight, minlength=bins.number)
    used = size > 0.0
    base = float(np.average(y, weights=weight))
    wins = np.bincount(bins.member, weights=weight * y, minlength=bins.number)[used]
    at = np.bincount(bins.member, weights=weight * bins.raw, minlength=bins.number)[used]
    size = size[used]
    rate = isotonic_regression((wins + base) / (size + 1.0), weights=size).x
    pool = np.concatenate([[0], np.cumsum(np.diff(rate) > 0.0)])
    mass = np.bincount(pool, weights=size)
    values = np.bincount(pool, weights=size * rate) / mass
    # Closer ones are the same answer, and the line between them would have no finite slope.
    means = np.round(np.bincount(pool, weights=at) / mass, DIGITS)
    points, first = np.unique(means, return_index=True)
    if len(points) < 2:
        return None
    return Isotonic(points, np.maximum.accumulate(np.clip(values[first], 0.0, 1.0)))
