"""A random forest as a few flat arrays, and the walk of one vector down all trees at once.

The rule: every array that gets here from a file has passed `check_structure`; then no walk
can leave the arrays or run longer than the declared depth.

The nodes of all trees lie in one set of arrays. A node's right child stands beside its left
one. A leaf is its own left child and its threshold is +inf, so that `left + (x > threshold)`
stays where it is and trees of unequal depth step down together. Inner nodes keep their
probability of a win too: the change of it along a path is what explains a prediction.
scikit-learn compares float32 inputs with float64 thresholds, and so does this.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.errors import ModelRejected, RejectReason

Floats = NDArray[np.float64]

# Up to this many nodes it is quicker to decide every node of the forest at once and then
# to follow the decisions than to gather feature and threshold anew at every level.
DENSE_NODES = 20_000

# From so many rows on it is quicker to step all of them down together, a level at a time,
# than one after the other; up to so many at once, what is gathered stays in the cache.
LEAST_TOGETHER, MOST_TOGETHER = 6, 64


@dataclass(frozen=True, slots=True)
class Arrays:
    """The packed forest: five per node (n,) and the root of each tree (t,)."""

    feature: NDArray[np.int16]
    threshold: Floats
    left: NDArray[np.int32]
    probability: Floats
    roots: NDArray[np.int32]


class Forest:
    """Packed trees with room to walk in. The scratch arrays make it one thread's at a time.

    `arrays` must have passed `check_structure` with this `depth` (levels below a root).
    """

    def __init__(self, arrays: Arrays, depth: int, *, dense_nodes: int = DENSE_NODES) -> None:
        self.arrays = arrays
        self.depth = depth
        self._dense = len(arrays.left) <= dense_nodes
        laid, decided = _twin_leaves_last(arrays) if self._dense else (arrays, 0)
        # Gathering is quickest by native integers as wide as a pointer: widened once.
        self._feature = laid.feature.astype(np.intp)
        self._left = laid.left.astype(np.intp)
        self._roots = laid.roots.astype(np.intp)
        self._threshold, self._probability = laid.threshold, laid.probability
        size = decided if self._dense else self.trees
        self._decided = self._feature[:size], self._threshold[:size], self._left[:size]
        self._value = np.empty(size, np.float64)
        self._limit = np.empty(size, np.float64)
        self._right = np.empty(size, np.bool_)
        # What is never decided stays where it is.
        self._next = self._left.copy() if self._dense else np.empty(size, np.intp)
        self._node = np.empty((2, self.trees), np.intp)

    @property
    def trees(self) -> int:
        """Number of trees."""
        return len(self.arrays.roots)

    @property
    def nodes(self) -> int:
        """Number of nodes of all trees."""
        return len(self.arrays.left)

    def predict(self, row: Floats) -> float:
        """Return the probability of a win, 0..1, of one vector (features,) of finite values."""
        x = _rounded(row)
        leaves = self._walk_dense(x) if self._dense else self._walk_levels(x)
        return float(self._probability.take(leaves).sum()) / len(leaves)

    def predict_many(self, rows: Floats) -> Floats:
        """Return `predict` (n,) of each row of (n, features), bit by bit the same."""
        found = np.empty(len(rows), np.float64)
        for start in range(0, len(rows), MOST_TOGETHER):
            part = rows[start : start + MOST_TOGETHER]
            if len(part) < LEAST_TOGETHER:
                found[start : start + len(part)] = [self.predict(row) for row in part]
            else:
                found[start : start + len(part)] = self._predict_together(_rounded(part))
        return found

    def contributions(self, row: Floats) -> tuple[float, Floats]:
        """Return the bias (the word without features) and each feature's share (features,).

        Each step of a path moves the probability from a node's to its child's; that change
        is the split feature's (Saabas, "Interpreting random forests", 2014). Their sum and
        the bias are `predict(row)` up to rounding.
        """
        x = _rounded(row)
        probability, node = self._probability, self._roots
        shares = np.zeros(len(x), np.float64)
        for _ in range(self.depth):
            feature = self._feature[node]
            after = self._left[node] + (x[feature] > self._threshold[node])
            # A leaf steps onto itself: no change.
            change = probability[after] - probability[node]
            shares += np.bincount(feature, weights=change, minlength=len(x))
            node = after
        return float(probability[self._roots].mean()), shares / self.trees

    def _walk_dense(self, x: Floats) -> NDArray[np.intp]:
        """Decide at every node of the forest, then follow the decisions."""
        feature, threshold, left = self._decided
        # mode="clip" lets take() write straight into `out`; the indices are in range.
        x.take(feature, out=self._value, mode="clip")
        np.greater(self._value, threshold, out=self._right)
        np.add(left, self._right, out=self._next[: len(left)])
        node = self._roots
        for level in range(self.depth):
            node = self._next.take(node, out=self._node[level & 1], mode="clip")
        return node

    def _predict_together(self, x: Floats) -> Floats:
        """Step rows (n, features), rounded, down all trees: each level in a few calls."""
        values, first = x.ravel(), np.arange(0, x.size, x.shape[1])[:, np.newaxis]
        node: NDArray[np.intp] = np.broadcast_to(self._roots, (len(x), self.trees))
        for _ in range(self.depth):
            value = values.take(self._feature.take(node) + first)
            node = self._left.take(node) + (value > self._threshold.take(node))
        # A row's leaves lie in a row, so they are added up in the order of a single one's.
        total: Floats = self._probability.take(node).sum(axis=1)
        return total / self.trees

    def _walk_levels(self, x: Floats) -> NDArray[np.intp]:
        """Decide only at the nodes that are met."""
        node, gathered = self._node
        np.copyto(node, self._roots)
        for _ in range(self.depth):
            self._feature.take(node, out=gathered, mode="clip")
            x.take(gathered, out=self._value, mode="clip")
            self._threshold.take(node, out=self._limit, mode="clip")
            np.greater(self._value, self._limit, out=self._right)
            self._left.take(node, out=self._next, mode="clip")
            np.add(self._next, self._right, out=node)
        return node


def _twin_leaves_last(arrays: Arrays) -> tuple[Arrays, int]:
    """The same forest with pairs of leaves behind all other nodes, and how many those are.

    At a leaf nothing is decided; siblings have to stay together, so only pairs can be moved.
    """
    nodes = np.arange(len(arrays.left))
    leaf = arrays.left == nodes
    left = arrays.left[~leaf]
    first = left[leaf[left] & leaf[left + 1]]
    twin = np.zeros(len(nodes), np.bool_)
    twin[first] = twin[first + 1] = True
    order = np.concatenate([nodes[~twin], nodes[twin]])
    place = np.empty(len(nodes), np.int32)
    place[order] = nodes
    laid = Arrays(
        feature=arrays.feature[order],
        threshold=arrays.threshold[order],
        left=place[arrays.left[order]],
        probability=arrays.probability[order],
        roots=place[arrays.roots],
    )
    return laid, int(len(nodes) - twin.sum())


def check_structure(arrays: Arrays, depth: int, feature_count: int, max_nodes: int) -> None:
    """Make sure that the arrays are trees which `Forest` can walk; ModelRejected if not.

    dtypes are taken as checked. After this every node is a root or the child of exactly one
    node before it, no path is longer than `depth`, and every number is in its range.
    """
    nodes, roots = len(arrays.left), arrays.roots.astype(np.int64)
    lengths = {len(a) for a in (arrays.feature, arrays.threshold, arrays.left, arrays.probability)}
    _require(lengths == {nodes}, "the arrays differ in length")
    _require(0 < nodes <= max_nodes, f"{nodes} nodes, at most {max_nodes} allowed")
    _require(0 < len(roots) <= nodes, f"{len(roots)} roots of {nodes} nodes")
    itself = np.arange(nodes)
    left = arrays.left.astype(np.int64)
    inner = left != itself
    _require(roots.min() >= 0 and roots.max() < nodes, "a root is out of range")
    _require(left[inner] > itself[inner], "a child does not lie beyond its parent")
    _require(left[inner] + 1 < nodes, "a child is out of range")
    born = np.concatenate([roots, left[inner], left[inner] + 1])
    _require(np.bincount(born, minlength=nodes) == 1, "a node has not exactly one parent")
    _require((arrays.feature >= 0) & (arrays.feature < feature_count), "a feature is out of range")
    _require(np.isfinite(arrays.threshold[inner]), "a threshold is not finite")
    _require(arrays.threshold[~inner] == np.inf, "a leaf has a threshold")
    in_range = (arrays.probability >= 0.0) & (arrays.probability <= 1.0)
    _require(in_range, "a probability is out of 0..1")
    _require(_depth(left, inner, roots) == depth, f"the depth is not the declared {depth}")


def _depth(left: NDArray[np.int64], inner: NDArray[np.bool_], roots: NDArray[np.int64]) -> int:
    depth, level = 0, roots[inner[roots]]
    while len(level):
        children = np.concatenate([left[level], left[level] + 1])
        depth, level = depth + 1, children[inner[children]]
    return depth


def _require(condition: bool | np.bool_ | NDArray[np.bool_], otherwise: str) -> None:
    if not np.all(condition):
        raise ModelRejected(RejectReason.STRUCTURE, otherwise)


def _rounded(row: Floats) -> Floats:
    return row.astype(np.float32).astype(np.float64)
