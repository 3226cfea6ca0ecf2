"""The vector: every feature of one symbol at one second, in the schema's order.

The rule: a function of (state, now_s, direction, base score, correlation) and of nothing else,
so that it can be kept until one of them changes. Every value is a finite number in its range;
what cannot be computed is the schema's neutral value, and its name stands in `missing`.
"""

from collections.abc import Callable

import msgspec

from protocol.schema import SCHEMA
from service.features.alignment import tf_alignment
from service.features.flow_facts import DEALS
from service.features.given import base_score, correlation_check
from service.features.levels import support_resistance
from service.features.momentum import momentum_strength
from service.features.sentiment import sentiment_score
from service.features.session import session_bonus
from service.features.spread import spread_quality
from service.features.state import SymbolState
from service.features.view import View
from service.features.volatility import atr_volatility
from service.features.volume import volume_delta
from service.features.whale import whale_activity

FUNCTIONS: tuple[Callable[[View], float | None], ...] = (
    atr_volatility,
    volume_delta,
    tf_alignment,
    sentiment_score,
    whale_activity,
    spread_quality,
    correlation_check,
    session_bonus,
    momentum_strength,
    support_resistance,
    base_score,
)
_TABLE = tuple(
    (spec.name, 0.0 if spec.neutral is None else float(spec.neutral), function)
    for spec, function in zip(SCHEMA.features, FUNCTIONS, strict=True)
)
_HISTORY = frozenset(spec.name for spec in SCHEMA.features if spec.needs_history)
_WHALE = "whale_activity"
_WARM_FEATURES = 6


class Vector(msgspec.Struct, frozen=True):
    """Eleven values in the schema's order, the names of those that are only neutral, and what
    counted as volume: "deals", "ticks" or "none"."""

    values: tuple[float, ...]
    missing: tuple[str, ...]
    volume_source: str


def compute_vector(
    state: SymbolState, now_s: int, direction: int, base_score: float, correlation: float | None
) -> Vector:
    """The vector of a signal: `direction` +1 BUY, -1 SELL, 0 none; `now_s` whole UTC seconds.

    *Now* does not go back from call to call; a `now_s` before the symbol's newest tick is taken
    to be that tick's second, and a tick that comes behind *now* still counts. `correlation`
    is what `service.features.correlation.among` gave, None where it gave nothing.
    """
    now_s = state.settle(now_s)
    seen = View(
        state,
        now_s,
        direction,
        base_score,
        correlation,
        state.observed_s(now_s),
        state.bar_facts(now_s),
        state.flow_facts(now_s),
    )
    values: list[float] = []
    missing: list[str] = []
    for name, neutral, function in _TABLE:
        value = function(seen)
        if value is None:
            missing.append(name)
            value = neutral
        values.append(value)
    return Vector(tuple(values), tuple(missing), seen.flow.source)


def is_warm(vector: Vector) -> bool:
    """Whether at least six of the eight features that need history are there.

    Whale activity does not count where there is no volume.
    """
    counted = _HISTORY if vector.volume_source == DEALS else _HISTORY - {_WHALE}
    return len(counted.difference(vector.missing)) >= _WARM_FEATURES
