"""Closed bars to and from the journal: batched, in housekeeping, never on a tick's path.

The rule: a minute's end with hundreds of symbols is spread over several turns, and what the
journal has of a symbol is known only once it has taken it. A symbol that began anew leaves no
bar there from before: its times were other ones, or a fault was in them. Bars that lie in the
future stay there until the symbol has made another: it may be this clock that is behind.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from itertools import groupby
from typing import NamedTuple

import msgspec
import structlog

from service.bars import MINUTE_S, MINUTES_PER_DAY, Bar, Bars, DayRange
from service.clock_offset import FUTURE_S
from service.engine import Engine
from service.features.state import SymbolSnapshot, SymbolState
from service.journal import Journal
from service.records import BarRow, SymbolRow
from service.symbol_feed import SymbolFeed

log = structlog.get_logger("scorer")

SYMBOLS_PER_TURN = 32


class Facts(msgspec.Struct, frozen=True):
    """What a symbol's row keeps beside its bars, as JSON."""

    days: tuple[DayRange, ...]
    first_tick_s: float | None
    last_volume_s: float | None


class Saved(NamedTuple):
    """What the journal has of a symbol: the bars' revision and minutes when they were saved."""

    bars: Bars
    revision: int
    minutes: frozenset[int]
    newest: int


class BarKeeping:
    """Writes each symbol's new bars once a minute, some symbols a turn."""

    def __init__(self, engine: Engine, journal: Journal) -> None:
        self._engine = engine
        self._journal = journal
        self._unsaved: deque[str] = deque()
        self._minute = 0
        self._held: list[str] | None = None
        self._saved: dict[str, Saved] = {}
        self._ahead: dict[str, Saved] = {}
        """What was given back of symbols whose other bars lay in the future."""

    def restore(self, utc_s: float) -> None:
        """Give the engine back what was kept; a symbol that cannot be is left out and logged.

        Bars of the future, from before a wrong clock was set right, are no bars. Of symbols that
        ticked before the journal could be read the rows stay beside what they have made.
        """
        bars, symbols = self._journal.load_bars()
        intake = self._engine.intake
        # Where a name was mapped since, no tick will come under it.
        held = [row for row in symbols if intake.holds(row.symbol)]
        new = [row for row in held if row.symbol not in intake.feeds]
        room = max(self._engine.config.limits.symbols - len(intake.feeds), 0)
        self._keep_beside(bars, intake.feeds)
        self._give_back(bars, new[:room], utc_s)
        self._held = None if self._journal.fault else [row.symbol for row in held]

    def drop_others(self, _utc_s: float) -> None:
        """Drop the rows of all but the symbols that were read: also those beyond the limit stay."""
        if self._held is not None:
            self._journal.drop_rows(self._held)

    def clock_stepped(self, utc_s: float) -> None:
        """The clock was set: give back what lies in the future no more, where nothing is new."""
        feeds = self._engine.intake.feeds
        same = {name for name in self._ahead.keys() & feeds.keys() if self._has_no_news(name)}
        if same:
            bars, symbols = self._journal.load_bars()
            self._give_back(bars, [row for row in symbols if row.symbol in same], utc_s)

    def turn(self, utc_s: float) -> None:
        """Write a bounded part of what waits since the minute began."""
        minute = int(utc_s) // 60
        if minute != self._minute:
            self._minute = minute
            self._unsaved = deque(self._engine.intake.feeds)
        if self._unsaved:
            self._save_batch()

    def save_all(self) -> None:
        """Write everything, at the end."""
        self._unsaved = deque(self._engine.intake.feeds)
        while self._unsaved:
            self._save_batch()

    def forget(self) -> None:
        """Take nothing for saved: the file may be another one."""
        self._saved.clear()
        self._ahead.clear()

    def _give_back(self, bars: list[BarRow], symbols: list[SymbolRow], utc_s: float) -> None:
        by_symbol: dict[str, list[BarRow]] = {}
        for bar in bars:
            by_symbol.setdefault(bar.symbol, []).append(bar)
        for row in symbols:
            try:
                facts = msgspec.json.decode(row.facts, type=Facts)
                kept = by_symbol.get(row.symbol, [])
                # A live feed's clock may be that much ahead of ours.
                snapshot = _snapshot(row.symbol, kept, facts, utc_s + FUTURE_S)
                given = self._ahead.get(row.symbol)
                if given is not None and len(snapshot.bars) <= len(given.bars):
                    continue  # all of it is there already, and short windows beside it
                self._engine.restore(snapshot, utc_s)
            except (msgspec.MsgspecError, ValueError, TypeError) as error:
                log.warning("symbol not restored", symbol=row.symbol, error=str(error))
                continue
            self._ahead.pop(row.symbol, None)
            marks = self._saved if len(snapshot.bars) == len(kept) else self._ahead
            marks[row.symbol] = _mark(self._engine.intake.feeds[row.symbol])

    def _keep_beside(self, bars: list[BarRow], feeds: Mapping[str, SymbolFeed]) -> None:
        for name, rows in groupby(bars, key=lambda bar: bar.symbol):
            if name in feeds and name not in self._saved:
                minutes = frozenset(row.minute for row in rows)
                self._saved[name] = Saved(feeds[name].state.bars, -1, minutes, max(minutes))

    def _has_no_news(self, name: str) -> bool:
        """Whether the bars are those that the journal has, or that it gave back."""
        bars = self._engine.intake.feeds[name].state.bars
        marks = self._saved.get(name), self._ahead.get(name)
        return any(m and m.bars is bars and m.revision == bars.revision for m in marks)

    def _save_batch(self) -> None:
        bars: list[BarRow] = []
        symbols: list[SymbolRow] = []
        anew: list[str] = []
        saved: dict[str, Saved] = {}
        for _ in range(min(SYMBOLS_PER_TURN, len(self._unsaved))):
            name = self._unsaved.popleft()
            feed = self._engine.intake.feeds.get(name)
            if feed is None or self._has_no_news(name):
                continue
            before = self._saved.get(name)
            if before is None or before.bars is not feed.state.bars:
                before = None
                anew.append(name)
            bars += _new_bars(feed, before)
            symbols.append(_symbol_row(feed.state))
            saved[name] = _mark(feed)
        if symbols and self._journal.save_bars(bars, symbols, anew):
            self._saved.update(saved)
            self._ahead = {k: v for k, v in self._ahead.items() if k not in saved}
        if not self._unsaved:
            self._forget_evicted()

    def _forget_evicted(self) -> None:
        feeds = self._engine.intake.feeds
        if (self._saved.keys() | self._ahead.keys()) - feeds.keys():
            self._saved = {k: v for k, v in self._saved.items() if k in feeds}
            self._ahead = {k: v for k, v in self._ahead.items() if k in feeds}
            self._journal.drop_symbols(feeds)


