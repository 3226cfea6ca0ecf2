"""What a feature may look at: one symbol's settled state at one whole second, and one signal.

The rule: every feature is a function `View -> float | None`; None says that the value cannot be
computed, and the caller puts the schema's neutral value in its place.
"""

import msgspec

from service.features.bar_facts import BarFacts
from service.features.flow_facts import FlowFacts
from service.features.state import SymbolState


class View(msgspec.Struct, frozen=True, gc=False):
    """One symbol as one signal sees it.

    `now_s` is whole UTC seconds, `direction` +1 BUY, -1 SELL, 0 none, `observed_s` the seconds
    of observation without a gap (None in the middle of one). `correlation` is what
    `service.features.correlation` found.
    """

    state: SymbolState
    now_s: int
    direction: int
    base_score: float
    correlation: float | None
    observed_s: float | None
    bars: BarFacts
    flow: FlowFacts
