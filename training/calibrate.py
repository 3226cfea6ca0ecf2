"""From the forest's probability to the one that is served, out of out-of-sample predictions.

The rule: nothing here sees a prediction that was made on its own training rows, and rows
come in time order, so that what is chosen is always judged on what came later.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from protocol.manifest import CLIP, Calibration
from service.model import calibrate

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

COVERAGE = 0.9
RESAMPLES = 200
GRID = np.linspace(0.0, 1.0, 41)
BLOCKS = 5
NEWTON_STEPS = 50


def fit_platt(raw: Floats, y: Bools, weight: Floats | None = None) -> tuple[float, float]:
    """Return slope and intercept of sigmoid(slope * logit(raw) + intercept), fitted to wins `y`.

    Maximum likelihood by Newton's method with a step halved until it helps, on Platt's
    smoothed targets (n+ + 1)/(n+ + 2) and 1/(n- + 2), which keep it finite on separable
    data (Platt 1999; Lin, Lin and Weng 2007). A negative slope would rank against the
    forest: it is held at 0, which leaves the base rate.
    """
    w = np.ones(len(raw)) if weight is None else weight
    wins, losses = float(w[y].sum()), float(w[~y].sum())
    target = np.where(y, (wins + 1.0) / (wins + 2.0), 1.0 / (losses + 2.0))
    x = np.column_stack([_logit(raw), np.ones(len(raw))])
    flat = np.array([0.0, _logit(np.average(target, weights=w)).item()])
    beta = flat
    loss = _cross_entropy(x @ beta, target, w)
    for _ in range(NEWTON_STEPS):
        p = _sigmoid(x @ beta)
        gradient = x.T @ (w * (p - target))
        # The ridge only keeps the system solvable where all predictions are one.
        hessian = (x * (w * p * (1.0 - p))[:, None]).T @ x + 1e-9 * np.eye(2)
        step, scale = np.linalg.solve(hessian, gradient), 1.0
        after = _cross_entropy(x @ (beta - step), target, w)
        while after > loss and scale > 1e-6:
            scale /= 2.0
            after = _cross_entropy(x @ (beta - scale * step), target, w)
        if loss - after < 1e-12 * max(loss, 1.0):
            break
        beta, loss = beta - scale * step, after
    slope, intercept = (beta if beta[0] > 0.0 else flat).tolist()
    return min(slope, 1e3), float(np.clip(intercept, -1e3, 1e3))


def shrink_weight(
    raw: Floats, y: Bools, *, n_effective: float, weight: Floats | None = None
) -> float:
    """Return w of p = base rate + w * (calibrated - base rate), 0..1; rows in time order.

    Each of the later four fifths in turn is calibrated by all rows before it. The w with
    the least log loss over those is then held down by how plainly it beats the base rate:
    times 1 - 1/z^2 (positive part, as James and Stein shrink), z being the mean gain in
    standard errors of `n_effective` rows. So few samples or no edge give 0, a strong and
    plain edge nearly 1.
    """
    w = np.ones(len(raw)) if weight is None else weight
    edges = np.linspace(0, len(raw), BLOCKS + 1).astype(int)
    later = [(slice(0, a), slice(a, b)) for a, b in pairwise(edges[1:])]
    bases, shifts, wins, weights = [], [], [], []
    for past, block in later:
        if not 0 < np.count_nonzero(y[past]) < edges[1]:
            continue
        slope, intercept = fit_platt(raw[past], y[past], w[past])
        base = np.full(block.stop - block.start, np.average(y[past], weights=w[past]))
        bases.append(base)
        shifts.append(_sigmoid(slope * _logit(raw[block]) + intercept) - base)
        wins.append(y[block])
        weights.append(w[block])
    if not bases:
        return 0.0
    base, shift, won, w = map(np.concatenate, (bases, shifts, wins, weights))
    return _held_down(base, shift, won, w, n_effective * len(won) / len(raw))


def _held_down(base: Floats, shift: Floats, won: Bools, w: Floats, n_effective: float) -> float:
    grid = np.linspace(0.0, 1.0, 21)
    losses = [_log_loss(base + candidate * shift, won) for candidate in grid]
    best = int(np.argmin([np.average(loss, weights=w) for loss in losses]))
    gain = losses[0] - losses[best]
    mean = float(np.average(gain, weights=w))
    spread = float(np.sqrt(np.average((gain - mean) ** 2, weights=w)))
    if best == 0 or spread == 0.0:
        return 0.0
    z = mean / spread * np.sqrt(max(n_effective, 1.0))
    return float(grid[best] * (1.0 - 1.0 / z**2)) if z > 1.0 else 0.0


def fit_calibration(
    raw: Floats,
    y: Bools,
    *,
    n_effective: float,
    weight: Floats | None = None,
    groups: NDArray[np.int64] | None = None,
    base_rate: float | None = None,
    seed: int = 42,
) -> Calibration:
    """Return the calibration of out-of-sample predictions `raw` (n,) with wins `y` (n,).

    Rows in time order. `groups` (n,) are drawn together by the interval's bootstrap
    (signals of one day, say); without them each row stands alone. `base_rate` is that of
    all samples where the predictions cover only some. Raises ValueError where `raw` and
    `y` differ in length, or a class is absent.
    """
    if len(raw) != len(y) or len(np.unique(y)) != 2:
        raise ValueError("as many predictions as outcomes are needed, wins and losses among them")
    w = np.ones(len(raw)) if weight is None else weight
    shrink = shrink_weight(raw, y, n_effective=n_effective, weight=w)
    slope, intercept = fit_platt(raw, y, w)
    sampled = float(np.average(y, weights=w))
    base = sampled if base_rate is None else base_rate
    low, high = _interval(
        raw, y, w, groups=groups, shrink=shrink, base_shift=base - sampled, seed=seed
    )
    return Calibration(
        kind="platt",
        base_rate=base,
        shrink_weight=shrink,
        at=tuple(GRID.tolist()),
        low=low,
        high=high,
        coverage=COVERAGE,
        method="bootstrap",
        slope=slope,
        intercept=intercept,
    )


def _interval(
    raw: Floats,
    y: Bools,
    w: Floats,
    *,
    groups: NDArray[np.int64] | None,
    shrink: float,
    base_shift: float,
    seed: int,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Refit on resampled groups; the percentiles of p at each grid point (Efron 1979)."""
    rng = np.random.default_rng(seed)
    labels = np.arange(len(raw)) if groups is None else np.unique(groups, return_inverse=True)[1]
    count = int(labels.max()) + 1
    curves = []
    for _ in range(RESAMPLES):
        drawn = w * np.bincount(rng.integers(count, size=count), minlength=count)[labels]
        if drawn[y].sum() == 0.0 or drawn[~y].sum() == 0.0:
            continue
        slope, intercept = fit_platt(raw, y, drawn)
        base = float(np.average(y, weights=drawn)) + base_shift
        curves.append(base + shrink * (_sigmoid(slope * _logit(GRID) + intercept) - base))
    tail = (1.0 - COVERAGE) / 2.0
    low, high = np.quantile(np.clip(curves, 0.0, 1.0), [tail, 1.0 - tail], axis=0)
    # Each curve rises; accumulate takes out what rounding leaves.
    low, high = np.maximum.accumulate(low), np.maximum.accumulate(high)
    return tuple(low.tolist()), tuple(high.tolist())


def served(calibration: Calibration, raw: Floats) -> Floats:
    """Return the probabilities (n,) that the service serves for `raw` (n,)."""
    return np.array([calibrate(calibration, value).p for value in raw.tolist()], np.float64)


def _logit(p: Floats) -> Floats:
    clipped = np.clip(p, CLIP, 1.0 - CLIP)
    return np.log(clipped) - np.log1p(-clipped)


def _sigmoid(z: Floats) -> Floats:
    # tanh neither overflows nor warns.
    return 0.5 * (1.0 + np.tanh(0.5 * z))


def _cross_entropy(z: Floats, target: Floats, w: Floats) -> float:
    return float((w * (np.logaddexp(0.0, z) - target * z)).sum())


def _log_loss(p: Floats, y: Bools) -> Floats:
    likelihood: Floats = np.clip(np.where(y, p, 1.0 - p), CLIP, 1.0)
    return -np.log(likelihood)
