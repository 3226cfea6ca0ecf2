"""The EA's feed: JSON text in, typed messages out, and back again for replays and the demo.

`parse` never raises and never yields a number that is not finite and in bounds: what is
no tick, candle or sentiment becomes `Skipped` with a kind from a small fixed set, so that
a sender cannot grow the tables in which kinds are counted.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Annotated, Any, Literal, Union

import msgspec
from msgspec import Meta

from protocol.limits import MAX_BODY_BYTES, MAX_SYMBOL_CHARS

MAX_CANDLES_PER_TIMEFRAME = 240
"""As many as a symbol's state keeps; of a longer list the newest are taken."""

TIMEFRAMES = ("M1", "M5", "M15", "M30", "H1", "H4", "D1")
FULL_STAMP_CHARS = len("2025.09.15 19:33:52")

_WORDS = frozenset(
    {"heartbeat", "hello", "handshake", "disconnect", "pong"}
    | {"confirmation", "close_confirmation", "status"}
)
SKIPPED_KINDS = _WORDS | {"other", "garbage", "too_large"}
"""`other`: an object of an unknown `type`, or a topic by itself. `garbage`: no message at all, or a
tick, candle or sentiment with a missing, ill-typed or impossible value."""

Generation = Literal["7.01", "2.05"]

# Zero prices pass: the engine counts a non-positive quote apart from garbage.
_Quote = Annotated[float, Meta(ge=0, le=1e12)]
_Price = Annotated[float, Meta(gt=0, le=1e12)]
_Volume = Annotated[float, Meta(ge=0, le=1e15)]
_Name = Annotated[str, Meta(max_length=64)]

_FIRST_STAMP_S = 946_684_800.0  # 2000-01-01
_LAST_STAMP_S = 4_102_444_800.0  # 2100-01-01: milliseconds and nonsense lie beyond


class Tick(msgspec.Struct, frozen=True, gc=False):
    """One quote. `stamp_s` is the sender's clock read as epoch seconds, not yet UTC.

    `bid` and `ask` are finite and not negative, but may be zero or crossed; `volume` is
    the size of the last deal (0: none), `node_id` names the terminal (empty: unknown).
    """

    symbol: str
    bid: float
    ask: float
    volume: float
    stamp_s: float
    node_id: str = ""


class Candle(msgspec.Struct, frozen=True, gc=False):
    """One candle; `stamp_s` is its opening by the sender's clock. Low <= open, close <= high."""

    symbol: str
    timeframe: str
    stamp_s: float
    open: float
    high: float
    low: float
    close: float
    volume: float = 0.0
    node_id: str = ""


class Candles(msgspec.Struct, frozen=True):
    """The candles of one batch in the order sent; `skipped` were ill-formed or beyond the bound.

    `stamp_s` is when it was sent by the sender's clock; None where it does not say.
    """

    candles: tuple[Candle, ...]
    skipped: int = 0
    stamp_s: float | None = None


class SentimentUpdate(msgspec.Struct, frozen=True, gc=False):
    """An external sentiment, 0..100, for a symbol or for all (`*`)."""

    symbol: str
    score: float
    source: str = ""
    half_life_s: float | None = None


class Skipped(msgspec.Struct, frozen=True, gc=False):
    """A frame that carries nothing for the engine; `kind` is one of SKIPPED_KINDS."""

    kind: str


FeedMessage = Union[Tick, Candle, Candles, SentimentUpdate, Skipped]  # noqa: UP007  (3.10)

GARBAGE = Skipped("garbage")
OTHER = Skipped("other")
TOO_LARGE = Skipped("too_large")
_SKIPPED = {kind: Skipped(kind) for kind in SKIPPED_KINDS}


class WireTick(msgspec.Struct, gc=False):
    """What both generations send in a tick; `spread` is in broker points and not read."""

    symbol: str
    bid: _Quote
    ask: _Quote
    timestamp: float | str
    type: str = ""
    volume: _Volume = 0.0
    node_id: _Name | None = ""


class _WireCandle(msgspec.Struct, gc=False):
    """An `OHLC` message, or one entry of a batch, which has no symbol of its own."""

    open: _Price
    high: _Price
    low: _Price
    close: _Price
    time: float | str | None = None
    timestamp: float | str | None = None
    volume: _Volume = 0.0
    symbol: str = ""
    timeframe: str = ""
    node_id: _Name | None = ""


class _WireSentiment(msgspec.Struct, gc=False):
    symbol: str
    score: Annotated[float, Meta(ge=0, le=100)]
    source: _Name = ""
    half_life_s: Annotated[float, Meta(gt=0, le=1e9)] | None = None


