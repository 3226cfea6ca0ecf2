"""`whale_activity`: the last minute's largest deal against what deals were before it."""

from service.features.constants import clip_100, constants
from service.features.view import View

_WHALE = constants("whale_activity")
_MIN_DEALS: int = _WHALE["min_deals"]
_QUIET_RATIO: float = _WHALE["quiet_ratio"]
_GAIN: float = _WHALE["gain"]


def whale_activity(view: View) -> float | None:
    """10 * (r - 1), 0 for r <= 3; r = largest deal in the last 60 s / mean reference deal.

    The reference is the newest whole seconds before the window that hold 100 deals, at most 20
    minutes back. Missing below 20 reference deals, where ticks stand in for volume and in the
    middle of an observation gap.
    """
    flow = view.flow
    if view.observed_s is None or flow.reference_deals < _MIN_DEALS:
        return None
    largest = max(flow.largest, view.state.buckets.open_max)
    ratio = largest * flow.reference_deals / flow.reference_sum
    return 0.0 if ratio <= _QUIET_RATIO else clip_100(_GAIN * (ratio - 1.0))
