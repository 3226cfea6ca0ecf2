"""From the forest's probability to the one that is served, out of out-of-sample predictions.

The rule: nothing here sees a prediction that was made on its own training rows, and rows
come in time order, so that what is chosen is always judged on what came later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from protocol.manifest import Calibration
from service.arrays import Bools, Floats, Ints
from training.bound import clustered
from training.calibration.isotonic import Bins, Isotonic, binned, fit_isotonic
from training.calibration.platt import Platt, fit_platt
from training.logit import log_loss, logit, sigmoid, slope_in_errors

COVERAGE = 0.9
RESAMPLES = 200
GRID = np.linspace(0.0, 1.0, 41)
# The odds against an edge that evidence has to overcome; see `shrink_weight`.
ODDS_AGAINST = 20.0
ISOTONIC_FROM_EFFECTIVE = 3_000.0
ISOTONIC_MARGIN_NATS = 0.0005
# Each part of the answers is judged by what was fitted to those before it.
LATER_PARTS = (0.4, 0.55, 0.7, 0.85, 1.0)


@dataclass(frozen=True, slots=True)
class Curve:
    """calibrated = shape(raw), p = base + w * (calibrated - base)."""

    shape: Platt | Isotonic
    shrink_weight: float
    base_rate: float

    def calibrated(self, raw: Floats) -> Floats:
        """Before it is shrunk; slope and calibration are judged on this."""
        return self.shape(raw)

    def served(self, raw: Floats) -> Floats:
        """What the service answers, see protocol.manifest.Calibration."""
        p = self.base_rate + self.shrink_weight * (self.calibrated(raw) - self.base_rate)
        return np.clip(p, 0.0, 1.0)


def fit_curve(
    raw: Floats,
    y: Bools,
    *,
    n_effective: float,
    weight: Floats | None = None,
    groups: Ints | None = None,
    blocks: Ints | None = None,
    base_rate: float | None = None,
) -> Curve:
    """Return the calibration of out-of-sample predictions `raw` (n,) with wins `y` (n,).

    The arguments are those of `fit_calibration`, without the interval.
    """
    w = np.ones(len(raw)) if weight is None else weight
    shrink = shrink_weight(raw, y, w, np.arange(len(raw)) if blocks is None else blocks)
    shape: Platt | Isotonic = fit_platt(raw, y, w)
    if n_effective >= ISOTONIC_FROM_EFFECTIVE and isotonic_is_no_worse(raw, y, w, groups):
        shape = fit_isotonic(binned(raw), y, w) or shape
    sampled = float(np.average(y, weights=w))
    base = sampled if base_rate is None else base_rate
    promised = float(np.average(shape(raw), weights=w))
    return Curve(_levelled(shape, promised, base), shrink, base)


def _levelled(shape: Platt | Isotonic, promised: float, base_rate: float) -> Platt | Isotonic:
    """A shape that promises `promised` on average, moved in log odds to promise `base_rate`.

    Nearly: where halves win 60 and 80 %, within a quarter of a point of a move by five.
    However the share of wins has moved since the first answers: to know of that is no edge, and
    what is said beyond the constant is said of the signal.
    """
    by = (logit(np.array(base_rate)) - logit(np.array(promised))).item()
    if isinstance(shape, Isotonic):
        return Isotonic(shape.points, sigmoid(logit(shape.values) + by))
    return Platt(shape.slope, shape.intercept + by)


def isotonic_is_no_worse(raw: Floats, y: Bools, weight: Floats, groups: Ints | None) -> bool:
    """Whether later answers rule out that isotonic loses 0.0005 nats or more to Platt.

    By the one-sided 95 % bound of the difference, clustered by `groups` (n,). On planted
    truths whose log odds are straight isotonic loses about 0.001 nats at this size, on bent
    ones it gains 0.002, and nothing but answers says which a market is like.
    """
    cuts = [round(share * len(raw)) for share in LATER_PARTS]
    gained = []
    for begin, end in pairwise(cuts):
        before, later = slice(0, begin), slice(begin, end)
        if len(np.unique(y[before])) < 2:
            return False
        line = fit_platt(raw[before], y[before], weight[before])
        steps = fit_isotonic(binned(raw[before]), y[before], weight[before])
        if steps is None:
            return False
        gained.append(log_loss(line(raw[later]), y[later]) - log_loss(steps(raw[later]), y[later]))
    judged = slice(cuts[0], None)
    member = np.arange(len(raw)) if groups is None else groups
    low = clustered(np.concatenate(gained), weight[judged], member[judged]).low
    return low > -ISOTONIC_MARGIN_NATS


def shrink_weight(raw: Floats, y: Bools, weight: Floats, blocks: Ints) -> float:
    """Return w of p = base rate + w * (calibrated - base rate), 0..1.

    w is the probability that there is an edge at all: 1 / (1 + 20 exp(-z^2 / 2)), z being
    the slope of the wins on the out-of-sample log odds in standard errors by `blocks`.
    The 20 hold the odds that one would give against an edge beforehand and the price of a
    parameter, as in a spike-and-slab prior (George and McCulloch 1993). So few samples or
    no edge give about 0, a strong and plain edge 1, and a candidate that is lucky at z = 2
    is left with a quarter.
    """
    z = slope_in_errors(logit(raw), y, weight, blocks)
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
    curve = fit_curve(
        raw,
        y,
        n_effective=n_effective,
        weight=w,
        groups=groups,
        blocks=blocks,
        base_rate=base_rate,
    )
    low, high = _interval(raw, y, w, groups=groups, curve=curve, seed=seed)
    platt, isotonic = _platt(curve), _isotonic(curve)
    return Calibration(
        kind="isotonic" if isotonic else "platt",
        base_rate=curve.base_rate,
        shrink_weight=curve.shrink_weight,
        at=tuple(GRID.tolist()),
        low=low,
        high=high,
        coverage=COVERAGE,
        method="bootstrap",
        slope=platt.slope,
        intercept=platt.intercept,
        points=tuple(isotonic.points.tolist()) if isotonic else (),
        values=tuple(isotonic.values.tolist()) if isotonic else (),
    )


def _interval(
    raw: Floats, y: Bools, w: Floats, *, groups: Ints | None, curve: Curve, seed: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Refit on resampled groups; the percentiles of p at each grid point (Efron 1979)."""
    rng = np.random.default_rng(seed)
    labels = np.arange(len(raw)) if groups is None else np.unique(groups, return_inverse=True)[1]
    count = int(labels.max()) + 1
    refit = _refit(curve, raw, y)
    shift = curve.base_rate - float(np.average(y, weights=w))
    curves = []
    for _ in range(RESAMPLES):
        drawn = w * np.bincount(rng.integers(count, size=count), minlength=count)[labels]
        if drawn[y].sum() == 0.0 or drawn[~y].sum() == 0.0:
            continue
        base = float(np.clip(np.average(y, weights=drawn) + shift, 0.0, 1.0))
        shape = refit(drawn)
        promised = float(np.average(shape(raw), weights=drawn))
        shape = _levelled(shape, promised, base)
        curves.append(Curve(shape, curve.shrink_weight, base).served(GRID))
    tail = (1.0 - COVERAGE) / 2.0
    low, high = np.quantile(curves or [curve.served(GRID)], [tail, 1.0 - tail], axis=0)
    # Each curve rises; accumulate takes out what rounding leaves.
    low, high = np.maximum.accumulate(low), np.maximum.accumulate(high)
    return tuple(low.tolist()), tuple(high.tolist())


def _refit(curve: Curve, raw: Floats, y: Bools) -> Callable[[Floats], Platt | Isotonic]:
    """Fit the curve's kind of shape again, to other weights."""
    if _isotonic(curve) is None:
        return lambda weight: fit_platt(raw, y, weight)
    bins: Bins = binned(raw)
    return lambda weight: fit_isotonic(bins, y, weight) or fit_platt(raw, y, weight)


def _isotonic(curve: Curve) -> Isotonic | None:
    return curve.shape if isinstance(curve.shape, Isotonic) else None


def _platt(curve: Curve) -> Platt:
    return curve.shape if isinstance(curve.shape, Platt) else Platt(1.0, 0.0)


def curve_of(calibration: Calibration) -> Curve:
    """A published calibration as a curve."""
    shape: Platt | Isotonic = Platt(calibration.slope, calibration.intercept)
    if calibration.kind == "isotonic":
        shape = Isotonic(np.array(calibration.points), np.array(calibration.values))
    return Curve(shape, calibration.shrink_weight, calibration.base_rate)


def served(calibration: Calibration, raw: Floats) -> Floats:
    """Return the probabilities (n,) that the service serves for `raw` (n,)."""
    return curve_of(calibration).served(raw)
