"""Platt scaling: a line through the log odds, for samples of any size.

The rule: whatever it is fitted to, the line is finite and does not fall.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from service.arrays import Bools, Floats
from training.logit import Prior, fit_logit, logit, sigmoid, with_constant

# Forests of such large leaves are too timid by about this much, measured on planted edges.
SLOPE = Prior(mean=1.5, spread=0.5)


class Platt(NamedTuple):
    """calibrated = sigmoid(slope * logit(raw) + intercept)."""

    slope: float
    intercept: float

    def __call__(self, raw: Floats) -> Floats:
        """The calibrated probabilities (n,) of the forest's (n,)."""
        return sigmoid(self.slope * logit(raw) + self.intercept)


def fit_platt(raw: Floats, y: Bools, weight: Floats | None = None) -> Platt:
    """Fit the line to forest's probabilities `raw` (n,) and wins `y` (n,).

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
    return Platt(min(slope, 1e3), float(np.clip(intercept, -1e3, 1e3)))