_TICK_WORDS = frozenset(("tick", "TICK", "Tick"))
_decode_tick = msgspec.json.Decoder(WireTick).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
# Skipping an unknown field that is nested too deeply is a RecursionError in msgspec.
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_SYMBOL = re.compile(rf"[A-Za-z0-9._#+\-/&!^$@]{{1,{MAX_SYMBOL_CHARS}}}\Z")
_STAMP = re.compile(
    r"(\d{4})\.(\d\d)\.(\d\d) (\d\d):(\d\d)(?::(\d\d))?\Z",
    re.ASCII,
)
_WORD = re.compile(rb"[A-Za-z]+(?:_[A-Za-z]+)*")
_TIMEFRAME = re.compile(r"[MHDW]\d{1,2}|MN1?")
_TOPIC = re.compile(rb"[A-Za-z0-9._#+\-/&!^$@:|]{1,64}")
_PREFIX = re.compile(rb"[A-Za-z0-9._#+\-/&!^$@:|\s]{0,64}")


def parse(frame: bytes) -> FeedMessage:
    """Read one frame of the feed. Never raises; see `Skipped` for what is no message.

    >>> parse(b'tick {"type":"tick","symbol":"EURUSD","bid":1,"ask":2,"timestamp":1757964832}')
    Tick(symbol='EURUSD', bid=1.0, ask=2.0, volume=0.0, stamp_s=1757964832.0, node_id='')
    """
    if len(frame) > MAX_BODY_BYTES:
        return TOO_LARGE
    # Nearly every frame is a tick: one typed decoder is tried first.
    brace = frame.find(b"{", 0, 8)
    if brace == 0 or (brace > 0 and frame[:brace].strip().lower() == b"tick"):
        try:
            wire = _decode_tick(frame[brace:])
        except _UNREADABLE:
            return _parse_other(frame)
        if wire.type in _TICK_WORDS:
            return _tick(wire)
    return _parse_other(frame)


def parse_timeframes(symbol: str, frames: Mapping[str, Any], node_id: str = "") -> Candles:
    """Candles of {timeframe: [{time | timestamp, open, high, low, close, volume?}, ...]}.

    Keys are read in any case. Those that name no timeframe are passed over; ill-formed entries
    are left out and counted in `skipped`, as is what exceeds MAX_CANDLES_PER_TIMEFRAME of one.
    """
    named = {key.upper(): entries for key, entries in frames.items()}
    candles: list[Candle] = []
    skipped = 0
    for timeframe in TIMEFRAMES:
        entries = named.get(timeframe)
        if not isinstance(entries, (list, tuple)):
            skipped += entries is not None
            continue
        skipped += max(0, len(entries) - MAX_CANDLES_PER_TIMEFRAME)
        for entry in entries[-MAX_CANDLES_PER_TIMEFRAME:]:
            candle = _candle(entry, symbol, timeframe, node_id)
            if candle is None:
                skipped += 1
            else:
                candles.append(candle)
    return Candles(tuple(candles), skipped)


def parse_stamp(stamp: object) -> float | None:
    """Epoch seconds of a number or of `YYYY.MM.DD HH:MM[:SS]`; None outside 2000..2099."""
    if isinstance(stamp, str):
        return _text_stamp(stamp) if len(stamp) <= FULL_STAMP_CHARS else None
    if isinstance(stamp, (float, int)) and _FIRST_STAMP_S <= stamp < _LAST_STAMP_S:
        return float(stamp)
    return None


def format_stamp(stamp_s: float) -> str:
    """The stamp as EA v2.05 writes it, whole seconds: `2025.09.15 19:33:52`."""
    return datetime.fromtimestamp(int(stamp_s), timezone.utc).strftime("%Y.%m.%d %H:%M:%S")


def encode_tick(
    tick: Tick,
    *,
    generation: Generation = "7.01",
    point: float = 1e-5,
) -> bytes:
    """A tick as the EA sends it; `spread` in broker points of size `point`.

    v7.01 writes `tick` and an epoch number (an integer where it is whole), v2.05 writes
    `TICK` and text to the second.
    """
    old = generation == "2.05"
    return _encode(
        {
            "type": "TICK" if old else "tick",
            "node_id": tick.node_id,
            "user_uuid": "COMMANDER_DEV_001",
            "symbol": tick.symbol,
            "bid": tick.bid,
            "ask": tick.ask,
            "spread": round((tick.ask - tick.bid) / point, 1),
            "volume": _whole(tick.volume),
            "timestamp": format_stamp(tick.stamp_s) if old else _whole(tick.stamp_s),
        }
    )


