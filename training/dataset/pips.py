"""What pips are worth in units of the risk, for pairs of currencies.

The rule: only where all count alike. A pip of gold is a tenth to some and a hundredth to others,
so of metals, coins and indices nothing is said.
"""

from __future__ import annotations

from service.scoring import MAX_TERM_R
from service.symbol_class import FOREX, bare, symbol_class

_PIP = dict.fromkeys(("AUD", "CAD", "CHF", "EUR", "GBP", "NZD", "USD"), 1e-4) | {"JPY": 1e-2}
"""By the quote currency."""


def in_r(pips: float, symbol: str, entry: float | None, stop: float | None) -> float | None:
    """`pips` over the distance from entry to stop; None where that or the pip is not known.

    None too beyond 1,000 R, which no trade makes.

    >>> round(in_r(-5.0, "USDJPY.r", 150.00, 150.10), 9)
    -0.5
    """
    pip = _PIP.get(bare(symbol)[3:6]) if symbol_class(symbol) == FOREX else None
    if pip is None or entry is None or stop is None or entry == stop:
        return None
    made = pips * pip / abs(entry - stop)
    return made if abs(made) <= MAX_TERM_R else None
