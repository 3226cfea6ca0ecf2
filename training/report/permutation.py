"""What each feature is worth to the model, on signals that it had not seen.

The rule: a feature's values are exchanged only within one window of the walk-forward, and the
answer is that window's own forest's, grown on a purged past. Nothing is measured on what
trained; a feature that the trees merely split on shows nothing here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from protocol.schema import FEATURE_NAMES
from service.arrays import Floats
from training.bound import Mean, clustered
from training.logit import log_loss
from training.walk_forward import Fold, WalkForward

REPEATS = 3
MOST_ROWS = 20_000


def permutation_importance(
    walk: WalkForward,
    *,
    seed: int = 42,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> dict[str, Mean]:
    """By how many nats the served log loss rises when a feature's values change places.

    The mean over the tested rows with its error by days (Breiman 2001, on purged folds). About
    0, or below it, where a feature tells nothing that the others do not. Of more than 20,000
    tested rows evenly spread ones stand for all.
    """
    rng = np.random.default_rng(seed)
    every = max(1, -(-len(walk.test) // MOST_ROWS))
    rises, kept = [], []
    for number, fold in enumerate(walk.folds):
        rows = np.arange(fold.rows.start, fold.rows.stop)[::every]
        rises.append(_rises(walk, fold, rows, rng))
        kept.append(rows)
        progress(number + 1, len(walk.folds))
    if not rises:
        return {}
    at, rise = np.concatenate(kept), np.concatenate(rises)
    weight, groups = walk.test.weight[at], walk.clusters[at]
    return {
        name: clustered(rise[:, column], weight, groups)
        for column, name in enumerate(FEATURE_NAMES)
    }


def _rises(
    walk: WalkForward,
    fold: Fold,
    rows: NDArray[np.intp],
    rng: np.random.Generator,
) -> Floats:
    """The mean rise of the log loss (k, 11) of rows (k,) of one window."""
    x, win = walk.test.x[rows], walk.test.win[rows]
    before = log_loss(walk.p[rows], win)
    rise = np.zeros(x.shape)
    for column in range(x.shape[1]):
        for _ in range(REPEATS):
            changed = x.copy()
            changed[:, column] = rng.permutation(changed[:, column])
            said = fold.curve.served(fold.predict(changed))
            rise[:, column] += (log_loss(said, win) - before) / REPEATS
    return rise
