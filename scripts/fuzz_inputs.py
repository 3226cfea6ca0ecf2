"""Hostile requests and feed messages, endlessly and the same for the same seed.

A third are valid, or valid but for one value; the others are mutated bytes, random
structures, random bytes and the sizes around the limits.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Iterator
from typing import Any

import msgpack

from protocol.limits import MAX_ARRAY, MAX_BODY_BYTES, MAX_DEPTH, MAX_MAP, MAX_STRING

SYMBOLS = [f"SYM{i:02d}" for i in range(20)] + ["EURUSD", "GBPUSD", "BTC/USD", "EURUSD.r"]
TIMEFRAMES = ("M1", "M5", "M15", "m1", "H1", "W9", "")
OPS = ("score", "score", "score", "score", "score_many", "outcome", "outcome")
OPS += ("sentiment", "features", "health", "stats")
WORDS = ("BUY", "SELL", "buy", "WIN", "LOSS", "timeout", "WIN_TP", "2025.09.15 19:33:52", "*", "")
FLOATS = (0.0, -0.0, 1e-300, 5e-324, 1e12, 1e13, 1e308, -1.0, 100.0, 100.0000001, 1.1)
NOT_FINITE = (float("nan"), float("inf"), float("-inf"))
INTEGERS = (0, 1, -1, 127, 128, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1)


def requests(rng: random.Random, now_s: float) -> Iterator[bytes]:
    """Bodies for the scoring socket."""
    while True:
        kind = rng.random()
        if kind < 0.2:
            yield msgpack.packb(request(rng, now_s))
        elif kind < 0.5:
            yield _packed(_changed(rng, request(rng, now_s)))
        elif kind < 0.8:
            yield mangled(rng, msgpack.packb(request(rng, now_s)))
        elif kind < 0.9:
            yield _packed(structure(rng, 0))
        elif kind < 0.999:
            yield rng.randbytes(rng.randrange(200))
        else:
            yield _at_the_limit(rng)


def feed_messages(rng: random.Random, now_s: float) -> Iterator[bytes]:
    """Frames for the feed's socket; stamps go on from `now_s` by a hundredth of a second."""
    while True:
        now_s += 0.01
        kind = rng.random()
        if kind < 0.3:
            yield _written(rng, message(rng, now_s))
        elif kind < 0.6:
            yield _written(rng, _changed(rng, message(rng, now_s)))
        elif kind < 0.85:
            yield mangled(rng, _written(rng, message(rng, now_s)))
        elif kind < 0.92:
            yield _json(structure(rng, 0))
        elif kind < 0.999:
            yield rng.randbytes(rng.randrange(200))
        else:
            yield _at_the_limit(rng)


def request(rng: random.Random, now_s: float) -> dict[str, Any]:
    """A valid request of any op."""
    op = rng.choice(OPS)
    fields: dict[str, Any] = {"v": 1, "op": op, "id": rng.randrange(1 << 32)}
    symbol = rng.choice(SYMBOLS)
    if op == "score":
        fields |= signal(rng, now_s)
    elif op == "score_many":
        fields["signals"] = [signal(rng, now_s) for _ in range(rng.randrange(1, 6))]
    elif op == "outcome":
        fields |= {"outcome": rng.choice(("WIN", "LOSS", "TIMEOUT", True, False))}
        fields |= {"signal_id": f"S{rng.randrange(500)}", "final_pips": rng.gauss(0, 10)}
        fields |= {"closed_at": now_s, "runtime_seconds": rng.uniform(0, 1e4)}
        if rng.random() < 0.3:
            del fields["signal_id"]
            fields |= {"symbol": symbol, "base_score": rng.uniform(0, 100), "scored_at": now_s}
    elif op == "sentiment":
        fields |= {"symbol": rng.choice((symbol, "*")), "score": rng.uniform(0, 100)}
    elif op == "features":
        fields |= {"symbol": symbol, "direction": rng.choice(("BUY", "SELL", None))}
    return fields


