"""Counts, sums and maxima over the last whole seconds, exact however long the stream runs.

The rule: sizes are never subtracted. A window is a slice of per-second buckets and its sum is
taken anew from them, so a value of 1e9 leaves no trace once it is out of the window. Only
counts, whole numbers, are differences of running totals. Memory is fixed at construction,
whatever the event rate, and an event costs O(1).
"""

from array import array
from bisect import bisect_right

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class CountRing:
    """How many events each of the last `length` whole seconds had, kept as running totals.

    The cell of a second holds the number of all events up to its end, so that the count of a
    window is one difference, and the window that holds a given count is found by bisection.
    """

    __slots__ = ("_size", "_total", "_totals", "length", "newest")

    def __init__(self, length: int) -> None:
        self.length = length
        self.newest: int | None = None
        self._total = 0
        # One cell more than seconds: the total before the oldest of them.
        self._size = length + 1
        self._totals = array("q", bytes(8 * self._size))

    def put(self, second: int, count: int) -> None:
        """Add `count` events to `second`, which must not be before the newest one."""
        newest = self.newest
        if newest is not None and second > newest + 1:
            self._hold(newest + 1, min(second - newest - 1, self._size))
        self._total += count
        self._totals[second % self._size] = self._total
        self.newest = second

    def count(self, first: int, last: int) -> int:
        """Number of events in the seconds `first..last`, as far as they are kept."""
        return self._up_to(last) - self._up_to(first - 1) if first <= last else 0

    def start_of(self, wanted: int, first: int, last: int) -> int:
        """The newest second, not before `first`, from which to `last` there are `wanted` events.

        `first` (or the oldest second kept) where there are fewer.
        """
        newest = self.newest
        if newest is None:
            return first
        first, last = max(first, newest - self.length + 1), min(last, newest)
        most = self._up_to(last) - wanted
        if first > last or self._up_to(first - 1) > most:
            return first
        # The totals rise with time. In the ring they do so in at most two pieces.
        before, end = (first - 1) % self._size, last % self._size
        if before <= end:
            return first + bisect_right(self._totals, most, before, end + 1) - before - 1
        if self._totals[0] <= most:
            return last + bisect_right(self._totals, most, 0, end + 1) - end
        return first + bisect_right(self._totals, most, before, self._size) - before - 1

    def clear(self) -> None:
        """Forget everything."""
        self._totals = array("q", bytes(8 * self._size))
        self._total = 0
        self.newest = None

    def _up_to(self, second: int) -> int:
        """Number of events up to the end of `second`; a second that is not kept is the oldest."""
        newest = self.newest
        if newest is None or second >= newest:
            return self._total
        return self._totals[max(second, newest - self.length) % self._size]

    def _hold(self, second: int, count: int) -> None:
        """Nothing happened in `count` seconds from `second` on."""
        start, head = second % self._size, self._size - second % self._size
        same = array("q", (self._total,)) * count
        self._totals[start : start + min(count, head)] = same[:head]
        self._totals[: max(count - head, 0)] = same[head:]


class SizeRing:
    """One size for each of the last `length` whole seconds; seconds without one hold 0.

    Every number is stored twice, `length` cells apart, so that each window is one contiguous
    slice and no window has to be put together from two.
    """

    __slots__ = ("_cells", "length", "newest")

    def __init__(self, length: int) -> None:
        self.length = length
        self.newest: int | None = None
        self._cells: Floats = np.zeros(2 * length)

    def put(self, second: int, number: float) -> None:
        """Set the number of `second`, which must not be before the newest one."""
        length = self.length
        if self.newest is not None and second > self.newest + 1:
            self._blank(self.newest + 1, min(second - self.newest - 1, length))
        at = second % length
        self._cells[at] = number
        self._cells[at + length] = number
        self.newest = second

    def cells(self, first: int, last: int) -> Floats:
        """The numbers of `first..last` as far as they are kept, oldest first (a view).

        Seconds after the newest are left out (they would be zeros).
        """
        newest, length = self.newest, self.length
        if newest is None:
            return self._cells[:0]
        if newest - first >= length:
            first = newest - length + 1
        last = min(last, newest)
        if last < first:
            return self._cells[:0]
        end = last % length + length + 1
        return self._cells[end - (last - first + 1) : end]

    def total(self, first: int, last: int) -> float:
        """Sum over the seconds `first..last`."""
        return float(np.add.reduce(self.cells(first, last)))

    def largest(self, first: int, last: int) -> float:
        """Largest number of the seconds `first..last`, at least 0."""
        cells = self.cells(first, last)
        return float(np.maximum.reduce(cells)) if cells.size else 0.0

    def _blank(self, second: int, count: int) -> None:
        start, length = second % self.length, self.length
        self._cells[start : start + count] = 0
        self._cells[start + length : start + length + count] = 0
        # What ran over the end of the first copy also belongs to its beginning.
        self._cells[: max(start + count - length, 0)] = 0


