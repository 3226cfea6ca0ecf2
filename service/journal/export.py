"""Rows of the journal as JSON lines and as lines for people.

A JSON line has all that its row has: packed columns are unpacked, so that no reader needs this
program. What cannot be unpacked is given as hexadecimal digits.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import msgspec

from protocol.schema import FEATURE_COUNT, FEATURE_NAMES, FINGERPRINT
from service.console import words
from service.console.printable import printable
from service.console.words import stamp
from service.journal.reading import Row

_FLOATS = struct.Struct(f"<{FEATURE_COUNT}d")


def json_line(row: Row) -> bytes:
    """One row as one JSON object, its `table` first; without the line's end."""
    fields = {name: _plain(name, value) for name, value in row.columns.items()}
    if row.kind == "scores":
        fields["features"] = _features(row.columns["features"], row.columns["fingerprint"])
        fields["missing"] = [name for name in str(row.columns["missing"]).split(",") if name]
    elif row.kind == "events":
        fields["detail"] = _json(row.columns["detail"])
    return msgspec.json.encode({"table": row.kind, **fields})


def text_line(row: Row) -> str:
    """One row as a line of at most about 100 characters. Times are UTC."""
    head = f"{stamp(row.at)}  {row.kind.removesuffix('s'):<8}"
    try:
        return printable(_line(row, head))
    except (TypeError, ValueError):
        return f"{head} row {row.seq} is damaged: `signal-scorer journal export` has what is left"


def _line(row: Row, head: str) -> str:
    columns = row.columns
    if row.kind == "scores":
        probability = columns["win_probability"]
        chance = "" if probability is None else f"  p {probability:.3f}"
        take = {1: "  take", 0: "  leave"}.get(columns["take"], "")
        side = words.side(columns["direction"])
        name = columns["signal_id"] or columns["score_id"]
        return (
            f"{head} {columns['symbol']:<8} {side:<4} {columns['base_score']:5.1f} -> "
            f"{columns['final_score']:5.1f}  {columns['status']}{chance}{take}  {name}"
        )
    if row.kind == "outcomes":
        r = columns["realised_r"]
        made = "" if r is None else f"  {r:+.2f} R"
        name = columns["signal_id"] or columns["score_id"] or "unnamed"
        return f"{head} {columns['outcome']:<13} {columns['source']:<8}{made}  {name}"
    detail = _json(columns["detail"])
    if isinstance(detail, dict):
        detail = "  ".join(f"{key}={value}" for key, value in detail.items())
    return f"{head} {columns['kind']}  {detail}".rstrip()


def _plain(name: str, value: Any) -> Any:
    if not isinstance(value, bytes):
        return value
    if name not in ("request", "reply"):
        return value.hex()
    try:
        return msgspec.msgpack.decode(value)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return value.hex()


def _features(packed: Any, fingerprint: Any) -> Any:
    """By name where they are of this program's schema, in order where of another."""
    if not isinstance(packed, bytes):
        return packed
    if fingerprint == FINGERPRINT and len(packed) == _FLOATS.size:
        return dict(zip(FEATURE_NAMES, _FLOATS.unpack(packed), strict=True))
    if len(packed) % 8:
        return packed.hex()
    return list(struct.unpack(f"<{len(packed) // 8}d", packed))


def _json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return text
