"""A random forest as a few flat arrays, and the proof that they are trees.

The rule: every array that gets here from a file has passed `check_structure`; then no walk
can leave the arrays or run longer than the declared depth.

The nodes of all trees lie in one set of arrays. A node's right child stands beside its left
one. A leaf is its own left child and its threshold is +inf, so that `left + (x > threshold)`
stays where it is and trees of unequal depth step down together. Inner nodes keep their
probability of a win too: the change of it along a path is what explains a prediction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.arrays import Bools, Floats, Ints
from service.errors import ModelRejected, RejectReason


@dataclass(frozen=True, slots=True)
class Arrays:
    """The packed forest: five per node (n,) and the root of each tree (t,)."""

    feature: NDArray[np.int16]
    threshold: Floats
    left: NDArray[np.int32]
    probability: Floats
    roots: NDArray[np.int32]


def check_structure(
    arrays: Arrays,
    depth: int,
    feature_count: int,
    max_nodes: int,
    pause: Callable[[], object] = lambda: None,
) -> None:
    """Make sure that the arrays are trees which `Forest` can walk; ModelRejected if not.

    dtypes are taken as checked. After this every node is a root or the child of exactly one
    node before it, no path is longer than `depth`, and every number is in its range.
    `pause` as in `bundle`.
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
    pause()
    born = np.concatenate([roots, left[inner], left[inner] + 1])
    _require(np.bincount(born, minlength=nodes) == 1, "a node has not exactly one parent")
    pause()
    _require((arrays.feature >= 0) & (arrays.feature < feature_count), "a feature is out of range")
    _require(np.isfinite(arrays.threshold[inner]), "a threshold is not finite")
    _require(arrays.threshold[~inner] == np.inf, "a leaf has a threshold")
    in_range = (arrays.probability >= 0.0) & (arrays.probability <= 1.0)
    _require(in_range, "a probability is out of 0..1")
    pause()
    _require(_depth(left, inner, roots) == depth, f"the depth is not the declared {depth}")


def _depth(left: Ints, inner: Bools, roots: Ints) -> int:
    depth, level = 0, roots[inner[roots]]
    while len(level):
        children = np.concatenate([left[level], left[level] + 1])
        depth, level = depth + 1, children[inner[children]]
    return depth


def _require(condition: bool | np.bool_ | Bools, otherwise: str) -> None:
    if not np.all(condition):
        raise ModelRejected(RejectReason.STRUCTURE, otherwise)
