"""`support_resistance`: how near the price is to a level where it turned before."""

from math import exp

from service.features.view import View


def support_resistance(view: View) -> float | None:
    """100 * exp(-x), x = distance from the mid to the nearest level in ATRs.

    Levels are high and low of the last 20 and of the last 240 M1 bars (as many as the run has)
    and of the previous UTC day that had bars. Needs 20 bars in the run and ATR > 0.
    """
    atr, levels, mid = view.bars.atr, view.bars.levels, view.state.mid
    if atr is None or levels is None or mid is None:
        return None
    return 100.0 * exp(-min([abs(mid - level) for level in levels]) / atr)
