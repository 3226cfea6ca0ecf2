"""Closed bars to and from the journal: batched, in housekeeping, never on a tick's path.

The rule: a minute's end with hundreds of symbols is spread over several turns, and what the
journal has of a symbol is known only once it has taken it or given it back. A symbol that began
anew leaves no bar there from before: its times were other ones, or a fault was in them. All other
bars stay beside what is written, but for those of the future: they go when their symbol has made
another bar, and not before, since it may be this clock that is behind.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import msgspec
import structlog

from service.engine import Engine
from service.features.bars import MINUTE_S, MINUTES_PER_DAY, Bar, Bars, DayRange
from service.features.state import SymbolSnapshot, SymbolState
from service.feed.clock_offset import FUTURE_S
from service.feed.symbol_feed import NEVER
from service.journal.read_back import load_bars, load_bars_of
from service.journal.records import BarRow, SymbolRow
from service.journal.writer import Journal

log = structlog.get_logger("scorer")

SYMBOLS_PER_TURN = 32
BARS_PER_TURN = 1000
"""With so many no other symbol is begun: after a failure all have all their bars to write."""


class Facts(msgspec.Struct, frozen=True):
    """What a symbol's row keeps beside its bars, as JSON."""

    days: tuple[DayRange, ...]
    first_tick_s: float | None
    last_volume_s: float | None


class Saved(NamedTuple):
    """What the journal has of a symbol: the bars' revision and minutes when they were saved.

    `ahead` is the minute from which it may have others, which lay in the future or were not looked
    for yet: the symbol has made no bar since. None: there are none.
    """

    bars: Bars
    revision: int
    minutes: frozenset[int]
    newest: int
    ahead: int | None


