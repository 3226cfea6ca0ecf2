"""The requests and replies of the scoring socket, typed and bounded.

A field's type never changes within a version; a new field has a default. Requests are
validated where they are made (the client) and again where they arrive (the server), by
the same structs.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypedDict

import msgspec
from msgspec import Meta

from protocol.limits import MAX_CANDLES, MAX_SIGNALS, MAX_SYMBOL_CHARS, PROTOCOL_VERSION

if TYPE_CHECKING:  # every checker of types finds it there, and nobody has to install it
    from typing_extensions import Unpack as Unpack  # noqa: PLC0414  else it is not exported
elif sys.version_info >= (3, 11):
    from typing import Unpack
else:

    class Unpack:
        """Its stand-in, so that a signature can be read: the keywords' type itself."""

        def __class_getitem__(cls, kind):
            return kind


# msgspec compares with ge and le, which a NaN fails; the outer bounds keep infinities out.
Score100 = Annotated[float, Meta(ge=0, le=100)]
Price = Annotated[float, Meta(gt=0, le=1e12)]
Finite = Annotated[float, Meta(ge=-1e12, le=1e12)]
NonNegative = Annotated[float, Meta(ge=0, le=1e12)]
# A moment in seconds or in milliseconds, which from 2001 on are more than Finite allows.
Moment = Annotated[float, Meta(ge=-1e12, le=1e14)]
# The characters that the feed's parser takes: whatever ticks can be scored.
_NAME = r"[A-Za-z0-9._#+\-/&!^$@]+"
Symbol = Annotated[str, Meta(min_length=1, max_length=MAX_SYMBOL_CHARS, pattern=rf"^{_NAME}\Z")]
SymbolOrAll = Annotated[
    str, Meta(min_length=1, max_length=MAX_SYMBOL_CHARS, pattern=rf"^(\*|{_NAME})\Z")
]
Identifier = Annotated[str, Meta(min_length=1, max_length=128)]
Label = Annotated[str, Meta(max_length=64)]
Direction = Literal["BUY", "SELL"]
Mode = Literal["live", "shadow", "off"]

Status = Literal[
    "success",
    "shadow",
    "off",
    "no_model",
    "no_direction",
    "warming_up",
    "stale_feed",
    "unknown_symbol",
    "expired_model",
    "deadline",
    "error",
    "unreachable",
]