def signal(rng: random.Random, now_s: float) -> dict[str, Any]:
    """A valid signal with a random half of what it may carry."""
    entry = rng.uniform(0.5, 2.0)
    sign = rng.choice((1, -1))
    more: dict[str, Any] = {
        "signal_id": f"S{rng.randrange(500)}",
        "direction": "BUY" if sign > 0 else "SELL",
        "pattern": "ORDER_BLOCK_BOUNCE",
        "entry_price": entry,
        "stop_loss": entry * (1 - sign * 0.001),
        "take_profit": entry * (1 + sign * 0.002),
        "reward_risk": rng.uniform(0.1, 5),
        "cost_r": rng.uniform(0, 1),
        "generated_at": now_s,
        "sentiment": rng.uniform(0, 100),
        "deadline_ms": rng.uniform(1, 1000),
        "explain": rng.random() < 0.5,
        "timeframe_data": {"M1": [candle(rng, now_s, at) for at in range(rng.randrange(5))]},
    }
    kept = {key: value for key, value in more.items() if rng.random() < 0.5}
    return {"symbol": rng.choice(SYMBOLS), "base_score": rng.uniform(0, 100)} | kept


def message(rng: random.Random, now_s: float) -> dict[str, Any]:
    """A valid message of the feed: mostly ticks, as it is."""
    symbol, kind = rng.choice(SYMBOLS), rng.random()
    bid = rng.uniform(1.0, 1.01)
    if rng.random() < 0.05:
        bid *= 10.0 ** rng.uniform(-300, 12)
    if kind < 0.7:
        return {
            "type": rng.choice(("tick", "TICK")),
            "symbol": symbol,
            "bid": bid,
            "ask": bid * (1 + abs(rng.gauss(0, 1e-4))) + rng.choice((0.0,) * 30 + FLOATS[:4]),
            "spread": 1.2,
            "volume": rng.choice((0, 0, rng.expovariate(1.0), 10.0 ** rng.uniform(-300, 15))),
            "timestamp": now_s,
        }
    if kind < 0.85:
        fields = candle(rng, now_s, rng.randrange(300))
        return {"type": "OHLC", "symbol": symbol, "timeframe": rng.choice(TIMEFRAMES)} | fields
    if kind < 0.95:
        batch = {name: [candle(rng, now_s, at) for at in range(4)] for name in ("M1", "M5", "M15")}
        return {"type": "candle_batch", "symbol": symbol, "timestamp": now_s} | batch
    if kind < 0.98:
        return {"type": "sentiment", "symbol": symbol, "score": rng.uniform(0, 100)}
    return {"type": rng.choice(("heartbeat", "HELLO", "status", "pong", f"T{rng.random()}"))}