def encode_candle(candle: Candle) -> bytes:
    """A closed candle as the EA's `OHLC` message."""
    return _encode(
        {
            "type": "OHLC",
            "symbol": candle.symbol,
            "timeframe": candle.timeframe,
            "time": _whole(candle.stamp_s),
            "open": candle.open,
            "high": candle.high,
            "low": candle.low,
            "close": candle.close,
            "volume": _whole(candle.volume),
        }
    )


def _parse_other(frame: bytes) -> FeedMessage:
    """Everything but a bare tick: prefixes, other types, text, garbage."""
    # MQL strings reach the wire with their terminating NUL.
    text = frame.strip(b" \t\r\n\0")
    brace = text.find(b"{")
    word = _WORD.match(text)
    prefix = word.group().decode("ascii").lower() if word else ""
    if brace < 0:
        head = prefix.split("_")[0]
        if prefix in _WORDS or head in _WORDS:
            return _SKIPPED[prefix if prefix in _WORDS else head]
        return OTHER if _TOPIC.fullmatch(text) else GARBAGE
    if not _PREFIX.fullmatch(text[:brace]):
        return GARBAGE
    try:
        fields = _decode_any(text[brace:])
        kind = fields.get("type", prefix)
        return _typed(kind.lower(), fields) if isinstance(kind, str) else GARBAGE
    except _UNREADABLE:
        return GARBAGE


def _typed(kind: str, fields: dict[str, Any]) -> FeedMessage:
    """A decoded object by its lower-case type. Raises MsgspecError for ill-typed fields."""
    if kind == "tick":
        return _tick(msgspec.convert(fields, WireTick))
    if kind == "ohlc":
        return _candle(fields, "", "", "") or GARBAGE
    if kind in ("candle_batch", "timeframe_data"):
        symbol = _symbol(fields.get("symbol"))
        node_id = fields.get("node_id")
        node_id = node_id if isinstance(node_id, str) and len(node_id) <= 64 else ""
        if not symbol:
            return GARBAGE
        batch = parse_timeframes(symbol, fields, node_id)
        return msgspec.structs.replace(batch, stamp_s=parse_stamp(fields.get("timestamp")))
    if kind == "sentiment":
        wire = msgspec.convert(fields, _WireSentiment)
        if wire.symbol != "*" and not _symbol(wire.symbol):
            return GARBAGE
        return SentimentUpdate(wire.symbol, wire.score, wire.source, wire.half_life_s)
    if kind in _WORDS:
        return _SKIPPED[kind]
    return OTHER if kind else GARBAGE


def _tick(wire: WireTick) -> Tick | Skipped:
    stamp_s = parse_stamp(wire.timestamp)
    symbol = _symbol(wire.symbol)
    if stamp_s is None or not symbol:
        return GARBAGE
    if isinstance(wire.timestamp, str) and len(wire.timestamp) < FULL_STAMP_CHARS:
        return GARBAGE  # to the minute: a minute's volume would seem to come in its first second
    return Tick(symbol, wire.bid, wire.ask, wire.volume, stamp_s, wire.node_id or "")


def _candle(fields: Any, symbol: str, timeframe: str, node_id: str) -> Candle | None:
    """A candle from its decoded fields; symbol and timeframe are given for a batch's entry."""
    try:
        wire = msgspec.convert(fields, _WireCandle)
    except msgspec.MsgspecError:
        return None
    name = symbol or _symbol(wire.symbol)
    frame = timeframe or wire.timeframe.upper().removeprefix("PERIOD_")
    stamp_s = parse_stamp(wire.timestamp if wire.time is None else wire.time)
    body = (wire.open, wire.close)
    if not name or stamp_s is None or not _TIMEFRAME.fullmatch(frame):
        return None
    if wire.low > min(body) or wire.high < max(body):
        return None
    return Candle(
        name,
        frame,
        stamp_s,
        wire.open,
        wire.high,
        wire.low,
        wire.close,
        wire.volume,
        node_id or wire.node_id or "",
    )


# Both caches are bounded: a feed has few symbols, and many ticks share a stamp.
@functools.lru_cache(maxsize=2048)
def _known_symbol(symbol: str) -> str:
    return symbol if _SYMBOL.match(symbol) else ""


def _symbol(symbol: object) -> str:
    """The symbol itself where it is one, else the empty string; long ones are not remembered."""
    if isinstance(symbol, str) and len(symbol) <= MAX_SYMBOL_CHARS:
        return _known_symbol(symbol)
    return ""


@functools.lru_cache(maxsize=512)
def _text_stamp(text: str) -> float | None:
    match = _STAMP.match(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
    except ValueError:
        return None
    stamp_s = moment.timestamp()
    return stamp_s if _FIRST_STAMP_S <= stamp_s < _LAST_STAMP_S else None


def _whole(value: float) -> float | int:
    return int(value) if value.is_integer() else value