class SizeRings:
    """By second, of the events that have a size: their number, their sum and the largest."""

    __slots__ = ("counts", "maxima", "sums")

    def __init__(self, length_s: int, maxima_s: int) -> None:
        self.counts = CountRing(length_s)
        self.sums = SizeRing(length_s)
        self.maxima = SizeRing(maxima_s)


class EventBuckets:
    """Events by whole second: how many, and of those with a size their number, sum and largest.

    Counts and sums reach `length_s` seconds back, the largest `maxima_s`. The newest second is
    kept in plain numbers (`open_*`) and written to the rings when it is over; that makes an
    event cheap. `closed_revision` moves whenever the rings do, so that whoever keeps a sum of
    closed seconds knows when to take it anew. The rings of sizes are made when the first size
    comes: many streams never carry one.
    """

    open_second: int | None
    open_count: int
    open_sized: int
    open_sum: float
    open_max: float

    __slots__ = (
        "_counts",
        "_length_s",
        "_maxima_s",
        "_sizes",
        "closed_revision",
        "open_count",
        "open_max",
        "open_second",
        "open_sized",
        "open_sum",
    )

    def __init__(self, length_s: int, maxima_s: int) -> None:
        self._length_s = length_s
        self._maxima_s = maxima_s
        self._counts = CountRing(length_s)
        self._sizes: SizeRings | None = None
        self.closed_revision = 0
        self._open(None)

    @property
    def newest(self) -> int | None:
        """The newest second that had an event, None without any."""
        return self._counts.newest if self.open_second is None else self.open_second

    def add(self, second: int, size: float) -> None:
        """Count an event; a size of 0 says that it has none. Seconds never go back."""
        if second != self.open_second:
            self._turn_to(second)
        self.open_count += 1
        if size > 0.0:
            self.open_sized += 1
            self.open_sum += size
            if size > self.open_max:  # noqa: PLR1730 - on the path of every tick
                self.open_max = size

    def settle(self, now_s: int) -> None:
        """Write the newest second to the rings if it is over by `now_s`."""
        if self.open_second is not None and self.open_second < now_s:
            self._write(self.open_second)
            self._open(None)

    def count(self, first: int, last: int) -> int:
        """Number of events in the closed seconds `first..last`."""
        return self._counts.count(first, last)

    def size_sum(self, first: int, last: int) -> float:
        """Sum of the sizes in the closed seconds `first..last`."""
        return 0.0 if self._sizes is None else self._sizes.sums.total(first, last)

    def size_max(self, first: int, last: int) -> float:
        """Largest size in the closed seconds `first..last`, 0 where there is none."""
        return 0.0 if self._sizes is None else self._sizes.maxima.largest(first, last)

    def newest_sizes(self, first: int, last: int, wanted: int) -> tuple[int, float]:
        """Number and sum of the sizes in the newest closed seconds that hold `wanted` of them.

        Whole seconds are taken from `last` backwards until they hold at least `wanted` sizes,
        at most to `first`; the second that completes the number is taken whole.
        """
        if self._sizes is None:
            return 0, 0.0
        counts = self._sizes.counts
        start = counts.start_of(wanted, first, last)
        return counts.count(start, last), self._sizes.sums.total(start, last)

    def clear(self) -> None:
        """Forget all events."""
        self._counts.clear()
        self._sizes = None
        self.closed_revision += 1
        self._open(None)

    def _turn_to(self, second: int) -> None:
        if self.open_second is not None:
            self._write(self.open_second)
        if second == self._counts.newest:
            self._reopen(second)
        else:
            self._open(second)

    def _open(self, second: int | None) -> None:
        self.open_second = second
        self.open_count = 0
        self.open_sized = 0
        self.open_sum = 0.0
        self.open_max = 0.0

    def _reopen(self, second: int) -> None:
        """Take back a second that was settled because *now* had left it."""
        self._open(second)
        self.open_count = self._counts.count(second, second)
        self._counts.put(second, -self.open_count)
        if self._sizes is not None:
            self.open_sized = self._sizes.counts.count(second, second)
            self.open_sum = self._sizes.sums.total(second, second)
            self.open_max = self._sizes.maxima.largest(second, second)
            self._put_sizes(self._sizes, second, -self.open_sized, 0.0, 0.0)
        self.closed_revision += 1

    def _write(self, second: int) -> None:
        """The open second is over: its numbers go to the rings."""
        self._counts.put(second, self.open_count)
        if self._sizes is None and self.open_sized:
            self._sizes = SizeRings(self._length_s, self._maxima_s)
        if self._sizes is not None:
            self._put_sizes(self._sizes, second, self.open_sized, self.open_sum, self.open_max)
        self.closed_revision += 1

    def _put_sizes(
        self, rings: SizeRings, second: int, count: int, total: float, top: float
    ) -> None:
        rings.counts.put(second, count)
        rings.sums.put(second, total)
        rings.maxima.put(second, top)
