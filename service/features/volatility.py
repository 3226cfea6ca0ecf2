"""`atr_volatility`: how the last five minutes' ranges compare with the last twenty."""

from service.features.constants import clip_100, constants
from service.features.view import View

_GAIN: float = constants("atr_volatility")["gain"]


def atr_volatility(view: View) -> float | None:
    """50 + 25 * (a/b - 1), a and b the mean true ranges of the last 5 and 20 M1 bars.

    Needs 21 closed bars in the run and b > 0. The formula is the original script's.
    """
    short, long = view.bars.short_range, view.bars.long_range
    if short is None or not long:
        return None
    return clip_100(50.0 + _GAIN * (short / long - 1.0))
