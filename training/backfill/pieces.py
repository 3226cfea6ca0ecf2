"""Cuts a stream of events into pieces: one a symbol and UTC day that has signals.

A piece holds what its signals can see, and what follows them until the last has ended. That
it gives the bits of one engine that reads everything rests on how far features look back:

- Bars: the newest run of at most 240, of which four minutes may lie between two: 16 hours.
- Levels: the newest day before today that had a bar. A piece begins before such a day, found
  by `has_bar`, which never says so of a day without; a little earlier, so that the first
  minute, cut off wherever one begins, is none of that day's.
- Volume: 21 minutes, and an hour's silence; a symbol's ticks begin an hour before the day.
- Correlation: 61 minutes of the other symbols' bars, and of their tick counts 20 where more
  than 32 symbols compete.
- Another terminal begins it all anew, but for bars and levels: a block has one source.
- Paper: the symbol's own ticks, from the signal to the end of its holding time and a gap.

Every event bears its number in the stream, and a signal the number that it comes before, so
a piece is a part of the same sequence. Only blocks that a piece may still need are kept.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import floor, inf
from typing import NamedTuple

import numpy as np

from training.backfill.columns import (
    CANDLE_COLUMNS,
    DAY_S,
    GAP_S,
    MINUTE_S,
    TICK_COLUMNS,
    Block,
    Span,
    block_of,
    merged,
    pack,
)
from training.backfill.signals import Asked
from training.backfill.stream import Event

LEAD_S = 600.0
"""What is read before anything that has to be whole: longer than a gap and a minute."""

FULL_BEFORE_S = 7_200.0
OTHERS_BARS_S = 62 * 60.0
OTHERS_TICKS_S = 22 * 60.0
HOUR_S = 3_600.0
MARGIN_S = 2.0
"""After the last signal's holding time and gap: whatever is open then is void or over."""

TICKS_A_BLOCK = 16_384
AFTER_DATA_S = 60.0
"""A signal that comes so soon after the last event is still one of this market."""


class CutRules(NamedTuple):
    """How signals and market meet: seconds that a position is held and may go unseen; whether
    stamps are whole seconds; whether more symbols than 32 may compete for the correlation."""

    holding_s: float
    gap_s: float
    whole_seconds: bool = False
    crowded: bool = True

    @property
    def after_s(self) -> float:
        """How long after a signal its symbol's ticks may matter."""
        return self.holding_s + self.gap_s + MARGIN_S


class Placed(NamedTuple):
    """A signal, and the number of the event that it comes before."""

    number: int
    asked: Asked


class Ticks(NamedTuple):
    """Packed blocks of a symbol, and the source of each. What lies in `spans` (UTC s) belongs to
    the piece, and what lies outside of `full` may be thinned."""

    symbol: str
    ticks: list[bytes]
    sources: list[int]
    candles: bytes
    spans: list[Span]
    full: list[Span]


class Piece(NamedTuple):
    """Signals of one symbol and day with all that they can see; `until_s` ends it."""

    symbol: str
    day: int
    signals: list[Placed]
    market: list[Ticks]
    until_s: float


