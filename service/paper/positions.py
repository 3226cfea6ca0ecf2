"""Paper positions: every scored signal with levels, followed on the own feed to its end.

One enters on the first tick after scoring and leaves at target, stop or holding time, always
on the executable side of the quote (a buy enters at the ask and leaves at the bid), whichever
tick order touches first; a quote that touches stop and target counts as the stop. A stop
fills at the quote, also behind a gap, a target at its level and never better; at the holding
time one leaves at the quote that stands then.

A result is in R, multiples of |entry - stop| as sent. Void, no outcome: a path not seen for
too long, a first quote that lies wholly beyond a level, a symbol that began anew.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable

from service.config.settings import PaperSection
from service.journal.records import PaperRow, ScoreRow
from service.paper.book import Book, End
from service.paper.result import Ended, judge

KNOWN_SIGNALS = 16_384
"""Signal ids remembered, so that only a signal's first score is followed."""


class Paper:
    """All open positions. `counts` says what became of signals, `len` how many are open.

    `ended` and `changed` wait for the journal: take what was written off with `written`.
    """

    def __init__(self, rules: PaperSection | None = None) -> None:
        self.rules = rules or PaperSection()
        self.books: dict[str, Book] = {}
        self.counts: Counter[str] = Counter()
        self.ended: OrderedDict[int, Ended] = OrderedDict()
        self.changed: dict[int, None] = {}
        self._symbols: dict[int, str] = {}
        self._signals: OrderedDict[str, None] = OrderedDict()
        self._number = 0
        self._swept_s = 0

    def __len__(self) -> int:
        return len(self._symbols)

    def numbers(self) -> list[int]:
        """The open positions, oldest first."""
        return list(self._symbols)

    def row(self, number: int) -> PaperRow | None:
        """An open position as it is now; None where it has ended."""
        symbol = self._symbols.get(number)
        return None if symbol is None else self.books[symbol].row(number)

    def follow(self, row: ScoreRow, symbol: str) -> None:
        """Follow a score that was just given, where it is its signal's first and has levels.

        `symbol` as the feed has it.
        """
        if not self.rules.enabled or (row.signal_id is not None and self._knew(row.signal_id)):
            return
        position = position_of(row, symbol, self.rules.max_holding_s)
        if position is None:
            return
        if len(self._symbols) >= self.rules.max_positions:
            self.counts["refused_limit"] += 1
            return
        self.counts["followed"] += 1
        self.changed[self._open(position)] = None

    def resume(self, positions: Iterable[PaperRow], scored: Iterable[str]) -> None:
        """Follow positions from before a restart; `scored` are signals that had their first.

        The next tick of a position may not come later than any other tick might.
        """
        for signal_id in scored:
            self._knew(signal_id)
        for position in positions:
            if len(self._symbols) >= self.rules.max_positions:
                self.counts["refused_limit"] += 1
            else:
                self.counts["resumed"] += 1
                self.changed[self._open(position)] = None

    def sweep(self, now_s: float) -> None:
        """Once a second of event time: end what was not seen for too long, drop empty books."""
        if int(now_s) == self._swept_s:
            return
        self._swept_s = int(now_s)
        for symbol, book in list(self.books.items()):
            book.look_away(now_s)
            if not book:
                del self.books[symbol]

    def void(self, symbol: str) -> None:
        """The symbol began anew: what comes is no continuation of what its positions saw."""
        book = self.books.pop(symbol, None)
        if book is None:
            return
        for number in book.numbers():
            position = book.row(number)
            at_s = max(position.last_time, book.last_s)
            self.ended_at(number, position, "reset", at_s, 0.0)

    def written(self, numbers: Iterable[int], changed: Iterable[int]) -> None:
        """These ends and these changed positions are in the journal."""
        for number in numbers:
            self.ended.pop(number, None)
        for number in changed:
            self.changed.pop(number, None)

    def entered(self, number: int) -> None:
        """A position was filled."""
        self.changed[number] = None

    def ended_at(
        self, number: int, position: PaperRow, end: End, at_s: float, price: float
    ) -> None:
        """A position left at `price`, its row as of that moment. Without a fill: no price."""
        del self._symbols[number]
        self.changed.pop(number, None)
        ended = judge(number, position, end, at_s, price)
        self.counts[f"void_{end}" if ended.word == "VOID" else ended.word.lower()] += 1
        self.ended[number] = ended
        if len(self.ended) > 4 * self.rules.max_positions:
            # A journal that fails for hours: bounded, and counted.
            self.ended.popitem(last=False)
            self.counts["unwritten"] += 1

    def _open(self, position: PaperRow) -> int:
        self._number += 1
        book = self.books.get(position.symbol)
        if book is None:
            book = self.books[position.symbol] = Book(self, self.rules.max_gap_s)
        book.waiting[self._number] = position
        self._symbols[self._number] = position.symbol
        return self._number

    def _knew(self, signal_id: str) -> bool:
        """Whether the signal was known; it is from now on."""
        if signal_id in self._signals:
            return True
        self._signals[signal_id] = None
        if len(self._signals) > KNOWN_SIGNALS:
            self._signals.popitem(last=False)
        return False


def position_of(row: ScoreRow, symbol: str, max_holding_s: float) -> PaperRow | None:
    """The position that a score asks for; None where direction or a level is missing."""
    entry, stop, target = row.entry_price, row.stop_loss, row.take_profit
    if row.direction == 0 or entry is None or stop is None or target is None:
        return None
    return PaperRow(
        score_id=row.score_id,
        signal_id=row.signal_id,
        symbol=symbol,
        direction=row.direction,
        stop_loss=stop,
        take_profit=target,
        risk=abs(entry - stop),
        event_time=row.event_time,
        deadline=row.event_time + max_holding_s,
        last_time=row.event_time,
    )