def _mark(feed: SymbolFeed) -> Saved:
    bars = feed.state.bars
    newest = bars.minutes[-1] if len(bars) else 0
    return Saved(bars, bars.revision, frozenset(bars.minutes), newest)


def _new_bars(feed: SymbolFeed, before: Saved | None) -> list[BarRow]:
    """Bars that the journal lacks, and the one that was newest then: a tick may have changed it."""
    symbol, bars = feed.state.symbol, feed.state.bars
    if before is None:
        return [BarRow(symbol, *bar) for bar in bars]
    return [
        BarRow(symbol, *bar)
        for bar in bars
        if bar.minute == before.newest or bar.minute not in before.minutes
    ]


def _symbol_row(state: SymbolState) -> SymbolRow:
    facts = Facts(state.bars.days, state.first_tick_s, state.last_volume_s)
    return SymbolRow(state.symbol, msgspec.json.encode(facts))


def _snapshot(symbol: str, bars: list[BarRow], facts: Facts, until_s: float) -> SymbolSnapshot:
    minute = int(until_s) // MINUTE_S
    return SymbolSnapshot(
        symbol,
        tuple(
            Bar(bar.minute, bar.open, bar.high, bar.low, bar.close)
            for bar in bars
            if bar.minute < minute
        ),
        tuple(day for day in facts.days if day.day <= minute // MINUTES_PER_DAY),
        _past(facts.first_tick_s, until_s),
        _past(facts.last_volume_s, until_s),
    )


def _past(at_s: float | None, until_s: float) -> float | None:
    return None if at_s is None or at_s > until_s else at_s
