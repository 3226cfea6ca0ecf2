"""`momentum_strength`: the fast mean of closes against the slow one, in ATRs."""

from service.features.bars import MINUTE_S
from service.features.constants import clip_100, constants
from service.features.view import View

_MOMENTUM = constants("momentum_strength")
_FAST_BARS: int = _MOMENTUM["short_bars"]
_SLOW_BARS: int = _MOMENTUM["long_bars"]
_GAIN: float = _MOMENTUM["gain"]


def momentum_strength(view: View) -> float | None:
    """50 + 25 * d * (SMA3 - SMA10) / ATR of M1 closes, d = +1 without a direction.

    The newest close is the forming bar's mid where a bar is forming. Needs 15 closed bars in
    the run and ATR > 0.
    """
    bars, state = view.bars, view.state
    if bars.atr is None:
        return None
    fast, slow = bars.fast_closes, bars.slow_closes
    if state.mid is not None and state.bars.forming_minute == view.now_s // MINUTE_S:
        newest = state.mid - bars.last_close
        fast = bars.fast_closes_but_one + newest
        slow = bars.slow_closes_but_one + newest
    strength = (fast / _FAST_BARS - slow / _SLOW_BARS) / bars.atr
    return clip_100(50.0 + _GAIN * (view.direction or 1) * strength)
