"""Growing the forest and packing it into the arrays that the service walks.

The rule: what is packed answers as scikit-learn does, and `parity` says how nearly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from protocol.schema import FEATURE_COUNT, FEATURE_NAMES
from service.arrays import Bools, Floats, Ints
from service.model.forest import Forest
from service.model.forest_arrays import Arrays
from service.model.leaf_masks import MOST_LEAVES
from training.settings import TREES

MAX_DEPTH = 12
# Each tree draws half of the effective sample: overlapping rows are seldom drawn together,
# so a leaf's rows are its own, and trees that differ more rank a faint edge better.
DRAWN = 0.5
FEWEST_DRAWN = 30
PROBED = 500
"""Rows, and splits, on which a packed forest is asked."""
WORTH_THREADS = 2_000
"""Samples; with fewer, threads cost a forest more than they save it (measured: a third)."""


def min_samples_leaf(n_effective: float) -> int:
    """Return 5 % of the effective sample, within 10..50: few signals bear only large leaves."""
    return int(np.clip(round(0.05 * n_effective), 10, 50))


def fit_forest(
    x: Floats,
    y: Bools,
    weight: Floats | None = None,
    *,
    n_effective: float,
    trees: int = TREES,
    seed: int = 42,
    n_jobs: int = -1,
) -> RandomForestClassifier:
    """Grow trees of depth 12 and 52 leaves at most on vectors `x` (n, 11) and wins `y` (n,).

    The classes are not balanced: the probabilities are meant. Raises ValueError where a
    class is absent, a length differs or a value is not finite. The same input and seed
    give the same forest, whatever `n_jobs`.
    """
    if x.ndim != 2 or x.shape != (len(y), FEATURE_COUNT):
        raise ValueError(f"x is {x.shape}, due is ({len(y)}, {FEATURE_COUNT})")
    if not np.isfinite(x).all():
        raise ValueError("x holds values that are not finite")
    if len(np.unique(y)) != 2:
        raise ValueError("both wins and losses are needed")
    leaf = min_samples_leaf(n_effective)
    drawn = min(len(y), max(FEWEST_DRAWN, round(DRAWN * n_effective)))
    # A large tree has as many leaves as the service finds by masks, in half the time that
    # stepping takes. A faint edge gains by that, a plain one loses: docs/evidence.md.
    estimator = RandomForestClassifier(
        n_estimators=trees,
        max_depth=MAX_DEPTH,
        min_samples_leaf=leaf,
        max_leaf_nodes=MOST_LEAVES if drawn > MOST_LEAVES * leaf else None,
        max_features="sqrt",
        max_samples=drawn,
        class_weight=None,
        random_state=seed,
        n_jobs=n_jobs if len(y) >= WORTH_THREADS else 1,
    )
    estimator.fit(x, y.astype(bool), sample_weight=weight)
    return estimator


def pack(estimator: RandomForestClassifier) -> Forest:
    """Pack a fitted forest of two classes; the column of a win is looked up in `classes_`.

    Nodes are laid out level by level over all trees together, so that a walk, which is on
    one level in all trees at a time, reads memory that lies together.
    """
    source = _joined(estimator)
    level, order, lefts = source.roots, [], []
    placed, free = 0, len(source.roots)
    while len(level):
        inner = source.left[level] >= 0
        left = np.arange(placed, placed + len(level))
        left[inner] = free + 2 * np.arange(np.count_nonzero(inner))
        order.append(level)
        lefts.append(left)
        placed += len(level)
        parents = level[inner]
        level = np.stack([source.left[parents], source.right[parents]], axis=1).ravel()
        free += len(level)
    at = np.concatenate(order)
    leaf = source.left[at] < 0
    arrays = Arrays(
        feature=np.where(leaf, 0, source.feature[at]).astype(np.int16),
        threshold=np.where(leaf, np.inf, source.threshold[at]),
        left=np.concatenate(lefts).astype(np.int32),
        probability=source.probability[at],
        roots=np.arange(len(source.roots), dtype=np.int32),
    )
    return Forest(arrays, len(order) - 1)


def parity(estimator: RandomForestClassifier, forest: Forest, x: Floats) -> float:
    """Return the largest difference from `predict_proba`, which rounding alone makes.

    Asked are the rows of `x`, the same rounded to float32, rows with one value put on a
    threshold and on either float32 neighbour of it, and extremes.
    """
    rows = probes(forest, x)
    column = _win_column(estimator)
    theirs = np.asarray(estimator.predict_proba(rows), np.float64)[:, column]
    return float(np.abs(forest.predict_many(rows) - theirs).max())


def probes(forest: Forest, x: Floats) -> Floats:
    """Return rows (m, 11) on which two readings of a forest would differ, if they do."""
    rng = np.random.default_rng(42)
    sample = x[rng.integers(len(x), size=min(len(x), PROBED))]
    splits = np.flatnonzero(np.isfinite(forest.arrays.threshold))
    chosen = rng.permutation(splits)[:PROBED]
    column = forest.arrays.feature[chosen].astype(np.intp)
    threshold = forest.arrays.threshold[chosen]
    near = threshold.astype(np.float32)
    values = (threshold, near, np.nextafter(near, np.inf), np.nextafter(near, -np.inf))
    tied = []
    for value in values:
        rows = x[rng.integers(len(x), size=len(chosen))].copy()
        rows[np.arange(len(chosen)), column] = value
        tied.append(rows)
    extremes = np.array([-1e9, -1e-30, 0.0, 50.0, 100.0, 1e9])[:, None] * np.ones(x.shape[1])
    rounded = sample.astype(np.float32).astype(np.float64)
    return np.concatenate([sample, rounded, *tied, extremes])


def importances(estimator: RandomForestClassifier) -> dict[str, float]:
    """Mean decrease of impurity by feature name; adds up to 1, or 0 where nothing was split."""
    values = np.clip(np.asarray(estimator.feature_importances_, np.float64), 0.0, 1.0)
    return dict(zip(FEATURE_NAMES, values.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class _Trees:
    """scikit-learn's nodes of all trees in one row; `left` is -1 in a leaf."""

    left: Ints
    right: Ints
    feature: Ints
    threshold: Floats
    probability: Floats
    roots: Ints


def _joined(estimator: RandomForestClassifier) -> _Trees:
    column = _win_column(estimator)
    trees = [grown.tree_ for grown in estimator.estimators_]
    roots = np.cumsum([0, *(tree.node_count for tree in trees[:-1])])

    def children(side: str) -> Ints:
        each = [getattr(tree, side) for tree in trees]
        shifted = [np.where(c < 0, -1, c + root) for c, root in zip(each, roots, strict=True)]
        return np.concatenate(shifted)

    votes = [tree.value[:, 0, :] for tree in trees]
    return _Trees(
        left=children("children_left"),
        right=children("children_right"),
        feature=np.concatenate([tree.feature for tree in trees]),
        threshold=np.concatenate([tree.threshold for tree in trees]),
        # Fractions in this scikit-learn, counts before 1.3.
        probability=np.concatenate([vote[:, column] / vote.sum(axis=1) for vote in votes]),
        roots=roots,
    )


def _win_column(estimator: RandomForestClassifier) -> int:
    return [bool(label) for label in estimator.classes_].index(True)
