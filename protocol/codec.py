"""msgpack bytes to typed requests and back; whatever arrives, only `DecodeError` leaves.

Size is checked before decoding, lengths while decoding, depth after it, types and bounds
last. A score of known fields without anything nested needs no more than types and bounds, which
costs half as much. Unknown keys are kept by name, so that the reply can say what was ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar, cast
from uuid import UUID

import msgpack
import msgspec

from protocol import limits
from protocol.errors import DecodeError
from protocol.messages import REQUESTS, Request, ScoreRequest, Signal, TimeframeData

R = TypeVar("R", bound=Request)

_STR = frozenset((str,))
# As they are, for types and bounds to refuse: the wire has none of them, and a text of theirs
# would be taken for one of the caller's.
_NOT_OURS = (bytes, bytearray, memoryview, datetime, date, time, timedelta, UUID, Decimal)
_CONTAINERS = frozenset((dict, list))
_ENVELOPE = frozenset(("v", "id", "op"))
_FIELDS = {op: frozenset(kind.__struct_fields__) | _ENVELOPE for op, kind in REQUESTS.items()}
_SIGNAL = frozenset(Signal.__struct_fields__)
_TIMEFRAMES = frozenset(TimeframeData.__struct_fields__)
_PATH = re.compile(r"`\$\.?([^`]*)`")
_MISSING = re.compile(r"missing required field `([^`]*)`")


class _Envelope(msgspec.Struct, gc=False):
    """What surrounds a score."""

    v: Literal[1]
    op: Literal["score"]
    id: Annotated[str, msgspec.Meta(max_length=limits.MAX_ID_CHARS)] | int | None = None


_only_known = msgspec.msgpack.Decoder(
    msgspec.defstruct(
        "_OnlyKnown",
        # Nothing nested: candles may hold keys that nobody knows, for which there are limits too.
        [(name, None if name == "timeframe_data" else str | int | float | bool | None, None)
         for name in ScoreRequest.__struct_fields__],
        bases=(_Envelope,),
        kw_only=True,
        gc=False,
        forbid_unknown_fields=True,
    )
).decode  # fmt: skip
_score = msgspec.msgpack.Decoder(ScoreRequest).decode


class Decoded(msgspec.Struct, frozen=True):
    """A request with its `id` and the keys that were not understood."""

    request: Request
    request_id: str | int | None
    ignored: tuple[str, ...]


def pack(message: dict[str, Any]) -> bytes:
    """One body frame."""
    packed: bytes = msgpack.packb(message, use_bin_type=True)
    return packed


def unpack(body: bytes, *, max_bytes: int = limits.MAX_BODY_BYTES) -> dict[str, Any]:
    """The map in one body frame. Raises DecodeError `too_large` or `malformed`."""
    if len(body) > max_bytes:
        raise DecodeError("too_large", f"{len(body)} bytes; at most {max_bytes} are read")
    try:
        content = msgpack.unpackb(
            body,
            raw=False,
            strict_map_key=True,
            max_str_len=limits.MAX_STRING,
            max_bin_len=0,
            max_ext_len=0,
            max_array_len=limits.MAX_ARRAY,
            max_map_len=limits.MAX_MAP,
        )
    # msgpack raises ValueError and its subclasses, and TypeError for an unhashable key.
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        detail = str(error)[:200] or type(error).__name__
        if body[:1] == b"{":
            detail = "it looks like JSON"
        elif "max_ext_len" in detail:  # msgpack's own word, of which no caller has heard
            detail = "there is an ext in it, as some libraries write a time or undefined"
        elif "max_bin_len" in detail:
            detail = "there is a bin in it; send a str"
        raise DecodeError("malformed", f"no msgpack map: {detail}") from None
    if type(content) is not dict or not _STR.issuperset(map(type, content)):
        raise DecodeError("malformed", "the body must be one msgpack map with string keys")
    if not _CONTAINERS.isdisjoint(map(type, content.values())) and _too_deep(content):
        raise _refused(content, "malformed", f"nested deeper than {limits.MAX_DEPTH} levels")
    return content


def extended(packed: bytes, more: dict[str, Any]) -> bytes:
    """A packed map with further keys behind its own, without packing it again.

    `packed` must be one msgpack map; none of the keys may be in it.
    """
    kind = packed[0]
    if kind & 0xF0 == 0x80:
        count, start = kind & 0x0F, 1
    elif kind == 0xDE:
        count, start = int.from_bytes(packed[1:3], "big"), 3
    else:
        raise ValueError("no small msgpack map")
    tail: bytes = msgspec.msgpack.encode(more)
    if len(more) > 15 or count + len(more) > 0xFFFF:
        raise ValueError("too many keys")
    head = b"\xde" + (count + len(more)).to_bytes(2, "big")
    return b"".join((head, packed[start:], tail[1:]))


def packed_scores(items: list[bytes]) -> bytes:
    """A map of the one key `scores`: up to 65,535 replies that are packed already."""
    return b"".join((b"\x81\xa6scores\xdc", len(items).to_bytes(2, "big"), *items))


def decode_request(body: bytes) -> Decoded:
    """One request, typed. Raises DecodeError with the code for the reply."""
    return _usual_score(body) or _any_request(body)


def _usual_score(body: bytes) -> Decoded | None:
    """A score without surprises, at half the cost; None for all that wants a closer look."""
    if body[:1] > b"\x8f" or len(body) > limits.MAX_BODY_BYTES:
        return None  # no map, or one of more keys than a usual score has
    try:
        envelope = cast(_Envelope, _only_known(body))
        return Decoded(_score(body), envelope.id, ())
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        return None


def _any_request(body: bytes) -> Decoded:
    content = unpack(body)
    request_id = _id_of(content)
    if request_id is None and content.get("id") is not None:
        text = f"id is a string of up to {limits.MAX_ID_CHARS} or an integer"
        raise _refused(content, "invalid_field", text, "id")
    version = content.get("v")
    if version != limits.PROTOCOL_VERSION or type(version) is not int:
        text = f"this server speaks version {limits.PROTOCOL_VERSION}; v was {version!r:.40}"
        raise _refused(content, "unsupported_version", text, "v")
    op = content.get("op")
    kind = REQUESTS.get(op) if isinstance(op, str) else None
    if kind is None:
        raise _refused(content, "unknown_op", f"op must be one of {', '.join(REQUESTS)}", "op")
    try:
        request = msgspec.convert(content, type=kind)
    except msgspec.ValidationError as error:
        raise _invalid(error, content) from None
    return Decoded(request, request_id, unknown_keys(content, kind.op))


def decode_signal(content: dict[str, Any]) -> ScoreRequest:
    """One element of a batch, typed. Raises DecodeError `invalid_field`, with its base score."""
    try:
        return msgspec.convert(content, type=ScoreRequest)
    except msgspec.ValidationError as error:
        raise _invalid(error, content) from None


def encode_request(request: Request, request_id: str | int | None = None) -> bytes:
    """A request as a body frame. Raises ValueError where the server would refuse it."""
    body = _body_of(request.op, _checked(request)[0], request_id, pack)
    try:
        # What is not bounded by a field's type: the lengths and the depth of what nobody knows.
        unpack(body)
    except DecodeError as error:
        raise ValueError(f"{request.op}: {error.message}") from None
    return body


def encode_checked(request: Request, request_id: int) -> bytes:
    """The same bytes for what `request_of` made of a score, whose fields are all bounded by type.

    Raises ValueError for what is too large, or holds a text that cannot be UTF-8.
    """
    content = msgspec.to_builtins(request)
    return _body_of(request.op, content, request_id, msgspec.msgpack.encode)


def _body_of(
    op: str,
    content: dict[str, Any],
    request_id: str | int | None,
    packed: Callable[[dict[str, Any]], bytes],
) -> bytes:
    content["v"] = limits.PROTOCOL_VERSION
    content["op"] = op
    if request_id is not None:
        content["id"] = request_id
    try:
        body = packed(content)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"{op}: {error}") from None
    if len(body) > limits.MAX_BODY_BYTES:
        raise ValueError(f"the request takes {len(body)} bytes; {limits.MAX_BODY_BYTES} at most")
    return body


def request_of(kind: type[R], **fields: Any) -> R:
    """A request whose fields are plain values.

    Raises ValueError where the server would refuse it, TypeError as any call where a field is
    missing or is none.
    """
    return _checked(kind(**fields))[1]


def _checked(request: R) -> tuple[dict[str, Any], R]:
    """Its content and itself, read from that: one may be built without type checks."""
    try:
        content = _plain_of(request)
        return content, msgspec.convert(content, type=type(request))
    except msgspec.ValidationError as error:  # which says where
        raise ValueError(f"{request.op}: {error}") from None
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"{request.op}: {error}{_where(request)}") from None


def _plain_of(value: Any) -> Any:
    return msgspec.to_builtins(value, enc_hook=plain, builtin_types=_NOT_OURS)


def _where(request: Request) -> str:
    """The first field that holds no plain value, as msgspec would write it."""
    for name in request.__struct_fields__:
        try:
            _plain_of(getattr(request, name))
        except (TypeError, ValueError, OverflowError, RecursionError):
            return f" - at `$.{name}`"
    return ""


def unknown_keys(content: dict[str, Any], op: str | None = None) -> tuple[str, ...]:
    """Keys of a request, or of a batch's signal, that this version does not know; a bounded list.

    A signal has no envelope: who gives it an `id` gets none back, and is told.
    A timeframe that nobody knows is such a key: its candles would be lost without a word.
    """
    known = _FIELDS[op] if op else _SIGNAL
    unknown = [] if known.issuperset(content) else [key for key in content if key not in known]
    frames = content.get("timeframe_data") if "timeframe_data" in known else None
    unknown += [f"timeframe_data.{key}" for key in frames or () if key not in _TIMEFRAMES]
    return tuple(key[: limits.MAX_ID_CHARS] for key in unknown[: limits.MAX_IGNORED_KEYS])


def _invalid(error: msgspec.ValidationError, content: dict[str, Any]) -> DecodeError:
    text = str(error)
    path = _PATH.search(text)
    missing = _MISSING.search(text)
    parts = [found.group(1) for found in (path, missing) if found and found.group(1)]
    if not parts and text.split(" ", 1)[0] in (*Signal.__struct_fields__, "score_id"):
        parts = [text.split(" ", 1)[0]]  # a rule between fields names the first one
    return _refused(content, "invalid_field", text[:300], ".".join(parts) or None)


def _refused(
    content: dict[str, Any], code: str, message: str, field: str | None = None
) -> DecodeError:
    """With the base score and the id, where these could be understood."""
    base, request_id = _fallback(content), _id_of(content)
    return DecodeError(code, message, field=field, fallback=base, request_id=request_id)


def _fallback(content: dict[str, Any]) -> float | None:
    """The base score of a refused request, if it could be understood."""
    base = content.get("base_score")
    if isinstance(base, (int, float)) and not isinstance(base, bool) and 0 <= base <= 100:
        return float(base)
    return None


def _id_of(content: dict[str, Any]) -> str | int | None:
    """The request's id; None where there is none that can be echoed."""
    value = content.get("id")
    if type(value) is int or (isinstance(value, str) and len(value) <= limits.MAX_ID_CHARS):
        return value
    return None


def plain(value: Any) -> Any:
    """A numpy scalar, or a number or text of another class, as what it is: a caller's often are.

    A truth of numpy is one, and no number: `outcome(pnl > 0)` of an array's element.

    Raises TypeError for anything else.
    """
    if isinstance(value, str):
        return str.__str__(value)
    found = value.item() if hasattr(value, "item") else value
    if isinstance(found, bool):
        return found
    if isinstance(found, float):
        return float.__float__(found)
    if isinstance(found, int):
        return int.__int__(found)
    raise TypeError(f"{type(value).__name__} is no value of a request")


def _too_deep(content: dict[str, Any]) -> bool:
    """Whether containers are nested in more than MAX_DEPTH levels, the body being the first."""
    layer: list[Any] = [content]
    for _ in range(limits.MAX_DEPTH):
        layer = [
            item
            for container in layer
            for item in (container.values() if type(container) is dict else container)
            if type(item) is dict or type(item) is list
        ]
        if not layer:
            return False
    return True
