"""One-minute bars of one symbol: built from mids by event time, filled in from outside candles.

The rule: a bar is closed only if its whole minute was observed and is over. A minute without
ticks has no bar, a bar whose minute was interrupted is dropped, and a candle enters only where
no bar stands. More than three missing minutes between two bars end a run; what needs several
bars uses the newest run alone. M5 and M15 are read off these bars, they have no state of their
own.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from math import ceil, inf, isfinite, nan
from typing import NamedTuple

import numpy as np

from protocol.schema import SCHEMA
from service.spans import DAY_S

MINUTE_S = 60
MINUTES_PER_DAY = 1440
KEPT_BARS = SCHEMA.constants["kept_bars"]
MAX_MISSING_MINUTES = SCHEMA.constants["max_missing_bars"]

OLDEST_CANDLE_S = 7 * DAY_S
"""A week bridges any weekend; what is older would stand in for yesterday's levels."""


class Bar(NamedTuple):
    """An M1 bar; `minute` is the whole UTC minute since the epoch that it covers."""

    minute: int
    open: float
    high: float
    low: float
    close: float


class DayRange(NamedTuple):
    """Highest and lowest price in the bars of a UTC day (whole days since the epoch)."""

    day: int
    high: float
    low: float


def candle_refusal(opened_s: float, now_s: float) -> str | None:
    """Why an outside M1 candle of this opening (UTC s) is no bar, whatever stands there already."""
    if opened_s % MINUTE_S:
        return "unaligned"
    if opened_s + MINUTE_S > now_s:
        return "not_ended"
    return "too_old" if opened_s < now_s - OLDEST_CANDLE_S else None


def is_possible(bar: Bar) -> bool:
    """Whether prices can have made it: finite, above zero, open and close within the range."""
    inside = 0.0 < bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
    return inside and isfinite(bar.high)


