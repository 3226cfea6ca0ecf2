"""The simple rules that a sceptic tries first. A forest that does not beat them is not needed.

Each is a logistic regression on one number that is known when the signal is scored, fitted
to the same past as the forest.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from protocol.schema import FEATURE_NAMES
from service.arrays import Floats
from training.dataset.samples import Samples
from training.logit import fit_logit, sigmoid, with_constant

Column = Callable[[Samples], Floats]

_BASE_SCORE = FEATURE_NAMES.index("base_score")
# A rule is asked where at least this share of the signals carries what it needs.
_CARRIED = 0.5


def base_score(samples: Samples) -> Floats:
    """The caller's own score."""
    return samples.x[:, _BASE_SCORE]


def stop_spreads(samples: Samples) -> Floats:
    """log of the stop distance in spreads; NaN where a signal carries no stop."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value: Floats = np.log(samples.stop_spreads)
    value[~np.isfinite(value)] = np.nan
    return value


def applicable(samples: Samples) -> dict[str, Column]:
    """The rules that these samples can be judged by, by their names in the verdict."""
    rules: dict[str, Column] = {"logit_base_score": base_score}
    asked = samples.take(~samples.backfilled)
    if len(asked) and np.mean(np.isfinite(stop_spreads(asked))) >= _CARRIED:
        rules["logit_stop_spreads"] = stop_spreads
    return rules


def predict(column: Column, past: Samples, rows: Samples) -> Floats:
    """Win probabilities (m,) of `rows` by the rule as fitted to `past`.

    Where the number is missing, the base rate of the past.
    """
    known, asked = column(past), column(rows)
    usable = np.isfinite(known)
    p = np.full(len(rows), past.base_rate)
    win = past.win[usable]
    if not win.any() or win.all():
        return p
    centre, spread = known[usable].mean(), known[usable].std() or 1.0
    beta = fit_logit(
        with_constant((known[usable] - centre) / spread),
        win.astype(np.float64),
        past.weight[usable],
    )
    there = np.isfinite(asked)
    p[there] = sigmoid(with_constant((asked[there] - centre) / spread) @ beta)
    return p
