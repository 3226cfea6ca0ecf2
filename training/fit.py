"""Growing the forest and packing it into the arrays that the service walks.

The rule: what is packed answers as scikit-learn does, and `parity` says how nearly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from service.forest import Forest

Floats = NDArray[np.float64]


def fit_forest(
    x: Floats,
    y: NDArray[np.bool_],
    weight: Floats | None = None,
    *,
    n_effective: float,
    seed: int = 42,
    n_jobs: int = -1,
) -> RandomForestClassifier:
    """Grow 150 trees of depth 12 at most on `x` (n, 11) and wins `y` (n,).

    Raises ValueError where a class is absent or a value is not finite.
    """
    raise NotImplementedError


def pack(estimator: RandomForestClassifier) -> Forest:
    """Pack a fitted forest; the column of a win is looked up in `classes_`."""
    raise NotImplementedError


def parity(estimator: RandomForestClassifier, forest: Forest, x: Floats) -> float:
    """Largest difference from `predict_proba` on ties, extremes, float32-rounded inputs and `x`."""
    raise NotImplementedError


def importances(estimator: RandomForestClassifier) -> dict[str, float]:
    """Mean decrease of impurity by feature name; adds up to 1, or 0 where nothing was split."""
    raise NotImplementedError
