"""The original's records as the wire has them: features, metadata, candles, outcomes.

Whatever a caller stored from an earlier score can be given back: what is missing or odd in
it is left out, never guessed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from enum import Enum
from typing import Any

import msgspec

from protocol.codec import plain
from protocol.limits import MAX_CANDLES
from protocol.messages import Bar, ModelView, OutcomeRequest, ScoreReply, Symbol, TimeframeData
from protocol.schema import FEATURE_NAMES

_EARLIEST_S = 946_684_800.0  # 2000-01-01: a smaller number is no time
_LATEST_MS = 4_102_444_800_000.0  # 2100-01-01
_ID_CHARS = 128
_WORD_CHARS = 64
_LACKING = ("nan", "nat", "<na>")


@dataclass(frozen=True)
class MarketFeatures:
    """The ten features beside the base score, and which score they belong to.

    The defaults are the schema's neutral values (the session's: off-peak). `timestamp` is the
    caller's UTC time in seconds when the score came, `score_id` the service's id of it.

        MarketFeatures(**metadata["features"])
    """

    atr_volatility: float = 50.0
    volume_delta: float = 50.0
    tf_alignment: float = 50.0
    sentiment_score: float = 50.0
    whale_activity: float = 0.0
    spread_quality: float = 50.0
    correlation_check: float = 50.0
    session_bonus: float = 10.0
    momentum_strength: float = 50.0
    support_resistance: float = 50.0
    symbol: str = ""
    timestamp: float = 0.0
    base_score: float = 0.0
    score_id: str = ""


_FIELDS = frozenset(field.name for field in fields(MarketFeatures))
_FROM_MARKET = [name for name in FEATURE_NAMES if name != "base_score"]


def metadata_of(reply: ScoreReply, model_stats: dict[str, Any], now_s: float) -> dict[str, Any]:
    """Every field of the reply and every key of the original, as plain values.

    What nobody knows is None: without the model there is no probability. `error` is there
    only where something went wrong.
    """
    said = {name: _plain(getattr(reply, name)) for name in ScoreReply.__struct_fields__}
    if reply.shadow is not None:  # on the wire it leaves out what is not known
        said["shadow"] = {name: getattr(reply.shadow, name) for name in ModelView.__struct_fields__}
    known = {name: value for name, value in said["features"].items() if name in _FIELDS}
    # All of them, where no service looked at the market.
    said["missing"] += [name for name in _FROM_MARKET if name not in known]
    known |= {"symbol": reply.symbol, "timestamp": now_s, "base_score": reply.original_base_score}
    said["features"] = asdict(MarketFeatures(**known))
    said["model_stats"] = model_stats
    if reply.ml_enhanced_score is None:
        said["ml_enhanced_score"] = reply.original_base_score
    if reply.session_bonus is None:
        said["session_bonus"] = 0.0
    if reply.error is None:
        del said["error"]
    return said


def outcome_request(
    signal_id: object,
    features: MarketFeatures | Mapping[str, Any] | None,
    outcome: bool | str | Enum,
    data: Mapping[str, Any] | None,
) -> OutcomeRequest:
    """The report of an outcome. Raises ValueError where nothing says which signal it is of, or
    what became of it.

    The word in `data['outcome']` says more than win or not (a time-out is neither) and
    counts where there is one. Symbol, base score and time stand in for a missing score id.
    """
    data = data or {}
    known = asdict(features) if isinstance(features, MarketFeatures) else dict(features or {})
    runtime_s = _amount(data.get("runtime_seconds"), low=0.0)
    minutes = _amount(data.get("runtime_minutes"), low=0.0)
    if runtime_s is None and minutes is not None:
        runtime_s = number(60.0 * minutes)
    score_id = text(known.get("score_id"), _ID_CHARS)
    meant: dict[str, Any] = {}
    if score_id is None:
        meant = {
            "symbol": _symbol(known.get("symbol")),
            "base_score": number(known.get("base_score"), low=0.0, high=100.0),
            "scored_at": number(known.get("timestamp"), low=_EARLIEST_S),
        }
    return OutcomeRequest(
        outcome=_word(data.get("outcome")) or _won(outcome),
        signal_id=text(identifier(signal_id), _ID_CHARS),
        score_id=score_id,
        realised_r=_amount(data.get("realised_r")),
        final_pips=_amount(data.get("final_pips")),
        max_favorable_pips=_amount(data.get("max_favorable_pips")),
        max_adverse_pips=_amount(data.get("max_adverse_pips")),
        runtime_seconds=runtime_s,
        closed_at=_moment(data.get("closed_at")) or _moment(data.get("completed_at")) or None,
        **meant,
    )


def unread_of(data: Mapping[str, Any] | None, request: OutcomeRequest) -> list[str]:
    """The fields that a report lacks although its data say something there."""
    data = data or {}
    also = {"runtime_seconds": "runtime_minutes", "closed_at": "completed_at"}
    names = ("realised_r", "final_pips", "max_favorable_pips", "max_adverse_pips", *also)
    lacks = [name for name in names if getattr(request, name) is None]
    said = {name for name in (*names, *also.values()) if not _blank(data.get(name))}
    return [name for name in lacks if {name, also.get(name)} & said]


def candles_of(data: Mapping[str, Any] | None) -> TimeframeData | None:
    """The newest candles of each timeframe that are candles; None where there are none."""
    if not isinstance(data, Mapping):
        return None
    kept = {}
    for name in TimeframeData.__struct_fields__:
        kept[name] = [bar for bar in map(_bar, _newest(data.get(name))) if bar is not None]
    return TimeframeData(**kept) if any(kept.values()) else None


def _newest(entries: Any) -> list[Any]:
    try:
        return list(entries)[-MAX_CANDLES:]
    except Exception:  # no list, or a caller's class, which may raise what it likes
        return []


def _bar(candle: Any) -> Bar | None:
    if not isinstance(candle, Mapping):
        return None
    prices = [number(candle.get(name), low=1e-12) for name in ("open", "high", "low", "close")]
    stamp = candle.get("timestamp") if candle.get("time") is None else candle["time"]
    time_ = text(stamp, 64) if isinstance(stamp, str) else number(stamp)
    if None in prices or time_ is None:
        return None
    volume = number(candle.get("volume"), low=0.0) or 0.0
    return Bar(**dict(zip(("open", "high", "low", "close"), prices)), time=time_, volume=volume)  # type: ignore[arg-type]  # noqa: B905


def number(value: object, low: float = -1e12, high: float = 1e12) -> float | None:
    """A finite number within bounds, numpy's scalars too; None for anything else."""
    if value is None or isinstance(value, (bool, str, bytes)):
        return None
    try:
        real = float(value)  # type: ignore[arg-type]  # what has no __float__ is caught
    except Exception:  # a caller's class may raise what it likes
        return None
    return real if math.isfinite(real) and low <= real <= high else None


