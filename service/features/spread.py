"""`spread_quality`: how tight the quote is, by the relative spread of the last ticks."""

from bisect import bisect_right
from math import isnan, log

from service.features.constants import constants
from service.features.view import View

_SPREAD = constants("spread_quality")
_TICKS: int = _SPREAD["ticks"]
_LOG_BPS: tuple[float, ...] = tuple(log(bps) for bps in _SPREAD["bps"])
_VALUES: tuple[float, ...] = tuple(float(value) for value in _SPREAD["value"])
_TIGHTEST: float = _SPREAD["bps"][0]
_WIDEST: float = _SPREAD["bps"][-1]


def spread_quality(view: View) -> float | None:
    """Mean relative spread of the last 5 accepted ticks in bps, mapped log-linearly.

    The points are (1 -> 100, 5 -> 80, 10 -> 60, 20 -> 40, 50 -> 20, 200 -> 0). Missing in the
    middle of an observation gap: the quotes are from before it.
    """
    spreads = view.state.spreads
    if len(spreads) < _TICKS or view.observed_s is None:
        return None
    return quality_of(sum(spreads) / _TICKS * 10_000.0)


def quality_of(spread_bps: float) -> float | None:
    """The value of a spread in basis points; None for what is not a number."""
    if spread_bps <= _TIGHTEST:
        return _VALUES[0]
    if spread_bps >= _WIDEST:
        return _VALUES[-1]
    if isnan(spread_bps):
        return None
    at = log(spread_bps)
    right = bisect_right(_LOG_BPS, at, 1, len(_LOG_BPS) - 1)
    left = right - 1
    share = (at - _LOG_BPS[left]) / (_LOG_BPS[right] - _LOG_BPS[left])
    return _VALUES[left] + share * (_VALUES[right] - _VALUES[left])