class Bar(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One candle of `timeframe_data`: oldest first, `time` or `timestamp` is its opening.

    Epoch seconds or `YYYY.MM.DD HH:MM:SS`, by the feed's clock, as the feed writes them.
    """

    open: Price
    high: Price
    low: Price
    close: Price
    time: Finite | Label | None = None
    timestamp: Finite | Label | None = None
    volume: NonNegative = 0.0


Candles = Annotated[list[Bar], Meta(max_length=MAX_CANDLES)]


class TimeframeData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Candles by timeframe; only M1 that have ended enter the features."""

    M1: Candles = []
    M5: Candles = []
    M15: Candles = []


class Signal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One signal to be scored. Prices in quote currency, `cost_r` and `reward_risk` in R."""

    symbol: Symbol
    base_score: Score100
    signal_id: Identifier | None = None
    direction: Direction | None = None
    pattern: Label | None = None
    signal_class: Label | None = None
    entry_price: Price | None = None
    stop_loss: Price | None = None
    take_profit: Price | None = None
    reward_risk: Annotated[float, Meta(gt=0, le=1000)] | None = None
    cost_r: Annotated[float, Meta(ge=0, le=1000)] | None = None
    generated_at: Moment | Label | None = None
    timeframe_data: TimeframeData | None = None
    sentiment: Score100 | None = None
    deadline_ms: Annotated[float, Meta(gt=0, le=600000)] | None = None
    explain: bool = False

    def __post_init__(self) -> None:
        for name in ("entry_price", "stop_loss", "take_profit"):
            level = getattr(self, name)
            if isinstance(level, (int, float)) and level == 0:
                raise LevelError(name, "is 0: leave it out if there is none")
        if self.entry_price is None:
            return
        if self.direction is None:
            self._check_sides()
            return
        entry, stop, target = self.entry_price, self.stop_loss, self.take_profit
        try:
            sign = 1 if self.direction == "BUY" else -1 if self.direction == "SELL" else 0
            beyond = stop is not None and bool(sign * (entry - stop) <= 0)
            behind = target is not None and bool(sign * (target - entry) <= 0)
        except (TypeError, ValueError, ArithmeticError):
            return  # no numbers, no floats, no word: what checks types says which
        if not sign:
            return  # as above
        if beyond:
            raise LevelError("stop_loss", f"of a {self.direction} lies beyond its entry_price")
        if behind:
            raise LevelError("take_profit", f"of a {self.direction} lies behind its entry_price")

    def _check_sides(self) -> None:
        """No trade of either direction has its stop and its target on one side."""
        entry, stop, target = self.entry_price, self.stop_loss, self.take_profit
        try:
            together = bool((target - entry) * (stop - entry) > 0)  # type: ignore[operator]
        except (TypeError, ValueError, ArithmeticError):
            return  # one is not given; or as above
        if together:
            raise LevelError("take_profit", "lies on the same side of entry_price as stop_loss")


class Keywords(TypedDict, total=False):
    """The fields of a `Signal` behind its first two, for who checks the types of a call."""

    signal_id: str | None
    direction: Direction | None
    pattern: str | None
    signal_class: str | None
    entry_price: float | None
    stop_loss: float | None
    take_profit: float | None
    reward_risk: float | None
    cost_r: float | None
    generated_at: float | str | None
    timeframe_data: TimeframeData | dict[str, Any] | None
    sentiment: float | None
    deadline_ms: float | None
    explain: bool


class Ending(TypedDict, total=False):
    """The fields of an `OutcomeRequest` behind its first, for who checks the types of a call."""

    signal_id: str | None
    score_id: str | None
    realised_r: float | None
    final_pips: float | None
    max_favorable_pips: float | None
    max_adverse_pips: float | None
    runtime_seconds: float | None
    closed_at: float | str | None
    symbol: str | None
    base_score: float | None
    scored_at: float | None


class LevelError(ValueError):
    """A level of 0, or a stop or target on the wrong side; its text begins with the field."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field} {message}")

    def __reduce__(self) -> tuple[type[ValueError], tuple[Any, ...]]:
        """For who sends it to another process, where what made it is not needed."""
        return ValueError, self.args


class ScoreRequest(Signal, frozen=True, kw_only=True, omit_defaults=True):
    """op `score`."""

    op: ClassVar[str] = "score"


class ScoreManyRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """op `score_many`: the signals stay undecoded, so that each has its own ok or error."""

    op: ClassVar[str] = "score_many"
    signals: Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=MAX_SIGNALS)]


WINS = frozenset({"WIN", "WIN_TP", "TRUE"})
LOSSES = frozenset({"LOSS", "LOSS_SL", "FALSE"})
"""What an outcome may be called, in capitals, where its word alone says how it ended."""


class OutcomeRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """op `outcome`: how a signal ended, in any of the truth log's words.

    Where no id names a score, `symbol` and `base_score` find it if exactly one score of both
    lies within the 120 s before `scored_at` (UTC seconds; without it, before the report).
    """

    op: ClassVar[str] = "outcome"
    outcome: bool | Annotated[str, Meta(min_length=1, max_length=64)]
    signal_id: Identifier | None = None
    score_id: Identifier | None = None
    realised_r: Finite | None = None
    final_pips: Finite | None = None
    max_favorable_pips: Finite | None = None
    max_adverse_pips: Finite | None = None
    runtime_seconds: NonNegative | None = None
    closed_at: Moment | Label | None = None
    symbol: Symbol | None = None
    base_score: Score100 | None = None
    scored_at: Finite | None = None

    def __post_init__(self) -> None:
        named = self.signal_id is not None or self.score_id is not None
        if not named and (self.symbol is None or self.base_score is None):
            raise LevelError(
                "signal_id", "or score_id, or symbol with base_score, is needed to find the signal"
            )


class SentimentRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """op `sentiment`: an external value for one symbol or, with `*`, for all."""

    op: ClassVar[str] = "sentiment"
    symbol: SymbolOrAll
    score: Score100
    source: Label | None = None
    half_life_s: Annotated[float, Meta(ge=1, le=604_800)] = 3600.0


class FeaturesRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """op `features`: the vector as a score would see it now, nothing journalled."""

    op: ClassVar[str] = "features"
    symbol: Symbol
    direction: Direction | None = None
    base_score: Score100 = 50.0


class HealthRequest(msgspec.Struct, frozen=True, kw_only=True):
    """op `health`."""

    op: ClassVar[str] = "health"


class StatsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """op `stats`."""

    op: ClassVar[str] = "stats"


Request = (
    ScoreRequest
    | ScoreManyRequest
    | OutcomeRequest
    | SentimentRequest
    | FeaturesRequest
    | HealthRequest
    | StatsRequest
)
REQUESTS: dict[str, Any] = {
    kind.op: kind
    for kind in (
        ScoreRequest,
        ScoreManyRequest,
        OutcomeRequest,
        SentimentRequest,
        FeaturesRequest,
        HealthRequest,
        StatsRequest,
    )
}


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """bias + sum(contributions) = raw_probability; + calibration_shift = win_probability."""

    bias: float
    contributions: dict[str, float]
    calibration_shift: float


class ModelView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the model says of a signal; in shadow mode it is given apart from the score."""

    ml_enhanced_score: float
    final_score: float
    win_probability: float
    win_probability_low: float
    win_probability_high: float
    raw_probability: float
    expected_r: float | None = None
    take: bool | None = None


class ScoreReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to a score. Probabilities 0..1, scores 0..100, R in multiples of the risk."""

    status: Status
    used_base_score: bool
    original_base_score: float
    final_score: float
    score_scale: Literal["enhanced", "base"]
    mode: Mode = "live"
    symbol: str = ""
    direction: Direction | None = None
    score_id: str = ""
    signal_id: str | None = None
    ml_enhanced_score: float | None = None
    session_bonus: float | None = None
    win_probability: float | None = None
    win_probability_low: float | None = None
    win_probability_high: float | None = None
    raw_probability: float | None = None
    ml_confidence: float | None = None
    breakeven_probability: float | None = None
    reward_risk: float | None = None
    cost_r: float | None = None
    expected_r: float | None = None
    take: bool | None = None
    prediction: bool | None = None
    features: dict[str, float | str] = {}
    missing: tuple[str, ...] = ()
    volume_source: str = "none"
    feature_importance: dict[str, float] = {}
    explanation: Explanation | None = None
    shadow: ModelView | None = None
    model_version: str | None = None
    feature_schema: str = ""
    model_age_s: float | None = None
    feed_age_s: float | None = None
    drifting: tuple[str, ...] = ()
    journalled: bool = True
    prediction_time_ms: float | None = None
    error: str | None = None
    ignored: tuple[str, ...] = ()


def error_reply(
    code: str,
    message: str,
    *,
    field: str | None = None,
    fallback: float | None = None,
    request_id: str | int | None = None,
) -> dict[str, Any]:
    """A refusal as it goes on the wire; `fallback` is the base score to go on with.

    `field` names the key at fault where there is one.
    """
    error = {"code": code, "message": message} | ({} if field is None else {"field": field})
    reply: dict[str, Any] = {"v": PROTOCOL_VERSION, "id": request_id, "ok": False, "error": error}
    if fallback is not None:
        reply["fallback"] = fallback
    if code == "unsupported_version":
        reply["versions"] = [PROTOCOL_VERSION]
    return reply
