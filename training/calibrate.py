"""From the forest's probability to the one that is served, out of out-of-sample predictions.

The rule: nothing here sees a prediction that was made on its own training rows, and rows
come in time order, so that what is chosen is always judged on what came later.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.manifest import Calibration
from training.logit import Prior, fit_logit, logit, sigmoid, slope_in_errors, with_constant

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

COVERAGE = 0.9
RESAMPLES = 200
GRID = np.linspace(0.0, 1.0, 41)
# Forests of such large leaves are too timid by about this much, measured on planted edges.
SLOPE = Prior(mean=1.5, spread=0.5)
# The odds against an edge that evidence has to overcome; see `shrink_weight`.
ODDS_AGAINST = 20.0


@dataclass(frozen=True, slots=True)
class Curve:
    """calibrated = sigmoid(slope * logit(raw) + intercept), p = base + w * (calibrated - base)."""

    slope: float
    intercept: float
    shrink_weight: float
    base_rate: float

    def calibrated(self, raw: Floats) -> Floats:
        """Before it is shrunk; slope and calibration are judged on this."""
        return sigmoid(self.slope * logit(raw) + self.intercept)

    def served(self, raw: Floats) -> Floats:
        """What the service answers, see protocol.manifest.Calibration."""
        p = self.base_rate + self.shrink_weight * (self.calibrated(raw) - self.base_rate)
        return np.clip(p, 0.0, 1.0)


def fit_platt(raw: Floats, y: Bools, weight: Floats | None = None) -> tuple[float, float]:
    """Return slope and intercept of sigmoid(slope * logit(raw) + intercept), fitted to wins `y`.

    Maximum posterior on Platt's smoothed targets (n+ + 1)/(n+ + 2) and 1/(n- + 2), which
    keep it finite on separable data (Platt 1999; Lin, Lin and Weng 2007), with SLOPE for a
    prior, so that few answers do not throw the slope about. A negative slope would rank
    against the forest: it is held at 0, which leaves the base rate.
    """
    w = np.ones(len(raw)) if weight is None else weight
    wins, losses = float(w[y].sum()), float(w[~y].sum())
    target = np.where(y, (wins + 1.0) / (wins + 2.0), 1.0 / (losses + 2.0))
    slope, intercept = fit_logit(with_constant(logit(raw)), target, w, SLOPE).tolist()
    if slope <= 0.0:
        slope, intercept = 0.0, logit(np.average(target, weights=w)).item()
    return min(slope, 1e3), float(np.clip(intercept, -1e3, 1e3))


def fit_curve(
    raw: Floats,
    y: Bools,
    *,
    n_effective: float,
    weight: Floats | None = None,
    blocks: Ints | None = None,
    base_rate: float | None = None,
) -> Curve:
    """Return the calibration of out-of-sample predictions `raw` (n,) with wins `y` (n,).

    The arguments are those of `fit_calibration`, without the interval.
    """
    w = np.ones(len(raw)) if weight is None else weight
    shrink = shrink_weight(raw, y, n_effective=n_effective, weight=w, blocks=blocks)
    slope, intercept = fit_platt(raw, y, w)
    sampled = float(np.average(y, weights=w))
    return Curve(slope, intercept, shrink, sampled if base_rate is None else base_rate)


def shrink_weight(
    raw: Floats,
    y: Bools,
    *,
    n_effective: float,
    weight: Floats | None = None,
    blocks: Ints | None = None,
) -> float:
    """Return w of p = base rate + w * (calibrated - base rate), 0..1.

    w is the probability that there is an edge at all: 1 / (1 + 20 exp(-z^2 / 2)), z being
    the slope of the wins on the out-of-sample log odds in standard errors by `blocks`
    (without them by rows, fewer by their overlap). The 20 hold the odds that one would
    give against an edge beforehand and the price of a parameter, as in a spike-and-slab
    prior (George and McCulloch 1993). So few samples or no edge give about 0, a strong and
    plain edge 1, and a candidate that is lucky at z = 2 is left with a quarter.
    """
    w = np.ones(len(raw)) if weight is None else weight
    rows = np.arange(len(raw))
    z = slope_in_errors(logit(raw), y, w, rows if blocks is None else blocks)
    if blocks is None:
        z *= float(np.sqrt(min(n_effective / len(raw), 1.0)))
    return float(1.0 / (1.0 + ODDS_AGAINST * np.exp(-z * z / 2.0))) if z > 0.0 else 0.0


def fit_calibration(
    raw: Floats,
    y: Bools,
    *,
    n_effective: float,
    weight: Floats | None = None,
    groups: Ints | None = None,
    blocks: Ints | None = None,
    base_rate: float | None = None,
    seed: int = 42,
) -> Calibration:
    """Return the calibration of out-of-sample predictions `raw` (n,) with wins `y` (n,).

    Rows in time order. `groups` (n,) are drawn together by the interval's bootstrap (signals
    of one day, say), `blocks` (n,) count as one in the shrinkage; without them each row
    stands alone. `base_rate` is that of all samples where the predictions cover only some. Raises
    ValueError where `raw` and `y` differ in length, or a class is absent.
    """
    if len(raw) != len(y) or len(np.unique(y)) != 2:
        raise ValueError("as many predictions as outcomes are needed, wins and losses among them")
    w = np.ones(len(raw)) if weight is None else weight
    curve = fit_curve(raw, y, n_effective=n_effective, weight=w, blocks=blocks, base_rate=base_rate)
    low, high = _interval(raw, y, w, groups=groups, curve=curve, seed=seed)
    return Calibration(
        kind="platt",
        base_rate=curve.base_rate,
        shrink_weight=curve.shrink_weight,
        at=tuple(GRID.tolist()),
        low=low,
        high=high,
        coverage=COVERAGE,
        method="bootstrap",
        slope=curve.slope,
        intercept=curve.intercept,
    )


def _interval(
    raw: Floats, y: Bools, w: Floats, *, groups: Ints | None, curve: Curve, seed: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Refit on resampled groups; the percentiles of p at each grid point (Efron 1979)."""
    rng = np.random.default_rng(seed)
    labels = np.arange(len(raw)) if groups is None else np.unique(groups, return_inverse=True)[1]
    count = int(labels.max()) + 1
    base_shift = curve.base_rate - float(np.average(y, weights=w))
    curves = []
    for _ in range(RESAMPLES):
        drawn = w * np.bincount(rng.integers(count, size=count), minlength=count)[labels]
        if drawn[y].sum() == 0.0 or drawn[~y].sum() == 0.0:
            continue
        slope, intercept = fit_platt(raw, y, drawn)
        base = float(np.average(y, weights=drawn)) + base_shift
        curves.append(Curve(slope, intercept, curve.shrink_weight, base).served(GRID))
    tail = (1.0 - COVERAGE) / 2.0
    low, high = np.quantile(curves or [curve.served(GRID)], [tail, 1.0 - tail], axis=0)
    # Each curve rises; accumulate takes out what rounding leaves.
    low, high = np.maximum.accumulate(low), np.maximum.accumulate(high)
    return tuple(low.tolist()), tuple(high.tolist())


def curve_of(calibration: Calibration) -> Curve:
    """A published Platt calibration as a curve."""
    return Curve(
        calibration.slope, calibration.intercept, calibration.shrink_weight, calibration.base_rate
    )


def served(calibration: Calibration, raw: Floats) -> Floats:
    """Return the probabilities (n,) that the service serves for `raw` (n,)."""
    return curve_of(calibration).served(raw)
