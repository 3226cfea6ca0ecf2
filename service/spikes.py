"""Quotes out of reach of the last price.

The rule: a price that has really gone there costs one tick, and a bad one changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

FACTOR = 1.5
"""So many times the last price, or less than it by as much, is out of reach. Far enough that a
market which only falls fast is not kept out."""


@dataclass(slots=True)
class Spikes:
    """The last quote of a symbol that was refused as one, and how many had been taken then."""

    taken: int = 0
    bid: float = 0.0
    ask: float = 0.0

    def refuses(self, taken: int, last: float, bid: float, ask: float) -> bool:
        """Whether a quote is out of reach of the `last` mid price, and no other one agrees with it.

        `taken` quotes came before it. The same quote again agrees with nothing: what a terminal
        sends once more may bear a later stamp.
        """
        mid = (bid + ask) / 2
        if _in_reach(mid, last):
            return False
        follows, other = taken == self.taken, (bid, ask) != (self.bid, self.ask)
        agrees = follows and other and _in_reach(mid, (self.bid + self.ask) / 2)
        self.taken, self.bid, self.ask = taken, bid, ask
        return not agrees


def _in_reach(mid: float, last: float) -> bool:
    return mid <= FACTOR * last and last <= FACTOR * mid
