"""From the forest's probability to the one that is served, out of out-of-sample predictions.

The rule: nothing here sees a prediction that was made on its own training rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protocol.manifest import Calibration

Floats = NDArray[np.float64]


def fit_platt(
    raw: Floats, y: NDArray[np.bool_], weight: Floats | None = None
) -> tuple[float, float]:
    """Slope and intercept of Platt's sigmoid over logit(raw)."""
    raise NotImplementedError


def shrink_weight(raw: Floats, y: NDArray[np.bool_], *, n_effective: float) -> float:
    """Return how far to trust the calibrated probability, 0..1; rows in time order."""
    raise NotImplementedError


def fit_calibration(
    raw: Floats,
    y: NDArray[np.bool_],
    *,
    n_effective: float,
    weight: Floats | None = None,
    groups: NDArray[np.int64] | None = None,
    base_rate: float | None = None,
    seed: int = 42,
) -> Calibration:
    """Calibration of out-of-sample predictions `raw` (n,), in time order, with wins `y` (n,)."""
    raise NotImplementedError


def served(calibration: Calibration, raw: Floats) -> Floats:
    """Return the probabilities (n,) that the service would serve for `raw` (n,)."""
    raise NotImplementedError
