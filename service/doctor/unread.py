"""Why a frame of a feed is garbage, for the people who send it."""

from __future__ import annotations

import msgspec

from protocol.ea_feed import FULL_STAMP_CHARS, Skipped, WireTick, parse, parse_stamp

MAX_SAMPLE_BYTES = 250


def why_unread(frame: bytes) -> str:
    """The field or the place that makes a garbage `frame` one, and its beginning as it came."""
    return f"{_why(frame)}: {frame[:MAX_SAMPLE_BYTES].decode('utf-8', 'replace')!r}"


def _why(frame: bytes) -> str:
    brace = frame.find(b"{")
    if brace < 0:
        return "no JSON object"
    if not isinstance(parse(frame[brace:]), Skipped):
        return "what stands before the message is no topic"
    try:
        fields = msgspec.json.decode(frame[brace:].strip(b" \t\r\n\0"))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return f"no JSON ({error})"
    kind = fields.get("type")
    if not isinstance(kind, str) or kind.lower() != "tick":
        return "no tick"
    try:
        wire = msgspec.convert(fields, WireTick)
    except msgspec.MsgspecError as error:
        return str(error)
    stamp = wire.timestamp
    if parse_stamp(stamp) is None or (isinstance(stamp, str) and len(stamp) < FULL_STAMP_CHARS):
        return f"timestamp {stamp!r}"
    return f"symbol {wire.symbol[:80]!r}"
