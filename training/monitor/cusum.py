"""The promise held against outcomes, one by one: two log-likelihood CUSUM charts.

    S = max(0, S + w * (ln q(outcome) - ln p(outcome)))          an alarm at S >= limit

p is the probability that was served, w the outcome's weight (uniqueness), and q what an outcome
would be if the promise no longer held: `vanished`, every signal wins with the base rate; `lower`,
the odds of every signal are exp(-0.5) of the promised (70 % become 59 %). E. Page, Biometrika 41
(1954) 100. The rule: the limit follows from the model's manifest alone, by simulation of what the
promise and its own uncertainty allow; so a model has one limit, however its outcomes come.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from protocol.manifest import Manifest
from service.arrays import Bools, Floats
from training.logit import logit, sigmoid

LOWER = 0.5
HORIZON = 500
FALSE_ALARMS = 0.02
"""Of runs over HORIZON outcomes, the promise holding; all checks together may raise 5 %."""
LEARNED_SHARE = 0.5
"""Of the effective signals that count for how sure level and slope of the promise are: the
calibration has seen four fifths of them, and the forest has been fitted to the same."""
RUNS = 3000
NOTICED_RUNS, NOTICED_HORIZON = 400, 2000
SEED = 20_261_122
MIN_P = 0.01
"""Served probabilities are cut to 0.01..0.99 here: a single outcome is no proof."""


class Promise(NamedTuple):
    """What of a manifest matters here: the base rate, the deciles (9,) of p, effective n."""

    base_rate: float
    deciles: tuple[float, ...]
    n_effective: float


class Limit(NamedTuple):
    """Where both charts raise an alarm, in nats; the median of outcomes until a vanished edge does.

    `noticed_after` is infinite where fewer than half of the runs notice within 2,000.
    """

    nats: float
    noticed_after: float


class Chart(NamedTuple):
    """A chart's values (n,) after each outcome, and whether its alarm was on then."""

    values: Floats
    alarm: Bools


def promise_of(manifest: Manifest) -> Promise:
    """The promise of a published model."""
    return Promise(
        manifest.calibration.base_rate,
        manifest.reference.probability,
        manifest.samples.n_effective,
    )


def increments(p: Floats, win: Bools, base_rate: float) -> dict[str, Floats]:
    """By chart, what each outcome adds to it, in nats and of the shape of `p`."""
    p = np.clip(p, MIN_P, 1.0 - MIN_P)
    base = min(max(base_rate, MIN_P), 1.0 - MIN_P)
    return {
        "vanished": np.where(win, math.log(base), math.log1p(-base))
        - np.log(np.where(win, p, 1.0 - p)),
        # Of odds times exp(-LOWER): q / p = exp(-LOWER) / d and (1 - q) / (1 - p) = 1 / d,
        # where d = 1 - p + p * exp(-LOWER).
        "lower": -np.log1p(math.expm1(-LOWER) * p) - LOWER * win,
    }


def chart(steps: Floats, limit: float) -> Chart:
    """Run one chart over `steps` (n,), weights applied.

    An alarm stays on until the chart is back at 0. The chart does not rise above the limit, so that
    as much evidence ends an alarm as raised it.
    """
    values, alarm = np.zeros(len(steps)), np.zeros(len(steps), dtype=np.bool_)
    level, on = 0.0, False
    for i, step in enumerate(steps.tolist()):
        level = min(max(0.0, level + step), limit)
        on = level >= limit or (on and level > 0.0)
        values[i], alarm[i] = level, on
    return Chart(values, alarm)


# A process that looks again and again, as those of the tests, works it out once a model.
@lru_cache(maxsize=8)
def limit_of(promise: Promise) -> Limit:
    """The limit that 2 % of runs of 500 outcomes reach while the promise holds.

    Level and slope of the promise are drawn anew for each run as far as they are uncertain
    by what they were learned from (the information of a logistic regression).
    """
    rng = np.random.default_rng(SEED)
    odds = logit(np.clip(np.array(promise.deciles), MIN_P, 1.0 - MIN_P))
    p = sigmoid(odds)
    information = p * (1.0 - p)
    n = max(LEARNED_SHARE * promise.n_effective, 1.0)
    middle = float(np.average(odds, weights=information))
    spread = float(np.mean(information * (odds - middle) ** 2))
    slope = rng.normal(1.0, min(1.0, 1.0 / math.sqrt(max(n * spread, 1e-9))), (RUNS, 1))
    level = rng.normal(0.0, 1.0 / math.sqrt(max(n * information.mean(), 1e-9)), (RUNS, 1))
    drawn = _drawn(rng, promise, (RUNS, HORIZON))
    said = sigmoid(drawn)
    won = rng.random(said.shape) < sigmoid(
        middle + np.maximum(slope, 0.0) * (drawn - middle) + level
    )
    paths = [_paths(steps) for steps in increments(said, won, promise.base_rate).values()]
    highest = np.maximum(*(values.max(axis=1) for values in paths))
    nats = float(np.quantile(highest, 1.0 - FALSE_ALARMS))
    return Limit(nats, _noticed_after(rng, promise, nats))


def _noticed_after(rng: np.random.Generator, promise: Promise, nats: float) -> float:
    said = sigmoid(_drawn(rng, promise, (NOTICED_RUNS, NOTICED_HORIZON)))
    won = rng.random(said.shape) < promise.base_rate
    paths = [_paths(steps) for steps in increments(said, won, promise.base_rate).values()]
    over = np.maximum(*paths) >= nats
    first = np.where(over.any(axis=1), over.argmax(axis=1) + 1.0, np.inf)
    return float(np.quantile(first, 0.5, method="higher"))


def _drawn(rng: np.random.Generator, promise: Promise, shape: tuple[int, int]) -> Floats:
    """Log odds of probabilities as they are served, out of the deciles.

    The tails are as long as twice the outermost steps between deciles, in log odds: then their
    mean is that of a normal distribution's tails.
    """
    odds = logit(np.clip(np.array(promise.deciles), MIN_P, 1.0 - MIN_P))
    ends = (3.0 * odds[0] - 2.0 * odds[1], 3.0 * odds[-1] - 2.0 * odds[-2])
    at = np.interp(rng.random(shape), np.linspace(0.0, 1.0, 11), [ends[0], *odds, ends[1]])
    most = math.log((1.0 - MIN_P) / MIN_P)
    result: Floats = np.clip(at, -most, most)
    return result


def _paths(steps: Floats) -> Floats:
    """The chart without a ceiling, along each row of `steps` (runs, outcomes)."""
    total = np.cumsum(steps, axis=1)
    result: Floats = total - np.minimum(np.minimum.accumulate(total, axis=1), 0.0)
    return result
