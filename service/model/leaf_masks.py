"""Which leaf of every tree a vector ends in, found without walking: by ANDing rows of bits.

The rule: a mask has a bit for each leaf that can still be reached, and looking never changes
an answer that stepping down the trees would give.

Each node whose condition fails rules out the leaves of its left subtree; the leftmost leaf
that no node ruled out is where the walk ends (Lucchese et al., "QuickScorer", SIGIR 2015). The
nodes of one feature sorted by threshold fail from the first up to a place that a bisection
finds, so what they leave over is worked out when a model is loaded: for each feature a table
of one row a place and one mask a tree. A vector then costs a row of each feature's table.
"""

from __future__ import annotations

import mmap
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.arrays import Floats, Ints
from service.model.forest_arrays import Arrays

MOST_LEAVES = 52
"""A tree's. The mask of the remaining leaves becomes a float64, whose exponent says which leaf
is first; beyond 53 bits it would be rounded."""

NARROW = 32
"""Leaves up to which a mask takes four bytes, so that with cold caches half as much is fetched."""

MOST_MASKS = 4 << 20
"""Of all tables together, in 32 MiB at most; 150 trees of 20 leaves have 0.4 million."""

AT_A_TIME = 160 << 10
"""Bytes of a table that are filled between two pauses: some tenth of a millisecond's work."""

FEW = 12
"""Rows whose places are found quicker for each alone than feature by feature."""

HUGE_PAGE = 2 << 20

_EXPONENT_SHIFT, _EXPONENT_BIAS = 52, 1023

Masks = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True, slots=True)
class LeafMasks:
    """The tables of one forest.

    Of each feature that is split the `thresholds` rise, and its table begins at row `first` of
    `table` (places, trees); `singles` are both once more, for looking up single values. Masks
    are of `lane` bits, 32 or 64; `leaf_values` has the probability of tree t's leaf of bit b at
    `lane` t + b.
    """

    thresholds: tuple[Floats, ...]
    first: tuple[int, ...]
    singles: tuple[tuple[int, array[float]], ...]
    table: Masks
    leaf_values: Floats
    offsets: Ints

    def value(self, row: Iterable[float]) -> Floats:
        """The probability (trees,) that each tree gives one vector (features,) of float32 values.

        `values` with fewer arrays: with cold caches each costs as much as looking up a feature.
        """
        return self._leaf_values(np.bitwise_and.reduce(self.table.take(self._alone(row), axis=0)))

    def few(self, rows: Sequence[Iterable[float]]) -> Floats:
        """The same (n, trees) of n vectors at once, n small."""
        return self._leaves(np.array([self._alone(row) for row in rows]))

    def values(self, rows: NDArray[np.float32]) -> Floats:
        """The same (n, trees) of each row of (n, features)."""
        wide = rows.astype(np.float64)
        places = np.empty((len(rows), len(self.first)), np.int64)
        for at, thresholds in enumerate(self.thresholds):
            places[:, at] = np.searchsorted(thresholds, wide[:, at]) + self.first[at]
        return self._leaves(places)

    def _leaves(self, places: Ints) -> Floats:
        remaining = np.bitwise_and.reduce(self.table.take(places, axis=0), axis=1)
        return self._leaf_values(remaining)

    def _leaf_values(self, remaining: Masks) -> Floats:
        """Of the leaves (..., trees) that can still be reached the leftmost's probability."""
        # The exponent is the number of the highest bit, which is the leftmost leaf's.
        bit = remaining.astype(np.float64).view(np.int64)
        bit >>= _EXPONENT_SHIFT
        bit += self.offsets
        found: Floats = self.leaf_values.take(bit)
        return found

    def _alone(self, row: Iterable[float]) -> list[int]:
        """The table's rows for one vector: how many thresholds lie below each value."""
        return [
            first + bisect_left(thresholds, value)
            for (first, thresholds), value in zip(self.singles, row, strict=False)
        ]