def candle(rng: random.Random, now_s: float, minutes_ago: int) -> dict[str, Any]:
    low = rng.uniform(1.0, 1.01)
    body = [low + rng.uniform(0, 0.001) for _ in range(2)]
    opened = (int(now_s) // 60 - minutes_ago) * 60
    return {"time": opened, "open": body[0], "high": low + 0.002, "low": low, "close": body[1]}


def mangled(rng: random.Random, content: bytes) -> bytes:
    """One to four of: a bit, a byte, a cut, a piece taken out, doubled or put in."""
    found = bytearray(content)
    for _ in range(rng.randrange(1, 5)):
        if not found:
            return rng.randbytes(3)
        at, how = rng.randrange(len(found)), rng.randrange(7)
        end = min(len(found), at + rng.randrange(1, 9))
        if how == 0:
            found[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            found[at] = rng.choice(
                (0, 0x7F, 0x80, 0xC0, 0xC1, 0xDD, 0xDF, 0xFF, rng.randrange(256))
            )
        elif how == 2:
            del found[at:]
        elif how == 3:
            del found[at:end]
        elif how == 4:
            found[at:at] = found[at:end]
        elif how == 5:
            found[at:at] = rng.randbytes(rng.randrange(1, 9))
        else:
            found[at:at] = struct.pack(">d", rng.choice(FLOATS + NOT_FINITE))
    return bytes(found)


def structure(rng: random.Random, depth: int) -> Any:
    """Any value that msgpack can hold, a few levels deep."""
    kind = rng.randrange(11 if depth < 4 else 8)
    if kind in (6, 7, 10) and rng.random() < 0.8:
        kind = rng.randrange(4)  # what no request may hold at all, less often
    if kind == 0:
        return rng.choice((None, True, False))
    if kind == 1:
        return rng.choice(INTEGERS)
    if kind == 2:
        return rng.choice(FLOATS + NOT_FINITE)
    if kind == 3:
        return rng.choice(WORDS)
    if kind == 4:
        return "".join(
            chr(rng.choice((0, 10, 65, 0xFFFD, 0x1F600))) for _ in range(rng.randrange(6))
        )
    if kind == 5:
        return "x" * rng.choice((63, 64, 65, 128, 129, MAX_STRING, MAX_STRING + 1))
    if kind == 6:
        return rng.randbytes(rng.randrange(4))
    if kind == 7:
        return msgpack.ExtType(rng.randrange(128), rng.randbytes(rng.randrange(9)))
    if kind == 8:
        return [structure(rng, depth + 1) for _ in range(rng.randrange(5))]
    if kind == 9:
        keys = (*WORDS, "v", "op", "id", "symbol", "base_score", "signals", "M1", 1, None, 2.5)
        return {rng.choice(keys): structure(rng, depth + 1) for _ in range(rng.randrange(5))}
    nested: Any = []
    for _ in range(rng.choice((1, MAX_DEPTH, MAX_DEPTH + 1, 600))):
        nested = [nested] if rng.random() < 0.5 else {"a": nested}
    return nested


def _changed(rng: random.Random, fields: dict[str, Any]) -> dict[Any, Any]:
    """The same with one or two values, keys or elements that do not belong there."""
    found: dict[Any, Any] = dict(fields)
    for _ in range(rng.randrange(1, 3)):
        inner: Any = found
        while True:
            options = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
            if not options:
                break
            key = rng.choice(options)
            if isinstance(inner[key], dict | list) and rng.random() < 0.7:
                inner = inner[key]
                continue
            how = rng.random()
            if how < 0.75:
                inner[key] = structure(rng, 2)
            elif how < 0.9:
                del inner[key]
            elif isinstance(inner, dict):
                inner[structure(rng, 4) if rng.random() < 0.2 else "extra"] = structure(rng, 2)
            break
    return found


def _packed(value: Any) -> bytes:
    try:
        return msgpack.packb(value)
    except (TypeError, ValueError):
        return b"\x80"


def _written(rng: random.Random, fields: dict[str, Any]) -> bytes:
    """As a bridge writes it: some with a prefix, some with MQL's NUL at the end."""
    word = str(fields.get("type", "tick"))
    prefix = rng.choice((b"", b"", b"", word.encode(errors="replace") + b" ", b"tick ", b"OHLC "))
    return prefix + _json(fields) + rng.choice((b"", b"", b"\0", b"\r\n"))


def _json(value: Any) -> bytes:
    try:
        text = json.dumps(value, default=repr)
    except (TypeError, ValueError, RecursionError):
        return b"{"
    if value and len(text) < 400 and len(text) % 17 == 0:
        text = text.replace('"E', '"\\ud800E', 1).replace("1.", "1e999", 1)
    return text.encode()


def _at_the_limit(rng: random.Random) -> bytes:
    """Sizes and depths around what is read."""
    kind = rng.randrange(5)
    size = MAX_BODY_BYTES + rng.choice((-40, -1, 0, 1))
    if kind == 0:
        return bytes(size)
    if kind == 1:
        return b'{"type":"tick","x":"' + b"y" * size + b'"}'
    if kind == 2:
        return rng.choice((b"\x91", b"\x81\xa1a", b"[", b'{"a":')) * rng.choice((600, 60_000))
    if kind == 3:
        many = {f"k{i}": i for i in range(MAX_MAP + rng.choice((-9, 0, 1)))}
        return _packed({"v": 1, "op": "health"} | many)
    signals = [signal(rng, 0.0) for _ in range(MAX_ARRAY + rng.choice((-1, 0, 1)))]
    return _packed({"v": 1, "op": "score_many", "signals": signals})