def _amount(value: object, low: float = -1e12, high: float = 1e12) -> float | None:
    """A number, also one that is written as a text."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return number(value, low, high)


def _blank(value: object) -> bool:
    """Whether nothing is said, be it in a table's words; a 0 that was not read is none."""
    try:
        return str(value).strip().lower() in ("", "0", "0.0", "none", *_LACKING)
    except Exception:  # a caller's class may raise what it likes
        return False


def named(value: object) -> object:
    """The word that a member of an enumeration stands for, else its name; all else as it is."""
    if not isinstance(value, Enum):
        return value
    return value.value if isinstance(value.value, str) else value.name


def identifier(value: object) -> str | None:
    """A signal's id as it is written, alike for its score and its outcome; None for none."""
    value = named(value)
    return None if lacking(value) else str(value) or None


def lacking(value: object) -> bool:
    """Whether a row has nothing there: None, or as numpy and pandas write that."""
    return value is None or (not isinstance(value, str) and str(value).lower() in _LACKING)


def text(value: object, longest: int) -> str | None:
    """A text of at most `longest` characters, numbers as they are written; else None."""
    value = named(value)
    if value is None or isinstance(value, (bool, float, bytes)):
        return None
    written = value if isinstance(value, str) else str(value)
    return written if 0 < len(written) <= longest else None


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else msgspec.to_builtins(value, enc_hook=plain)


def _symbol(value: Any) -> str | None:
    try:
        return msgspec.convert(value, Symbol)
    except msgspec.ValidationError:
        return None


def _word(value: object) -> str | None:
    """An outcome's word; a number is none, though a 1 may stand for a win."""
    word = named(value)
    return word if isinstance(word, str) and 0 < len(word) <= _WORD_CHARS else None


def _won(outcome: object) -> bool | str:
    """Win or not, or the word itself: as a truth LOSS would be a win, and a result of -12.5 too."""
    word = named(outcome)
    if isinstance(word, str):
        return word
    if outcome in (0, 1):
        return bool(outcome)
    raise ValueError(f"an outcome is True, False or a word, not {outcome!r:.40}")


def _moment(value: object) -> float | str | None:
    """ISO 8601, or epoch seconds or milliseconds, which the service tells apart, as text too.

    MetaTrader's stamps are neither: they are by the broker's clock, which nobody knows here.
    """
    if not isinstance(value, str):
        return number(value, high=1e14)
    epoch = _amount(value, _EARLIEST_S, _LATEST_MS)
    if epoch is not None:
        return epoch
    stamp = value.strip()
    if stamp.endswith("Z"):  # which Python 3.10 does not read
        stamp = f"{stamp[:-1]}+00:00"
    try:
        datetime.fromisoformat(stamp)  # as the service does, which drops what it cannot read
    except ValueError:
        return None
    return text(stamp, _WORD_CHARS)
