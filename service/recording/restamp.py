"""Moves a recording's stamps: to the present, and on by what the sender's clock shows beyond UTC.

Every stamp keeps the form that it was recorded in, and a candle stays on the minute.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from protocol.ea_feed import Tick, encode_tick, format_stamp, parse_stamp
from service.recording.market_files import TIMEFRAME_S, Recorded

NODE_ID = "REPLAY"
STAMPS = ("timestamp", "time")

_OFFSET = re.compile(
    r"([+-]?)(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?\Z", re.ASCII
)
_decode = msgspec.json.Decoder().decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Survey:
    """What a first pass over the files finds: earliest and latest stamp, how many messages.

    `raw`: some are feed messages, whose stamps may be whole seconds; `candles`: some of
    these are candles.
    """

    first_s: float
    last_s: float
    messages: int
    raw: bool
    candles: bool


def parse_offset(text: str) -> float:
    """Seconds of `3h`, `-90m`, `5h45m`, `10800` or `0`. Raises ValueError for anything else."""
    match = _OFFSET.match(text.strip())
    if match is None or not any(match.groups()[1:]):
        raise ValueError(f"{text!r} is no offset: write 3h, -90m, 5h45m or seconds")
    hours, minutes, seconds = (float(part or 0) for part in match.groups()[1:])
    size_s = hours * 3600 + minutes * 60 + seconds
    return -size_s if match.group(1) == "-" else size_s


def survey_of(messages: Iterator[Recorded]) -> Survey | None:
    """Read them all, keeping none; None where there is no message."""
    first_s, last_s, count, raw, candles = math.inf, -math.inf, 0, False, False
    for stamp_s, message, frame in messages:
        count += 1
        first_s = min(first_s, stamp_s)
        last_s = max(last_s, stamp_s)
        if frame:
            raw = True
            candles = candles or not isinstance(message, Tick)
    return Survey(first_s, last_s, count, raw, candles) if count else None


def shift_to(survey: Survey, shift_s: float) -> float:
    """Whole seconds where stamps are, whole minutes where candles must stay on the minute."""
    unit_s = 60 if survey.candles else 1 if survey.raw else 0
    return math.floor(shift_s / unit_s) * unit_s if unit_s else shift_s


def restamped(recorded: Recorded, shift_s: float) -> bytes:
    """The frame to publish: the line as it was but for its stamps, or a tick of a table."""
    if recorded.frame:
        return _shift_frame(recorded.frame, shift_s)
    tick = recorded.message
    if not isinstance(tick, Tick):
        raise TypeError(f"a table yields ticks, not {type(tick).__name__}")
    return encode_tick(
        msgspec.structs.replace(tick, stamp_s=tick.stamp_s + shift_s, node_id=NODE_ID)
    )


def _shift_frame(frame: bytes, shift_s: float) -> bytes:
    """Move every stamp of one feed message, each kept in the form that it was sent in.

    What is no stamp and holds none is not looked into: it may be no text that can be read.
    """
    brace = frame.index(b"{")
    fields: dict[str, Any] = dict(_decode_fields(frame[brace:].rstrip(b" \t\r\n\0")))
    for name in (*STAMPS, *TIMEFRAME_S):
        if name in fields:
            fields[name] = _decode(fields[name])
    _shift_stamps(fields, shift_s)
    for timeframe in TIMEFRAME_S:
        entries = fields.get(timeframe)
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict):
                _shift_stamps(entry, shift_s)
    return frame[:brace] + _encode(fields)


def _shift_stamps(fields: dict[str, Any], shift_s: float) -> None:
    for key in STAMPS:
        stamp = fields.get(key)
        stamp_s = parse_stamp(stamp)
        if stamp_s is None:
            continue
        moved_s = stamp_s + shift_s
        if isinstance(stamp, str):
            fields[key] = format_stamp(moved_s)[: len(stamp)]
        else:
            fields[key] = int(moved_s) if isinstance(stamp, int) else moved_s