def leaf_masks(arrays: Arrays, pause: Callable[[], object] = lambda: None) -> LeafMasks | None:
    """The tables of checked trees; None where a tree has too many leaves or all have.

    `pause` is called after each small part of the work.
    """
    left, trees = arrays.left.astype(np.intp), len(arrays.roots)
    inner = np.flatnonzero(left != np.arange(len(left)))
    features = int(arrays.feature[inner].max(initial=0)) + 1
    if (len(inner) + features) * trees > MOST_MASKS:
        return None
    pause()
    tree, leaves, before = _leaf_ranges(left, arrays.roots)
    pause()
    if leaves.max() > MOST_LEAVES:
        return None
    narrow = leaves.max() <= NARROW
    bits, lane = (NARROW, 32) if narrow else (MOST_LEAVES, 64)
    ruled_out = leaves[left[inner]]
    every = np.uint64((1 << bits) - 1)
    ones = (np.uint64(1) << ruled_out.astype(np.uint64)) - np.uint64(1)
    masks = every ^ (ones << (bits - before[inner] - ruled_out).astype(np.uint64))
    pause()
    table = _block((len(inner) + features, trees), np.uint32 if narrow else np.uint64)
    together = max(1, AT_A_TIME // (trees * table.itemsize))
    thresholds, first, row = [], [], 0
    for at in range(features):
        mine = np.flatnonzero(arrays.feature[inner] == at)
        mine = mine[np.argsort(arrays.threshold[inner[mine]], kind="stable")]
        part = table[row : row + len(mine) + 1]
        part[0] = every
        for start in range(0, len(mine), together):
            some = mine[start : start + together]
            block = part[start : start + len(some) + 1]  # goes on from the row before
            block[1:] = every
            block[np.arange(1, len(block)), tree[inner[some]]] = masks[some]
            np.bitwise_and.accumulate(block, axis=0, out=block)
            pause()
        thresholds.append(arrays.threshold[inner[mine]])
        first.append(row)
        row += len(part)
    leaf = np.flatnonzero(left == np.arange(len(left)))
    values = np.zeros(trees * lane, np.float64)
    values[tree[leaf] * lane + bits - 1 - before[leaf]] = arrays.probability[leaf]
    return LeafMasks(
        thresholds=tuple(thresholds),
        first=tuple(first),
        # In one piece each: of a list every number lies elsewhere, which cold caches make dear.
        singles=tuple(
            (at, array("d", r.tobytes())) for at, r in zip(first, thresholds, strict=True)
        ),
        table=table,
        leaf_values=values,
        offsets=np.arange(trees, dtype=np.int64) * lane - _EXPONENT_BIAS,
    )


def _block(shape: tuple[int, int], kind: type[np.unsignedinteger[Any]]) -> Masks:
    """Memory that goes back to the system with the model: the allocator would keep it.

    One block, filled in place: a model is loaded while another one serves from as much. In
    huge pages where the system has them, since in small ones they take ten times as long to
    come by and to go, and whoever else wants the interpreter waits for that.
    """
    count = shape[0] * shape[1]
    size = max(1, count * np.dtype(kind).itemsize)
    if size >= HUGE_PAGE // 2:  # less would double what it takes
        size = -(-size // HUGE_PAGE) * HUGE_PAGE
    block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without them
        block.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(block, kind, count).reshape(shape)


def _leaf_ranges(
    left: NDArray[np.intp], roots: NDArray[np.int32]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Of each node (n,): its tree, how many leaves lie below it, how many left of those."""
    levels, nodes = [], roots.astype(np.intp)
    while len(nodes):
        parents = nodes[left[nodes] != nodes]
        levels.append(parents)
        nodes = np.concatenate([left[parents], left[parents] + 1])
    tree, leaves = np.zeros(len(left), np.intp), np.ones(len(left), np.intp)
    before = np.zeros(len(left), np.intp)
    for parents in reversed(levels):
        leaves[parents] = leaves[left[parents]] + leaves[left[parents] + 1]
    tree[roots] = np.arange(len(roots))
    for parents in levels:
        child = left[parents]
        tree[child] = tree[child + 1] = tree[parents]
        before[child] = before[parents]
        before[child + 1] = before[parents] + leaves[child]
    return tree, leaves, before
