"""`correlation_check`: how little a symbol moves with the other live ones.

The rule: closed bars only, so a value holds for a whole minute, and the order in which the
others are given changes nothing. A value depends on what `compared` gives and on nothing else.
"""

from operator import attrgetter

import numpy as np

from service.arrays import Bools, Floats
from service.features.bars import MINUTE_S
from service.features.constants import constants
from service.features.state import MinuteReturns, SymbolState

_CORRELATION = constants("correlation_check")
_MIN_COMMON: int = _CORRELATION["min_common"]
_MAX_OTHERS: int = _CORRELATION["max_others"]
_ACTIVITY_S: int = _CORRELATION["activity_s"]

# A log return is known to about 1e-16. Returns that differ by no more than a few hundred of
# those are the same number and have no variance.
_NO_DEVIATION: float = _CORRELATION["least_deviation"]


def compared(target: SymbolState, ordered: list[SymbolState], minute: int) -> list[MinuteReturns]:
    """The target's returns over the 60 minutes before `minute`, then those it is compared with.

    That is each other symbol with at least 20 minutes in common; of these the 32 with the most
    ticks in the 20 minutes before `minute` (ties by name). `ordered` are the live symbols
    `by_activity`, once for many targets; the target itself is left out.
    """
    own = target.minute_returns(minute)
    series = [own]
    if own.there.bit_count() < _MIN_COMMON:
        return series
    for state in ordered:
        if state.symbol == target.symbol:
            continue
        other = state.minute_returns(minute)
        if (own.there & other.there).bit_count() >= _MIN_COMMON:
            series.append(other)
            if len(series) > _MAX_OTHERS:
                break
    return series


def independence(series: list[MinuteReturns]) -> float | None:
    """100 * (1 - mean abs rho) of the first of the `compared` with each of the others.

    rho is Pearson's, over the minutes that both symbols have a return in. A pair without
    variance has no rho. None without any.
    """
    own, *others = series
    if not others:
        return None
    # By name, so that the sum is the same whatever order the symbols came in.
    rows = np.array([other.values for other in sorted(others, key=attrgetter("symbol"))])
    rho = _correlations(own.values, rows, ~np.isnan(own.values) & ~np.isnan(rows))
    rho = rho[~np.isnan(rho)]
    return 100.0 * (1.0 - float(np.mean(np.abs(rho)))) if rho.size else None


def by_activity(states: list[SymbolState], minute: int) -> list[SymbolState]:
    """Most ticks in the 20 minutes before `minute` first; in any order where all take part.

    Most symbols' returns are then never worked out: at a minute's end that would cost more than
    everything else together.
    """
    if len(states) <= _MAX_OTHERS:
        return states
    end = minute * MINUTE_S
    return sorted(
        states, key=lambda state: (-state.ticks_between(end - _ACTIVITY_S, end - 1), state.symbol)
    )


def _correlations(own: Floats, others: Floats, common: Bools) -> Floats:
    """Pearson's rho of one series (n,) with several (k, n) over common minutes; NaN for none."""
    count = common.sum(axis=1, keepdims=True)
    x = np.where(common, own, 0.0)
    y = np.where(common, others, 0.0)
    x = np.where(common, x - x.sum(axis=1, keepdims=True) / count, 0.0)
    y = np.where(common, y - y.sum(axis=1, keepdims=True) / count, 0.0)
    flat = np.minimum(np.abs(x).max(axis=1), np.abs(y).max(axis=1)) <= _NO_DEVIATION
    norm = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    rho: Floats = np.clip((x * y).sum(axis=1) / np.where(flat, np.nan, norm), -1.0, 1.0)
    return rho
