"""What the features need of the closed seconds, worked out at most once a second.

The rule: sums over closed seconds only. The second in progress is added by the feature, so a
tick costs none of this.
"""

import msgspec

from service.features.constants import constants
from service.features.windows import EventBuckets

_VOLUME = constants("volume_delta")
_WHALE = constants("whale_activity")
WINDOW_S: int = _VOLUME["window_s"]
REFERENCE_S: int = _VOLUME["reference_s"]
_REFERENCE_DEALS: int = _WHALE["reference_deals"]
# Both look at the same windows.
assert (_WHALE["window_s"], _WHALE["reference_s"]) == (WINDOW_S, REFERENCE_S)

DEALS = "deals"
TICKS = "ticks"
NONE = "none"


class FlowFacts(msgspec.Struct, frozen=True, gc=False):
    """Volume before the second in progress.

    `recent` and `reference` are the volume (in the unit of deals, or the number of ticks where
    `source` is ticks) of the window's closed seconds and of the 20 minutes before the window;
    `largest` is the window's largest closed deal, `reference_deals` and `reference_sum` number
    and sum of the deals it is compared with.
    """

    source: str
    recent: float
    reference: float
    largest: float
    reference_deals: int
    reference_sum: float


def flow_facts(buckets: EventBuckets, source: str, now_s: int) -> FlowFacts:
    """The facts for the windows that end with the second `now_s`."""
    first_s = now_s - WINDOW_S + 1
    oldest, first, end = (
        buckets.row(first_s - REFERENCE_S),
        buckets.row(first_s),
        buckets.row(now_s + 1),
    )
    if source != DEALS:
        recent, reference = buckets.count(first, end), buckets.count(oldest, first)
        return FlowFacts(source, recent, reference, 0.0, 0, 0.0)
    deals, deal_sum = buckets.newest_sizes(oldest, first, _REFERENCE_DEALS)
    return FlowFacts(
        source,
        buckets.size_sum(first, end),
        buckets.size_sum(oldest, first),
        buckets.size_max(first, end),
        deals,
        deal_sum,
    )
