"""Quotes out of reach of the last ones.

The rule: a price that has really gone there costs one tick, and a bad one changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from protocol.ea_feed import Tick

Refusal = Literal["tick_spike", "tick_repeat"]

FACTOR = 1.5
"""A bid or ask of so many times the last one, or less than it by that, is out of reach. Far enough
that a market which only falls fast is not kept out."""

LOW = 1.0 / FACTOR

LASTS_S = 60.0
"""By their stamps. Of quotes that came for longer and were all refused the next is taken; where
nothing came for so long in between, they have to come for as long again."""


@dataclass(slots=True)
class Spikes:
    """The last quote of a symbol that was refused as one, and how many had been taken then.

    `stamp_s` is its stamp, `since_s` that of the first of those that came to it without a pause.
    """

    taken: int = -1
    bid: float = 0.0
    ask: float = 0.0
    stamp_s: float = 0.0
    since_s: float = 0.0

    def stands(self, stamp_s: float) -> None:
        """The quote that was taken last has come once more, with its stamp.

        It contradicts what was refused up to then, not what was refused later.
        """
        if stamp_s >= self.stamp_s:
            self.taken = -1

    def refusal(self, taken: int, bid: float, ask: float, tick: Tick) -> Refusal | None:
        """Why a tick is refused: out of reach of the last `bid` and `ask`, and none agrees with it.

        `taken` ticks came before it. The same quote once more does not agree: terminals send
        again what they have, under later stamps too.
        """
        if LOW * bid < tick.bid and tick.ask < FACTOR * bid:
            return None  # nearly all; whoever takes in many looks himself
        if _in_reach(tick.bid, bid) and _in_reach(tick.ask, ask):
            return None
        last = (self.taken, self.stamp_s, self.bid, self.ask)
        if (taken, tick.stamp_s, tick.bid, tick.ask) == last:
            return "tick_repeat"
        anew = taken != self.taken or tick.stamp_s < self.since_s
        again = (tick.bid, tick.ask) == (self.bid, self.ask)
        near = _in_reach(tick.bid, self.bid) and _in_reach(tick.ask, self.ask)
        if near and not again and not anew:
            return None
        if anew or tick.stamp_s - self.stamp_s >= LASTS_S:
            self.taken, self.since_s = taken, tick.stamp_s
        elif tick.stamp_s - self.since_s >= LASTS_S:
            return None
        self.stamp_s, self.bid, self.ask = tick.stamp_s, tick.bid, tick.ask
        return "tick_spike"


def _in_reach(price: float, last: float) -> bool:
    return price <= FACTOR * last and last <= FACTOR * price
