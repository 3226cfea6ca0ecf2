"""The open paper positions of one symbol, and what a tick does to them.

Prices are signed here, price times direction, so that a sell is a buy of the negated
market: it enters at the higher side of the quote and leaves at the lower. Levels and
deadlines are kept sorted: a tick costs the same whether one position is open or thousands,
but for those that it ends.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Literal, NamedTuple, Protocol

from msgspec.structs import replace

from service.journal.records import PaperRow
from service.paper.extremes import MaximumSince

End = Literal["target", "stop", "deadline", "gap", "missed", "reset"]
"""Why a position ended: the last three are no outcome. `gap`: the path was not seen for too
long; `missed`: the first quote lay wholly beyond a level, no order could have been placed;
`reset`: the symbol began anew, from another source or on another clock."""


class Held(NamedTuple):
    """An entered position in signed prices; `best` and `worst` are from before a restart."""

    number: int
    position: PaperRow
    fill: float
    opened_s: float
    stop: float
    target: float
    best: float
    worst: float


Levels = list[tuple[float, int]]


class Side:
    """All entered positions of one direction; `leave` is the signed price one leaves at now."""

    __slots__ = ("deadlines", "direction", "held", "highs", "leave", "lows", "stops", "targets")

    def __init__(self, direction: int) -> None:
        self.direction = direction
        self.leave = 0.0
        self.held: dict[int, Held] = {}
        self.stops: Levels = []
        self.targets: Levels = []
        self.deadlines: Levels = []
        self.highs = MaximumSince()
        self.lows = MaximumSince()

    def see(self, leave: float) -> None:
        """The price to leave at has become `leave`."""
        self.leave = leave
        self.highs.add(leave)
        self.lows.add(-leave)

    def hold(self, held: Held) -> None:
        """Add a position; the current price is the first that it sees."""
        number = held.number
        self.held[number] = held
        insort(self.stops, (held.stop, number))
        insort(self.targets, (held.target, number))
        insort(self.deadlines, (held.position.deadline, number))
        self.highs.begin(number, self.leave)
        self.lows.begin(number, -self.leave)

    def release(self, number: int) -> None:
        """Take a position out."""
        held = self.held.pop(number)
        _remove(self.stops, (held.stop, number))
        _remove(self.targets, (held.target, number))
        _remove(self.deadlines, (held.position.deadline, number))
        for extremes in (self.highs, self.lows):
            # Numbers rise and the dict keeps their order.
            if not self.held or len(extremes) > 2 * len(self.held) + 16:
                extremes.keep(self.held)

    def row(self, held: Held, last_s: float, last: float) -> PaperRow:
        """The position with how far it has come, at the price `last`."""
        sign, number = self.direction, held.number
        best = max(held.best, self.highs.of(number))
        worst = min(held.worst, -self.lows.of(number))
        return replace(
            held.position,
            opened_at=held.opened_s,
            opened_price=sign * held.fill,
            best_price=sign * best,
            worst_price=sign * worst,
            last_time=last_s,
            last_price=sign * last,
        )


def _remove(levels: Levels, item: tuple[float, int]) -> None:
    del levels[bisect_left(levels, item)]


class Listener(Protocol):
    """Who is told what became of a position."""

    def entered(self, number: int) -> None:
        """It was filled."""

    def ended_at(
        self, number: int, position: PaperRow, end: End, at_s: float, price: float
    ) -> None:
        """It left at `price`, its row as of that moment. Without a fill: no price."""


class Book:
    """The positions of one symbol. `last_s` is the event time of the last tick."""

    __slots__ = ("_listener", "_max_gap_s", "buys", "last_s", "sells", "waiting")

    def __init__(self, listener: Listener, max_gap_s: float) -> None:
        self._listener = listener
        self._max_gap_s = max_gap_s
        self.buys = Side(1)
        self.sells = Side(-1)
        self.waiting: dict[int, PaperRow] = {}
        self.last_s = float("-inf")

    def __len__(self) -> int:
        return len(self.waiting) + len(self.buys.held) + len(self.sells.held)

    def numbers(self) -> list[int]:
        """All positions, those that wait first."""
        return [*self.waiting, *self.buys.held, *self.sells.held]

    def row(self, number: int) -> PaperRow:
        """A position as it is now. Raises KeyError."""
        if number in self.waiting:
            return self.waiting[number]
        side = self.buys if number in self.buys.held else self.sells
        return side.row(side.held[number], self.last_s, side.leave)

    def on_tick(self, event_s: float, bid: float, ask: float) -> None:
        """A quote: time first, then entries, then stops, then targets.

        So a stop and a target that one quote touches count as the stop, and who enters on a
        quote whose other side lies beyond the stop has lost.
        """
        self._pass_time(event_s)
        self.last_s = event_s
        self.buys.see(bid)
        self.sells.see(-ask)
        if self.waiting:
            self._enter(event_s, bid, ask)
        for side in (self.buys, self.sells):
            stops, targets, leave = side.stops, side.targets, side.leave
            while stops and stops[-1][0] >= leave:
                self._end(side, stops[-1][1], "stop", event_s, leave)
            while targets and targets[0][0] <= leave:
                level, number = targets[0]
                self._end(side, number, "target", event_s, level)

    def look_away(self, now_s: float) -> None:
        """No tick came up to `now_s`: end what was not seen for too long."""
        if now_s - self.last_s > self._max_gap_s:
            for side in (self.buys, self.sells):
                self._lose_sight(side, now_s)
        for number, row in list(self.waiting.items()):
            if now_s - row.last_time > self._max_gap_s:
                del self.waiting[number]
                self._end_unseen(number, row, now_s)

    def _pass_time(self, event_s: float) -> None:
        in_sight = 0.0 <= event_s - self.last_s <= self._max_gap_s
        for side in (self.buys, self.sells):
            if not in_sight:
                self._lose_sight(side, event_s)
            # The quote of before stood until the deadline: one leaves at that.
            while side.deadlines and side.deadlines[0][0] <= event_s:
                deadline_s, number = side.deadlines[0]
                self._end(side, number, "deadline", deadline_s, side.leave)

    def _lose_sight(self, side: Side, now_s: float) -> None:
        for number in list(side.held):
            row = side.row(side.held[number], self.last_s, side.leave)
            side.release(number)
            self._end_unseen(number, row, now_s)

    def _end_unseen(self, number: int, row: PaperRow, now_s: float) -> None:
        """Not seen from its last tick to `now_s`; its deadline may have come soon enough."""
        seen_until_s = min(now_s, row.last_time + self._max_gap_s)
        if row.last_price is not None and row.deadline <= seen_until_s:
            self._listener.ended_at(number, row, "deadline", row.deadline, row.last_price)
        else:
            self._listener.ended_at(number, row, "gap", row.last_time, 0.0)

    def _enter(self, event_s: float, bid: float, ask: float) -> None:
        waiting, self.waiting = self.waiting, {}
        for number, row in waiting.items():
            if abs(event_s - row.last_time) > self._max_gap_s or row.deadline <= event_s:
                self._end_unseen(number, row, event_s)
                continue
            sign = row.direction
            side, fill = (self.buys, ask) if sign > 0 else (self.sells, -bid)
            stop, target = sign * row.stop_loss, sign * row.take_profit
            if row.opened_price is None:
                if side.leave >= target or fill <= stop:
                    self._listener.ended_at(number, row, "missed", event_s, 0.0)
                    continue
                # Stamps of whole seconds lie up to one before the scoring.
                opened_s = max(event_s, row.event_time)
                best = worst = side.leave
                self._listener.entered(number)
            else:
                assert row.opened_at is not None
                assert row.best_price is not None
                assert row.worst_price is not None
                fill, opened_s = sign * row.opened_price, row.opened_at
                best, worst = sign * row.best_price, sign * row.worst_price
            side.hold(Held(number, row, fill, opened_s, stop, target, best, worst))

    def _end(self, side: Side, number: int, end: End, at_s: float, leave: float) -> None:
        held = side.held[number]
        row = side.row(held, self.last_s, leave)
        side.release(number)
        at_s = max(at_s, held.opened_s)
        self._listener.ended_at(number, row, end, at_s, side.direction * leave)
