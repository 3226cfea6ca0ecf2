"""`volume_delta`: the last minute's volume against the twenty minutes before it."""

from service.features.constants import clip_100, constants
from service.features.flow_facts import REFERENCE_S, TICKS, WINDOW_S
from service.features.view import View

_GAIN: float = constants("volume_delta")["gain"]
_NEEDED_S = WINDOW_S + REFERENCE_S


def volume_delta(view: View) -> float | None:
    """50 + 20 * (v/u - 1), v the volume of the last 60 s, u the mean per 60 s before them.

    Needs 21 minutes of observation without a gap and u > 0. Ticks stand in for volume where
    none has been shown for an hour. The formula is the original script's.
    """
    flow = view.flow
    if view.observed_s is None or view.observed_s < _NEEDED_S:
        return None
    buckets = view.state.buckets
    open_volume = buckets.open_count if flow.source == TICKS else buckets.open_sum
    usual = flow.reference * (WINDOW_S / REFERENCE_S)
    if not usual > 0.0:
        return None
    return clip_100(50.0 + _GAIN * ((flow.recent + open_volume) / usual - 1.0))
