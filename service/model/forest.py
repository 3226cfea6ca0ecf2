"""A packed random forest: what it says of one vector or many, and why.

The rule: a row gets the same bits alone and among others. scikit-learn compares float32 inputs
with float64 thresholds, and so does this. Forests of small trees are answered by `leaf_masks`,
larger ones by stepping all trees down together.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence

import numpy as np

from service.arrays import Floats, Ints
from service.model.forest_arrays import Arrays
from service.model.leaf_masks import FEW, leaf_masks

MOST_TOGETHER = 64
"""Rows asked for at once: what is gathered for them stays in the cache."""


class Forest:
    """Packed trees. Nothing is written while asking: any thread may.

    `arrays` must have passed `check_structure` with this `depth` (levels below a root).
    """

    def __init__(
        self,
        arrays: Arrays,
        depth: int,
        *,
        stepping: bool = False,
        pause: Callable[[], object] = lambda: None,
    ) -> None:
        """`stepping` has the trees stepped down whatever their size; `pause` as in `bundle`."""
        self.arrays = arrays
        self.depth = depth
        self._masks = None if stepping else leaf_masks(arrays, pause)
        if self._masks is None:
            # Indices of the machine's own size are taken without a copy: in half the time.
            self._feature, self._left = arrays.feature.astype(np.intp), arrays.left.astype(np.intp)

    @property
    def trees(self) -> int:
        """Number of trees."""
        return len(self.arrays.roots)

    @property
    def nodes(self) -> int:
        """Number of nodes of all trees."""
        return len(self.arrays.left)

    def predict(self, row: Sequence[float] | Floats) -> float:
        """Return the probability of a win, 0..1, of one vector (features,) of finite values."""
        x = array("f", row)
        if self._masks is not None:
            return float(np.add.reduce(self._masks.value(x)) / self.trees)
        return float(np.add.reduce(self._step_down(np.array(x, np.float64), None)) / self.trees)

    def predict_many(self, rows: Sequence[Sequence[float]] | Floats) -> Floats:
        """Return `predict` (n,) of each row of (n, features), bit by bit the same."""
        if self._masks is not None and 0 < len(rows) <= FEW:
            values = self._masks.few([array("f", row) for row in rows])
            few: Floats = values.sum(axis=1) / self.trees
            return few
        rows = np.asarray(rows, np.float64)
        found = np.empty(len(rows), np.float64)
        for start in range(0, len(rows), MOST_TOGETHER):
            part = slice(start, start + MOST_TOGETHER)
            found[part] = self._predict(rows[part])
        return found

    def contributions(self, row: Floats) -> tuple[float, Floats]:
        """Return the bias (the word without features) and each feature's share (features,).

        Each step of a path moves the probability from a node's to its child's; that change
        is the split feature's (Saabas, "Interpreting random forests", 2014). Their sum and
        the bias are `predict(row)` up to rounding.
        """
        x, arrays = row.astype(np.float32), self.arrays
        probability, node = arrays.probability, arrays.roots
        shares = np.zeros(len(x), np.float64)
        for _ in range(self.depth):
            feature = arrays.feature[node]
            after = arrays.left[node] + (x[feature] > arrays.threshold[node])
            # A leaf steps onto itself: no change.
            change = probability[after] - probability[node]
            shares += np.bincount(feature, weights=change, minlength=len(x))
            node = after
        return float(probability[arrays.roots].mean()), shares / self.trees

    def _predict(self, rows: Floats) -> Floats:
        x = rows.astype(np.float32)
        if self._masks is not None:
            values = self._masks.values(x)
        else:
            first = np.arange(0, x.size, x.shape[1])[:, np.newaxis]
            # As float64, which is what the thresholds are.
            values = self._step_down(x.astype(np.float64).ravel(), first)
        # A row's trees lie in a row, so they are added up in the order of a single one's.
        total: Floats = values.sum(axis=1)
        return total / self.trees

    def _step_down(self, x: Floats, first: Ints | None) -> Floats:
        """The probability (n, trees) at the leaf where each row ends.

        `x` has one row after the other, which begin at `first` (n, 1). Of a single row (trees,),
        where `first` is None.
        """
        node = self.arrays.roots.astype(np.intp)
        if first is not None:
            node = np.broadcast_to(node, (len(first), self.trees))
        for _ in range(self.depth):
            feature = self._feature.take(node)
            if first is not None:
                feature = feature + first
            right = x.take(feature) > self.arrays.threshold.take(node)
            node = self._left.take(node) + right
        return self.arrays.probability.take(node)
