"""Events by whole second: counts, sums and maxima over the last ones, exact however long it runs.

The rule: sizes are never subtracted. A window's sum is taken anew from the sums of its seconds,
so a value of 1e9 leaves no trace once it is out of the window. Only counts, whole numbers, are
differences of running totals. A second without events takes no room and one with any number of
them a single row; rows are bounded, and an event costs O(1).
"""

from array import array
from bisect import bisect_left, bisect_right

import numpy as np

_SPARE_ROWS = 256
"""Rows that are too old are dropped so many at a time."""

_FEW_ROWS = 80
"""Up to here a plain sum takes less time than numpy needs to begin."""


class Sizes:
    """Of the seconds' events that have a size: how many before each row, sum and largest."""

    __slots__ = ("counts", "maxima", "sums")

    def __init__(self, rows: int) -> None:
        self.counts = array("q", bytes(8 * (rows + 1)))
        self.sums = array("d", bytes(8 * rows))
        self.maxima = array("d", bytes(8 * rows))

    def append(self, count: int, total: float, top: float) -> None:
        """Add a second's row."""
        self.counts.append(self.counts[-1] + count)
        self.sums.append(total)
        self.maxima.append(top)

    def pop(self) -> tuple[int, float, float]:
        """Take the newest row back: count, sum and largest."""
        count = self.counts.pop()
        return count - self.counts[-1], self.sums.pop(), self.maxima.pop()

    def drop(self, rows: int) -> None:
        """Forget the oldest rows."""
        del self.counts[:rows], self.sums[:rows], self.maxima[:rows]


class EventBuckets:
    """Events of the last `length_s` whole seconds, and of those with a size sum and largest.

    The newest second is kept in plain numbers (`open_*`) and becomes a row when it is over; that
    makes an event cheap. `closed_revision` moves whenever the rows do, so that whoever keeps a
    sum of closed seconds knows when to take it anew. Sizes have no rows before the first one
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
        "_seconds",
        "_sizes",
        "closed_revision",
        "open_count",
        "open_max",
        "open_second",
        "open_sized",
        "open_sum",
    )

    def __init__(self, length_s: int) -> None:
        self._length_s = length_s
        self.closed_revision = 0
        self._forget()

    @property
    def newest(self) -> int | None:
        """The newest second that had an event, None without any."""
        if self.open_second is not None:
            return self.open_second
        return self._seconds[-1] if self._seconds else None

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
        """Close the newest second if it is over by `now_s`."""
        if self.open_second is not None and self.open_second < now_s:
            self._close(self.open_second)
            self._open(None)

    def row(self, second: int) -> int:
        """The first row of `second` or later. A window is the rows `start..end`, `end` excluded."""
        return bisect_left(self._seconds, second)

    def count(self, start: int, end: int) -> int:
        """Number of events in these rows."""
        return self._counts[end] - self._counts[start]

    def size_sum(self, start: int, end: int) -> float:
        """Sum of the sizes in these rows."""
        if self._sizes is None:
            return 0.0
        if end - start <= _FEW_ROWS:
            return sum(self._sizes.sums[start:end])
        return float(np.add.reduce(np.frombuffer(self._sizes.sums)[start:end]))

    def size_max(self, start: int, end: int) -> float:
        """Largest size in these rows, 0 where there is none."""
        return 0.0 if self._sizes is None else max(self._sizes.maxima[start:end], default=0.0)

    def newest_sizes(self, start: int, end: int, wanted: int) -> tuple[int, float]:
        """Number and sum of the sizes in the newest of these rows that hold `wanted` of them.

        Whole rows are taken from the end backwards until they hold at least `wanted` sizes; the
        row that completes the number is taken whole.
        """
        if self._sizes is None:
            return 0, 0.0
        counts = self._sizes.counts
        enough = bisect_right(counts, counts[end] - wanted, start, end + 1) - 1
        start = max(enough, start)
        return counts[end] - counts[start], self.size_sum(start, end)

    def clear(self) -> None:
        """Forget all events."""
        self.closed_revision += 1
        self._forget()

    def _forget(self) -> None:
        self._seconds = array("q")
        # How many events there were before each row and, last, up to the newest row's end.
        self._counts = array("q", (0,))
        self._sizes: Sizes | None = None
        self._open(None)

    def _turn_to(self, second: int) -> None:
        if self.open_second is not None:
            self._close(self.open_second)
        elif self._seconds and self._seconds[-1] == second:
            self._reopen(second)
            return
        self._open(second)

    def _open(self, second: int | None) -> None:
        self.open_second = second
        self.open_count = 0
        self.open_sized = 0
        self.open_sum = 0.0
        self.open_max = 0.0

    def _reopen(self, second: int) -> None:
        """Take back a second that was closed because *now* had left it."""
        self._open(second)
        self._seconds.pop()
        count = self._counts.pop()
        self.open_count = count - self._counts[-1]
        if self._sizes is not None:
            self.open_sized, self.open_sum, self.open_max = self._sizes.pop()
        self.closed_revision += 1

    def _close(self, second: int) -> None:
        """The open second is over: its numbers become a row."""
        if self._sizes is None and self.open_sized:
            self._sizes = Sizes(len(self._seconds))
        self._seconds.append(second)
        self._counts.append(self._counts[-1] + self.open_count)
        if self._sizes is not None:
            self._sizes.append(self.open_sized, self.open_sum, self.open_max)
        if len(self._seconds) >= self._length_s + _SPARE_ROWS:
            self._drop(bisect_left(self._seconds, second - self._length_s + 1))
        self.closed_revision += 1

    def _drop(self, rows: int) -> None:
        del self._seconds[:rows], self._counts[:rows]
        if self._sizes is not None:
            self._sizes.drop(rows)