@dataclass(slots=True)
class _History:
    """What is kept of one symbol. `full` are the spans that are not thinned."""

    full: list[Span]
    blocks: list[Block] = field(default_factory=list)
    candles: list[tuple[float, ...]] = field(default_factory=list)
    open_rows: array[float] = field(default_factory=lambda: array("d"))
    open_until_s: float = -inf
    before_s: float = -inf
    earliest_s: float = inf
    source: int = 0
    first_s: dict[int, float] = field(default_factory=dict)
    has_bar: set[int] = field(default_factory=set)

    def add(self, number: int, stamp_s: float, values: Sequence[float], source: int) -> None:
        """One tick more; a block ends with its day, its source, or when it is long enough."""
        if source != self.source:
            self.close()
            self.source = source
            self.before_s = -inf  # no bar is closed from one terminal to another
        if stamp_s >= self.open_until_s or len(self.open_rows) >= TICKS_A_BLOCK * TICK_COLUMNS:
            self.close()
            self.open_until_s = (stamp_s // DAY_S + 1) * DAY_S
        self.open_rows.extend((number, stamp_s, *values))

    def add_candle(self, number: int, stamp_s: float, values: Sequence[float]) -> None:
        """One candle more. One that has just ended is a bar, unless its minute had one."""
        self.candles.append((number, stamp_s, *values))
        opened_s, low, high = values[0], values[3], values[2]
        just_ended = opened_s % MINUTE_S == 0 and stamp_s // MINUTE_S == opened_s // MINUTE_S + 1
        if just_ended and 0.0 < low <= high < inf:
            self.has_bar.add(int(opened_s // DAY_S))

    def close(self) -> None:
        """Pack the open ticks."""
        if not self.open_rows:
            return
        rows = np.frombuffer(self.open_rows).reshape(-1, TICK_COLUMNS)
        block = block_of(rows, self.before_s, self.full, self.source)
        self.before_s = block.last_s
        self.earliest_s = min(self.earliest_s, block.first_s)
        self.blocks.append(block)
        self.first_s.setdefault(block.day, block.first_s)
        if block.has_bar:
            self.has_bar.add(block.day)
        self.open_rows = array("d")

    def begin_of(self, day: int) -> float:
        """From when on (UTC s) events matter to a signal of `day`."""
        hour_before_s = day * DAY_S - HOUR_S
        first_s = inf
        for earlier in range(day - 1, min(self.has_bar, default=day) - 1, -1):
            first_s = self.first_s.get(earlier, first_s)
            heard = first_s <= hour_before_s or self.earliest_s >= earlier * DAY_S
            if earlier in self.has_bar and heard:
                return earlier * DAY_S - LEAD_S
        return -inf

    def forget(self, before_s: float) -> None:
        """Drop what lies before."""
        self.blocks = [block for block in self.blocks if block.last_s >= before_s]
        self.candles = [candle for candle in self.candles if candle[1] >= before_s]
        self.first_s = {d: s for d, s in self.first_s.items() if (d + 1) * DAY_S > before_s}
        self.has_bar = {day for day in self.has_bar if (day + 1) * DAY_S > before_s}

    def between(self, symbol: str, spans: list[Span], full: list[Span]) -> Ticks:
        """The blocks that reach into the spans, which are in order and apart."""
        ends = [span[1] for span in spans]

        def reaches(first_s: float, last_s: float) -> bool:
            at = bisect_left(ends, first_s)
            return at < len(spans) and spans[at][0] <= last_s

        blocks = [block for block in self.blocks if reaches(block.first_s, block.last_s)]
        candles = [candle for candle in self.candles if reaches(candle[1], candle[1])]
        rows = np.array(candles, dtype=np.float64).reshape(-1, CANDLE_COLUMNS)
        packed, sources = [one.packed for one in blocks], [one.source for one in blocks]
        return Ticks(symbol, packed, sources, pack(rows), spans, full)


class Cutter:
    """One pass over the events."""

    def __init__(self, asked: Sequence[Asked], symbols: Sequence[str], rules: CutRules) -> None:
        """`asked` in order of time, `symbols` theirs by the market's names."""
        self._too_early: Counter[str] = Counter()
        self._too_late = 0
        self._rules = rules
        self._asked = asked
        self._symbols = symbols
        self._next = 0
        self._histories: dict[str, _History] = {}
        self._placed: defaultdict[int, defaultdict[str, list[Placed]]] = defaultdict(
            lambda: defaultdict(list)
        )
        self._own_spans: defaultdict[str, list[Span]] = defaultdict(list)
        for signal, symbol in zip(asked, symbols, strict=True):
            self._own_spans[symbol].append(self._own_span(signal))
        self._common_spans = self._ticks_spans(asked)
        self._due = self._when_due()
        self._newest_s = -inf
        self._day = -1

    @property
    def unplaced(self) -> Counter[str]:
        """Signals that no piece could hold, by the reason, so far."""
        found = Counter(after_the_market=self._too_late)
        for symbol, count in self._too_early.items():
            is_there = symbol in self._histories
            found["before_the_market" if is_there else "not_in_the_market"] += count
        return +found

    def pieces(self, events: Iterable[Event]) -> Iterator[Piece]:
        """All pieces, by day and symbol; no event is read after the last signal's end."""
        number = 0
        due = iter(sorted(self._due.items()))
        day, due_s = next(due, (-1, -inf))
        for event in events:
            if event.stamp_s > due_s:  # what came within a gap belongs to the days that end now
                self._place(number, event.stamp_s)
            while event.stamp_s > due_s:
                yield from self._of_day(day, due_s)
                day, due_s = next(due, (-1, inf))
                if day < 0:
                    return
            self._take(number, event, day)
            number += 1
        self._place(number, self._newest_s + AFTER_DATA_S)
        while day >= 0:
            yield from self._of_day(day, min(due_s, self._newest_s))
            day, due_s = next(due, (-1, inf))
        self._too_late = len(self._asked) - self._next

    def _when_due(self) -> dict[int, float]:
        """When each day's last signal has surely ended; later days later."""
        due: dict[int, float] = {}
        latest_s = -inf
        for asked in self._asked:
            latest_s = max(latest_s, asked.time_s + self._rules.after_s)
            due[int(asked.time_s // DAY_S)] = latest_s
        return due

    def _take(self, number: int, event: Event, next_day: int) -> None:
        stamp_s, symbol, values, source = event
        if stamp_s > self._newest_s:
            self._newest_s = stamp_s
            if self._next < len(self._asked):
                self._place(number, stamp_s)
        history = self._histories.get(symbol)
        if history is None:
            history = self._histories[symbol] = _History(self._full_spans(symbol))
        if len(values) == TICK_COLUMNS - 2:
            history.add(number, stamp_s, values, source)
        else:
            history.add_candle(number, stamp_s, values)
        day = int(stamp_s // DAY_S)
        if day > self._day:
            self._day = day
            self._forget(min(day, next_day))

    def _place(self, number: int, stamp_s: float) -> None:
        """Signals from before `stamp_s` come before the event of this number."""
        while self._next < len(self._asked):
            asked, symbol = self._asked[self._next], self._symbols[self._next]
            seen_until_s = floor(asked.time_s) if self._rules.whole_seconds else asked.time_s
            if seen_until_s > stamp_s:
                return
            self._next += 1
            if symbol not in self._histories:
                self._too_early[symbol] += 1
            else:
                self._placed[int(asked.time_s // DAY_S)][symbol].append(Placed(number, asked))

    def _full_spans(self, symbol: str) -> list[Span]:
        return merged([*self._own_spans.get(symbol, ()), *self._common_spans])

    def _forget(self, day: int) -> None:
        for history in self._histories.values():
            history.forget(history.begin_of(day))

    def _of_day(self, day: int, until_s: float) -> Iterator[Piece]:
        for history in self._histories.values():
            history.close()
        for symbol, signals in sorted(self._placed.pop(day, {}).items()):
            yield self._piece(symbol, day, signals, until_s)

    def _piece(self, symbol: str, day: int, signals: list[Placed], until_s: float) -> Piece:
        asked = [placed.asked for placed in signals]
        own = (self._histories[symbol].begin_of(day), until_s)
        common = self._ticks_spans(asked)
        full = merged([*map(self._own_span, asked), *common])
        market = [self._histories[symbol].between(symbol, [own], full)]
        seen = merged((_others_span(one.time_s) for one in asked), LEAD_S)
        for name, history in sorted(self._histories.items()):
            if name != symbol:
                ticks = history.between(name, seen, merged(common))
                if ticks.ticks or history.candles:
                    market.append(ticks)
        return Piece(symbol, day, signals, market, until_s)

    def _own_span(self, asked: Asked) -> Span:
        return asked.time_s - FULL_BEFORE_S, asked.time_s + self._rules.after_s

    def _ticks_spans(self, asked: Iterable[Asked]) -> list[Span]:
        """Where all symbols' ticks are counted."""
        if not self._rules.crowded:
            return []
        return [(one.time_s - OTHERS_TICKS_S, one.time_s) for one in asked]


def _others_span(time_s: float) -> Span:
    minute_s = time_s // MINUTE_S * MINUTE_S
    return minute_s - OTHERS_BARS_S - LEAD_S, time_s


assert LEAD_S > GAP_S + 2 * MINUTE_S
