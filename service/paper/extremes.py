"""The largest value since each of many moments, in amortised O(1) a value.

Moments that have seen the same largest value share one entry, so that a new value touches
only the entries that it exceeds, not every moment.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable


class MaximumSince:
    """Moments are numbered, rising; `begin` one after the `add` of the value that it begins with.

    >>> high = MaximumSince()
    >>> high.add(3.0); high.begin(1, 3.0)
    >>> high.add(1.0); high.begin(2, 1.0)
    >>> high.add(2.0)
    >>> high.of(1), high.of(2)
    (3.0, 2.0)
    """

    __slots__ = ("_firsts", "_values")

    def __init__(self) -> None:
        # Entry i holds for the moments from _firsts[i] up to _firsts[i + 1]; _values fall.
        self._firsts: list[int] = []
        self._values: list[float] = []

    def __len__(self) -> int:
        return len(self._firsts)

    def add(self, value: float) -> None:
        """A new value, seen by all moments so far."""
        firsts, values = self._firsts, self._values
        if not values or value <= values[-1]:
            return
        first = firsts[-1]
        while values and values[-1] <= value:
            first = firsts.pop()
            values.pop()
        firsts.append(first)
        values.append(value)

    def begin(self, number: int, value: float) -> None:
        """A moment whose first value, just added, is `value`; `number` above all before."""
        if not self._values or self._values[-1] > value:
            self._firsts.append(number)
            self._values.append(value)

    def of(self, number: int) -> float:
        """The largest value since a moment. Raises IndexError where none has begun."""
        return self._values[bisect_right(self._firsts, number) - 1]

    def keep(self, numbers: Iterable[int]) -> None:
        """Forget all moments but these, which rise."""
        firsts: list[int] = []
        values: list[float] = []
        for number in numbers:
            value = self.of(number)
            if not values or values[-1] != value:
                firsts.append(number)
                values.append(value)
        self._firsts, self._values = firsts, values
