"""Logistic regression by Newton's method: the simple rules' fit, and the calibrator's.

Small and plain on purpose: a handful of columns, weights, and no penalty worth the name.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from protocol.manifest import CLIP
from service.arrays import Bools, Floats, Ints
from training.bound import normal_deviate

STEPS = 50


class Prior(NamedTuple):
    """What the first coefficient is expected to be: normal, `mean` and `spread`."""

    mean: float
    spread: float


NO_PRIOR = Prior(0.0, math.inf)


def fit_logit(x: Floats, target: Floats, weight: Floats, prior: Prior = NO_PRIOR) -> Floats:
    """Coefficients (k,) of sigmoid(x @ beta) for columns `x` (n, k), of maximum likelihood.

    `target` (n,) in 0..1; the last column of `x` is the constant. With a `prior`, of maximum
    posterior. Newton's method with a step halved until it helps; where the data are
    separable it stops after 50 steps.
    """
    precision = np.zeros(x.shape[1])
    precision[0] = prior.spread**-2

    def total(beta: Floats) -> float:
        away = float(beta[0]) - prior.mean
        return cross_entropy(x @ beta, target, weight) + 0.5 * float(precision[0]) * away**2

    mean = float(np.clip(np.average(target, weights=weight), CLIP, 1.0 - CLIP))
    beta = np.zeros(x.shape[1])
    beta[-1] = np.log(mean / (1.0 - mean))
    loss = total(beta)
    for _ in range(STEPS):
        p = sigmoid(x @ beta)
        gradient = x.T @ (weight * (p - target)) + precision * (beta - prior.mean)
        # The ridge only keeps the system solvable where a column does not vary.
        hessian = (x * (weight * p * (1.0 - p))[:, None]).T @ x + np.diag(precision + 1e-9)
        step, scale = np.linalg.solve(hessian, gradient), 1.0
        after = total(beta - step)
        while after > loss and scale > 1e-6:
            scale /= 2.0
            after = total(beta - scale * step)
        if loss - after < 1e-12 * max(loss, 1.0):
            break
        beta, loss = beta - scale * step, after
    return beta


def slope_in_errors(x: Floats, win: Bools, weight: Floats, groups: Ints) -> float:
    """The slope of the wins on one number `x` (n,), as a standard normal deviate from none.

    The score test of a logistic regression with its variance by `groups` (Rao 1948; Liang
    and Zeger 1986), which separable data do not break. Its t of groups - 1 degrees of
    freedom is turned into the deviate of the same probability, so that few groups say less.
    """
    share = float(np.average(win, weights=weight))
    centre = float(np.average(x, weights=weight))
    _, member = np.unique(groups, return_inverse=True)
    sums = np.bincount(member, weights=weight * (x - centre) * (win - share))
    count = len(sums)
    if count < 2 or not sums.any():
        return 0.0
    error = math.sqrt(float(np.sum(sums**2)) * count / (count - 1))
    return normal_deviate(float(sums.sum()) / error, count - 1)


def with_constant(x: Floats) -> Floats:
    """Columns (n,) or (n, k) with a column of ones behind them."""
    columns = x.reshape(len(x), -1)
    return np.column_stack([columns, np.ones(len(columns))])


def logit(p: Floats) -> Floats:
    """log(p / (1 - p)), `p` clipped to CLIP..1 - CLIP."""
    clipped = np.clip(p, CLIP, 1.0 - CLIP)
    return np.log(clipped) - np.log1p(-clipped)


def moved(p: Floats, base: Floats | float, to: float) -> Floats:
    """Answers `p` (n,) of forests that were grown where `base` won, as if `to` had won there."""
    return sigmoid(logit(p) + logit(np.asarray(to)) - logit(np.asarray(base)))


def sigmoid(z: Floats) -> Floats:
    """1 / (1 + exp(-z)) by tanh, which neither overflows nor warns."""
    return 0.5 * (1.0 + np.tanh(0.5 * z))


def cross_entropy(z: Floats, target: Floats, weight: Floats) -> float:
    """Weighted sum of the log loss of log odds `z`, in nats."""
    return float((weight * (np.logaddexp(0.0, z) - target * z)).sum())


def log_loss(p: Floats, win: Bools) -> Floats:
    """The log loss (n,) of each prediction, in nats; `p` clipped to CLIP..1 - CLIP."""
    likelihood: Floats = np.clip(np.where(win, p, 1.0 - p), CLIP, 1.0)
    return -np.log(likelihood)