class BarKeeping:
    """Writes each symbol's new bars as soon as a minute has ended, some symbols a turn."""

    def __init__(self, engine: Engine, journal: Journal) -> None:
        self._engine = engine
        self._journal = journal
        self._unsaved: deque[str] = deque()
        self._rolled_s = self._again_s = NEVER
        self._held: list[str] | None = None
        self._saved: dict[str, Saved] = {}
        self._damaged = False

    def restore(self, utc_s: float) -> None:
        """Give the engine back what was kept; a symbol that cannot be is left out and logged.

        Bars of the future, from before a wrong clock was set right, are no bars. A symbol that
        ticked before the journal could be read goes on with what it has made.
        """
        self._held = None
        bars, symbols = load_bars(self._journal)
        if self._journal.fault is not None:
            return  # what was not read is not to be dropped
        intake = self._engine.intake
        # Where a name was mapped since, no tick will come under it.
        held = [row for row in symbols if intake.names.holds(row.symbol)]
        new = [row for row in held if row.symbol not in intake.feeds]
        room = max(self._engine.config.limits.symbols - len(intake.feeds), 0)
        ahead = self._ahead()
        again = [row for row in held if row.symbol in ahead]
        damaged = self._give_back(bars, [*new[:room], *again], utc_s)
        self._held = [row.symbol for row in held if row.symbol not in damaged]

    def drop_others(self, _utc_s: float) -> None:
        """Drop all rows but those of symbols that were sound: also beyond the limit they stay."""
        if self._held is not None:
            self._journal.drop_rows(self._held)

    def look_ahead(self, utc_s: float) -> None:
        """Give back what lies in the future no more, of symbols that have made nothing new."""
        ahead = self._ahead()
        if ahead:
            self._give_back(*load_bars_of(self._journal, ahead), utc_s)

    def leave(self) -> None:
        """This file's rows of bars cannot be read: writing beside them would fail each minute, and
        keep answers from the journal meanwhile."""
        self._damaged = True

    def turn(self, utc_s: float) -> None:
        """Write a bounded part of what waits since bars were closed.

        That is when the feed's minute has ended, by stamps that come later than this machine's
        minute does. Where minutes pass faster than they are written, each round goes to its end.
        """
        rolled_s = self._engine.intake.rolled_s
        if not self._unsaved and rolled_s != self._rolled_s:
            self._rolled_s = rolled_s
            self._unsaved = deque(() if self._damaged else self._engine.intake.feeds)
        if self._unsaved:
            self._save_batch(utc_s)

    def save_all(self, utc_s: float) -> None:
        """Write everything, at the end."""
        self._unsaved = deque(() if self._damaged else self._engine.intake.feeds)
        while self._unsaved:
            self._save_batch(utc_s)

    def doubt(self) -> None:
        """The journal failed: what it took before may be lost, and is written again.

        What it gave back is not: it was read.
        """
        self._begin_again()
        for name, one in self._saved.items():
            if one.ahead is None:
                self._saved[name] = Saved(one.bars, -1, frozenset(), -1, ahead=None)

    def forget(self) -> None:
        """The journal is another file."""
        self._begin_again()
        self._saved.clear()
        self._damaged = False

    def _begin_again(self) -> None:
        """Let this minute's bars have another round, once: where it is the bars that cannot be
        written, each round faults anew and keeps answers from the journal."""
        rolled_s = self._engine.intake.rolled_s
        if self._again_s != rolled_s:
            self._again_s, self._rolled_s = rolled_s, NEVER

    def _give_back(
        self, bars: list[BarRow], symbols: list[SymbolRow], utc_s: float
    ) -> frozenset[str]:
        """Returns the symbols that could not be."""
        by_symbol: dict[str, list[BarRow]] = {}
        for bar in bars:
            by_symbol.setdefault(bar.symbol, []).append(bar)
        damaged = []
        for row in symbols:
            try:
                facts = msgspec.json.decode(row.facts, type=Facts)
                kept = by_symbol.get(row.symbol, [])
                # A live feed's clock may be that much ahead of ours.
                snapshot = _snapshot(row.symbol, kept, facts, utc_s + FUTURE_S)
                given, whole = self._saved.get(row.symbol), len(snapshot.bars) == len(kept)
                if given is not None and len(snapshot.bars) <= len(given.bars):
                    # All of it is there already, and short windows beside it.
                    if whole:
                        self._saved[row.symbol] = given._replace(ahead=None)
                    continue
                self._engine.restore(snapshot, utc_s)
            except (msgspec.MsgspecError, ValueError, TypeError) as error:
                log.warning("symbol not restored", symbol=row.symbol, error=str(error))
                damaged.append(row.symbol)
                continue
            state = self._engine.intake.feeds[row.symbol].state
            self._saved[row.symbol] = _mark(state, None if whole else _minute_of(utc_s + FUTURE_S))
        return frozenset(damaged)

    def _ahead(self) -> set[str]:
        """Symbols of which the journal has more, and that have made nothing new."""
        feeds = self._engine.intake.feeds
        ahead = {name for name, one in self._saved.items() if one.ahead is not None}
        return {name for name in ahead & feeds.keys() if self._has_no_news(name)}

    def _has_no_news(self, name: str) -> bool:
        """Whether the bars are those that the journal has, or that it gave back."""
        bars, saved = self._engine.intake.feeds[name].state.bars, self._saved.get(name)
        return saved is not None and saved.bars is bars and saved.revision == bars.revision

    def _save_batch(self, utc_s: float) -> None:
        bars: list[BarRow] = []
        symbols: list[SymbolRow] = []
        gone: list[tuple[str, float]] = []
        saved: dict[str, Saved] = {}
        for _ in range(min(SYMBOLS_PER_TURN, len(self._unsaved))):
            if len(bars) >= BARS_PER_TURN:
                break
            name = self._unsaved.popleft()
            feed = self._engine.intake.feeds.get(name)
            if feed is None or self._has_no_news(name):
                continue
            before, state = self._saved.get(name), feed.state
            ahead = _minute_of(utc_s + FUTURE_S) if before is None else before.ahead
            if before is not None and before.bars is not state.bars:
                before, ahead = None, None
                gone.append((name, NEVER))
            elif ahead is not None and len(state.bars):
                gone.append((name, ahead))
                ahead = None
            bars += _new_bars(state, before)
            symbols.append(_symbol_row(state))
            saved[name] = _mark(state, ahead)
        if symbols and self._journal.save_bars(bars, symbols, gone):
            self._saved.update(saved)
        if not self._unsaved:
            self._forget_evicted()

    def _forget_evicted(self) -> None:
        feeds = self._engine.intake.feeds
        if self._saved.keys() - feeds.keys():
            self._saved = {k: v for k, v in self._saved.items() if k in feeds}
            self._journal.drop_symbols(feeds)


def _mark(state: SymbolState, ahead: int | None) -> Saved:
    bars = state.bars
    newest = bars.minutes[-1] if len(bars) else 0
    return Saved(bars, bars.revision, frozenset(bars.minutes), newest, ahead)


def _new_bars(state: SymbolState, before: Saved | None) -> list[BarRow]:
    """Bars that the journal lacks, and the one that was newest then: a tick may have changed it."""
    symbol, bars = state.symbol, state.bars
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
    minute = _minute_of(until_s)
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


def _minute_of(at_s: float) -> int:
    return int(at_s) // MINUTE_S


def _past(at_s: float | None, until_s: float) -> float | None:
    return None if at_s is None or at_s > until_s else at_s
