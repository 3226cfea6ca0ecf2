"""Of how many signals R is known, and whether that depends on how they ended. Pure.

The rule: where R is missing of clearly more of the won than of the lost, or of fewer, the rest is
another mixture. Then its mean is not shown, and nothing is concluded from it, nor by the gate.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from training.dataset.samples import Samples
from training.measure import net_r
from training.wording import percent

CLEARLY = 3.0
"""Standard errors: of R that is missing by lot, one look in some 400 finds as much, and goes by
wins alone for nothing."""
NOTHING = 0.02
"""Of the shares known: a smaller difference moves a mean R by some 0.01."""


class Known(NamedTuple):
    """R is known of `n` out of `of` signals; `won` and `lost` are the shares of these (0..1).

    `selected`: the two differ clearly. `which` signals, in words, where not all.
    """

    n: int
    of: int
    won: float
    lost: float
    selected: bool
    which: str = ""

    @property
    def said(self) -> str:
        """What is to be said beside any mean R; nothing where it is known of all or none."""
        if self.n in (0, self.of):
            return ""
        known = f"known of {self.n:,} of {self.of:,} signals"
        if not self.selected:
            return f"R is {known}: if of which depends on how they went, nothing said of R holds"
        return (
            f"R is not shown, since {self.which}it is {known}, {percent(self.won)} of the won and "
            f"{percent(self.lost)} of the lost: a mean of these would be that of another mixture"
        )


def known_r(samples: Samples, which: str = "") -> Known:
    """Of how many it is known; overlapping signals count by their weight in the shares."""
    known = np.isfinite(net_r(samples))
    n, of = int(np.count_nonzero(known)), len(samples)
    if n in (0, of) or not samples.both_classes:
        return Known(n, of, np.nan, np.nan, False, which)
    share = float(np.average(known, weights=samples.weight))
    won, lost = (
        float(np.average(known[at], weights=samples.weight[at]))
        for at in (samples.win, ~samples.win)
    )
    many = [float(samples.weight[at].sum()) for at in (samples.win, ~samples.win)]
    error = np.sqrt(share * (1.0 - share) * sum(1.0 / m for m in many))
    selected = abs(won - lost) > max(NOTHING, CLEARLY * error)
    return Known(n, of, won, lost, bool(selected), which)


def without_selected_r(samples: Samples) -> Samples:
    """The same signals, R unknown of all where `known_r` finds it selected."""
    return without_r(samples) if known_r(samples).selected else samples


def without_r(samples: Samples) -> Samples:
    """The same signals, R unknown of all."""
    nowhere = np.zeros(len(samples), dtype=np.bool_)
    return replace(samples, realised_r=np.full(len(samples), np.nan), at_level=nowhere)
