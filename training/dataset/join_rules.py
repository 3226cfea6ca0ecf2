"""How scores and outcomes become samples, and samples windows: the numbers, as configured.

Without numpy: commands that read no samples start and stay smaller.
"""

from __future__ import annotations

import msgspec

from protocol.schema import SCHEMA
from training.dataset.labels import Prefer

MARKET_FEATURES = frozenset(f.name for f in SCHEMA.features if f.needs_history)


class JoinRules(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a sample. `max_missing` market features may be neutral fill.

    `max_holding_s` stands in for an unknown holding time, and is how long a cohort ripens
    before any of it trains, so that quick stop-outs do not arrive alone.
    """

    max_missing: int = 3
    max_holding_s: float = 7500.0
    prefer: Prefer = "paper"

    def lacks(self, missing: str) -> bool:
        """Whether of a score's features, those `missing` by name, too many are."""
        return len(MARKET_FEATURES.intersection(missing.split(","))) > self.max_missing


class Rhythm(msgspec.Struct, frozen=True, kw_only=True):
    """`step` samples a window, as often as is retrained. Seconds before a window's start.

    `embargo_s` as long as the bars that features are made of (240 of a minute). The last day's
    extremes reach further back, which tells nothing: what trains had ended before. `holding_s` for
    a cohort to ripen: younger rows do not train, though they ended early.
    """

    step: int = 100
    embargo_s: float = 14_400.0
    holding_s: float = 7_500.0
