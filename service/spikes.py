"""Quotes out of reach of the last ones.

The rule: a price that has really gone there costs one tick, and a bad one changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.ea_feed import Tick

FACTOR = 1.5
"""A bid or ask of so many times the last one, or less than it by that, is out of reach. Far enough
that a market which only falls fast is not kept out."""

STANDS_S = 60.0
"""A quote that is sent again agrees with itself when its stamp has moved on by so much."""


@dataclass(slots=True)
class Spikes:
    """The last quote of a symbol that was refused as one, and how many had been taken then."""

    taken: int = 0
    bid: float = 0.0
    ask: float = 0.0
    stamp_s: float = 0.0

    def refuses(self, taken: int, bid: float, ask: float, tick: Tick) -> bool:
        """Whether a tick is out of reach of the last `bid` and `ask`, and none agrees with it.

        `taken` ticks came before it.
        """
        if _in_reach(tick.bid, bid) and _in_reach(tick.ask, ask):
            return False
        near = _in_reach(tick.bid, self.bid) and _in_reach(tick.ask, self.ask)
        if not near or taken != self.taken:
            self.taken, self.bid, self.ask, self.stamp_s = taken, tick.bid, tick.ask, tick.stamp_s
            return True
        again = tick.bid == self.bid and tick.ask == self.ask
        return again and tick.stamp_s - self.stamp_s < STANDS_S


def _in_reach(price: float, last: float) -> bool:
    return price <= FACTOR * last and last <= FACTOR * price