class Bars:
    """The last 240 closed M1 bars, the bar that is forming and the ranges of two days.

    Columns are arrays in the order of time. `true_ranges` holds NaN where the bar has no
    previous bar in its run. `run_start` is the index of the first bar of the newest run.
    `revision` moves with every change to the closed bars.
    """

    __slots__ = (
        "_close",
        "_complete_from",
        "_high",
        "_low",
        "_open",
        "_own_minute",
        "_run_range",
        "closes",
        "days",
        "forming_minute",
        "highs",
        "lows",
        "minutes",
        "opens",
        "revision",
        "run_start",
        "true_ranges",
    )

    def __init__(self) -> None:
        self.minutes = array("q")
        self.opens = array("d")
        self.highs = array("d")
        self.lows = array("d")
        self.closes = array("d")
        self.true_ranges = array("d")
        self.run_start = 0
        self.days: tuple[DayRange, ...] = ()
        self.revision = 0
        self.forming_minute: int | None = None
        self._open = self._high = self._low = self._close = 0.0
        self._complete_from = 0
        self._own_minute: int | None = None
        self._run_range: tuple[float, float] | None = None

    def __len__(self) -> int:
        return len(self.minutes)

    def __iter__(self) -> Iterator[Bar]:
        columns = zip(self.minutes, self.opens, self.highs, self.lows, self.closes, strict=True)
        return (Bar(*row) for row in columns)

    def begin(self, event_time_s: float) -> None:
        """Observation begins (anew): the minute in progress is partial unless it just began."""
        self.roll(int(event_time_s // MINUTE_S))
        self.forming_minute = None
        self._own_minute = None
        self._complete_from = ceil(event_time_s / MINUTE_S)

    def add_mid(self, minute: int, mid: float) -> None:
        """Apply the mid price of a tick of `minute`; minutes never go back."""
        if minute != self.forming_minute:
            self._turn_to(minute, mid)
        elif mid > self._high:
            self._high = mid
        elif mid < self._low:
            self._low = mid
        self._close = mid

    def roll(self, minute: int) -> bool:
        """Close the forming bar if `minute` is after it. Returns whether a bar was closed."""
        forming = self.forming_minute
        if forming is None or forming >= minute:
            return False
        self.forming_minute = None
        if forming < self._complete_from:
            return False
        self._own_minute = forming
        self._append(forming, self._open, self._high, self._low, self._close)
        return True

    def add_candle(self, bar: Bar) -> bool:
        """Insert an outside bar that has ended.

        False where it is refused: a bar stands there or is being made there of own ticks, it is
        older than all that is kept, or no prices can have made it.
        """
        if not is_possible(bar) or self._has(bar.minute):
            return False
        if len(self.minutes) == KEPT_BARS and bar.minute < self.minutes[0]:
            return False
        if bar.minute == self.forming_minute:
            if bar.minute >= self._complete_from:
                return False
            self.forming_minute = None
        if not self.minutes or bar.minute > self.minutes[-1]:
            self.roll(bar.minute)  # a later minute has ended: so has the one that was forming
            self._append(*bar)
        else:
            self._insert(bar)
        return True

    def previous_day(self, minute: int) -> DayRange | None:
        """The range of the newest UTC day with bars before the day of `minute`."""
        today = minute // MINUTES_PER_DAY
        for day in reversed(self.days):
            if day.day < today:
                return day
        return None

    def before(self, minute: int, days: tuple[DayRange, ...] | None = None) -> Bars:
        """The closed bars of earlier minutes, with these ranges of days or those that it has."""
        kept = Bars()
        for bar in self:
            if bar.minute < minute:
                kept._append(*bar)
        kept.restore_days(self.days if days is None else days)
        return kept

    def restore_days(self, days: tuple[DayRange, ...]) -> None:
        """Take over the ranges of days whose bars are no longer kept."""
        for day in days:
            self._widen_day(*day)
        self.revision += 1

    def run_length(self, minute: int) -> int:
        """Bars in the newest run as seen from `minute`; 0 when too many minutes are missing."""
        if not self.minutes or minute - self.minutes[-1] > MAX_MISSING_MINUTES + 1:
            return 0
        return len(self.minutes) - self.run_start

    def run_range(self) -> tuple[float, float]:
        """Highest and lowest price of the newest run, as far as its bars are kept."""
        if self._run_range is None:
            highs, lows = np.frombuffer(self.highs), np.frombuffer(self.lows)
            start = self.run_start
            self._run_range = (
                float(np.maximum.reduce(highs[start:])),
                float(np.minimum.reduce(lows[start:])),
            )
        return self._run_range

    def _turn_to(self, minute: int, mid: float) -> None:
        self.roll(minute)
        if self.minutes and minute <= self.minutes[-1]:
            if minute == self._own_minute == self.minutes[-1]:
                self._amend(mid)
            return
        self.forming_minute = minute
        self._open = self._high = self._low = mid

    def _amend(self, mid: float) -> None:
        """A tick of the minute that *now* had already left belongs to its bar all the same."""
        self.highs[-1] = max(self.highs[-1], mid)
        self.lows[-1] = min(self.lows[-1], mid)
        self.closes[-1] = mid
        self.true_ranges[-1] = self._true_range(len(self) - 1)
        self._run_range = None
        self._widen_day(self.minutes[-1] // MINUTES_PER_DAY, mid, mid)
        self.revision += 1

    def _has(self, minute: int) -> bool:
        at = bisect_left(self.minutes, minute)
        return at < len(self.minutes) and self.minutes[at] == minute

    def _append(self, minute: int, open_: float, high: float, low: float, close: float) -> None:
        """A bar newer than all others: what is known of the run is carried on."""
        minutes = self.minutes
        if minutes and minute - minutes[-1] <= MAX_MISSING_MINUTES + 1:
            before = self.closes[-1]
            true_range = (high if high > before else before) - (low if low < before else before)
            if self._run_range is not None:
                top, bottom = self._run_range
                if high > top or low < bottom:
                    self._run_range = (max(high, top), min(low, bottom))
        else:
            self.run_start = len(minutes)
            self._run_range = (high, low)
            true_range = nan
        minutes.append(minute)
        self.opens.append(open_)
        self.highs.append(high)
        self.lows.append(low)
        self.closes.append(close)
        self.true_ranges.append(true_range)
        if len(minutes) > KEPT_BARS:
            self._drop_oldest()
        self._widen_day(minute // MINUTES_PER_DAY, high, low)
        self.revision += 1

    def _insert(self, bar: Bar) -> None:
        """A bar between or before others."""
        at = bisect_left(self.minutes, bar.minute)
        self.minutes.insert(at, bar.minute)
        self.opens.insert(at, bar.open)
        self.highs.insert(at, bar.high)
        self.lows.insert(at, bar.low)
        self.closes.insert(at, bar.close)
        self.true_ranges.insert(at, self._true_range(at))
        self.true_ranges[at + 1] = self._true_range(at + 1)
        if len(self.minutes) > KEPT_BARS:
            self._drop_oldest()
        self._find_run_start()
        self._run_range = None
        self._widen_day(bar.minute // MINUTES_PER_DAY, bar.high, bar.low)
        self.revision += 1

    def _drop_oldest(self) -> None:
        self.minutes.pop(0)
        self.opens.pop(0)
        high, low = self.highs.pop(0), self.lows.pop(0)
        self.closes.pop(0)
        self.true_ranges.pop(0)
        if self.run_start > 0:
            self.run_start -= 1
        elif self._run_range is not None and (
            high >= self._run_range[0] or low <= self._run_range[1]
        ):
            self._run_range = None

    def _ends_run(self, at: int) -> bool:
        """Whether too many minutes are missing before the bar at this index."""
        return at == 0 or self.minutes[at] - self.minutes[at - 1] > MAX_MISSING_MINUTES + 1

    def _find_run_start(self) -> None:
        self.run_start = next(i for i in range(len(self) - 1, -1, -1) if self._ends_run(i))

    def _true_range(self, at: int) -> float:
        if self._ends_run(at):
            return nan
        high, low, before = self.highs[at], self.lows[at], self.closes[at - 1]
        return max(high, before) - min(low, before)

    def _widen_day(self, day: int, high: float, low: float) -> None:
        """Merge into the two newest days."""
        if self.days:
            last = self.days[-1]
            if last.day == day and high <= last.high and low >= last.low:
                return
        by_day = {known.day: known for known in self.days}
        old = by_day.get(day, DayRange(day, -inf, inf))
        by_day[day] = DayRange(day, max(old.high, high), min(old.low, low))
        self.days = tuple(by_day[known] for known in sorted(by_day)[-2:])
