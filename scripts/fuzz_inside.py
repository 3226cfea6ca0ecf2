"""A million hostile frames and a million hostile feed messages through the service's own parts.

    .venv/bin/python -W error scripts/fuzz_inside.py [--frames N] [--messages N] [--seed 1]

In process, on a clock turned by hand: requests through the Responder with a model and a
journal, feed messages through the Intake, housekeeping in between. What must hold: nothing is
raised; each body gets one reply that a client can read, `ok` or a known code, never
`internal`, with its `id` and, for a score, its base score; the journal has no fault; every
feed message leaves by a counted door, none as a fault; every vector stays finite.
Exit code 1 where something did not hold; what was sent is then printed.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import math
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import structlog

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from fuzz_inputs import SYMBOLS, feed_messages, requests
from serving import START_S, Parts, history, published_model, tick

from protocol import codec
from protocol.errors import DecodeError
from protocol.limits import MAX_BODY_BYTES, MAX_MESSAGE_BYTES
from service.housekeeping import TooManyFaults
from service.responder import Waiting

ROUND = 50_000
"""So many with the same parts; then they begin anew with an empty journal."""
REFUSALS = {"malformed", "too_large", "unsupported_version", "unknown_op", "invalid_field"}
SHOWN = 10


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--frames", type=int, default=1_000_000)
    options.add_argument("--messages", type=int, default=1_000_000)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    quiet = structlog.make_filtering_bound_logger(logging.ERROR)
    structlog.configure(wrapper_class=quiet)
    found: list[str] = []
    for name, total, run in (
        ("frames", given.frames, fuzz_frames),
        ("feed messages", given.messages, fuzz_messages),
    ):
        counts: Counter[str] = Counter()
        begun_s = time.monotonic()
        for at in range(0, total, ROUND):
            with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
                count = min(ROUND, total - at)
                run(Path(folder), random.Random(given.seed + at), count, counts, found)
        took_s = time.monotonic() - begun_s
        print(f"{total} {name} in {took_s:.0f} s ({total / took_s:.0f}/s)")
        for word, count in counts.most_common():
            print(f"{count:>9}  {word}")
    print(f"{len(found)} findings")
    for one in found[:SHOWN]:
        print(one)
    sys.exit(1 if found else 0)


def parts_for(folder: Path, rng: random.Random) -> Parts:
    """The service's parts, warm, some with a model and some that learn the feed's clock."""
    offset = rng.choice(("0", "auto"))
    parts = Parts(folder, FEED_CLOCK_OFFSET=offset, LIMITS_SYMBOLS=str(rng.choice((24, 512))))
    if rng.random() < 0.8:
        parts.engine.install(published_model(folder / "models", START_S))
    parts.journal.open()
    parts.feed(*history(tuple(SYMBOLS), START_S))
    return parts


def batches(inputs: Iterator[bytes], rng: random.Random, count: int) -> Iterator[list[bytes]]:
    """`count` of them, as many together as happen to wait."""
    left = count
    while left:
        size = min(left, rng.choice((1, 1, 7, 64)))
        yield list(itertools.islice(inputs, size))
        left -= size


def fuzz_frames(
    folder: Path, rng: random.Random, count: int, counts: Counter[str], found: list[str]
) -> None:
    parts = parts_for(folder, rng)
    for bodies in batches(requests(rng, START_S), rng, count):
        waiting = [Waiting(body, parts.clock.monotonic_s()) for body in bodies]
        try:
            replies = parts.responder.answer(waiting)
            if rng.random() < 0.02:
                replies = [parts.responder.refuse(body, "overloaded", "test") for body in bodies]
        except Exception as fault:
            found.append(f"raised {fault!r} for {bodies!r:.2000}")
            continue
        if len(replies) != len(bodies):
            found.append(f"{len(replies)} replies to {len(bodies)} bodies")
        for body, reply in zip(bodies, replies, strict=False):
            wrong = judged(body, reply, counts) or read_otherwise(body, counts)
            if wrong:
                found.append(f"{wrong}: {body!r:.1500} -> {reply!r:.500}")
        if parts.journal.fault:
            found.append(f"journal: {parts.journal.fault} after {bodies!r:.2000}")
            parts.journal.recover(parts.clock.utc_s())
        turn(parts, rng.choice((0.0, 0.001, 0.2)), found)
        if rng.random() < 0.02:
            now_s = parts.clock.utc_s()
            parts.feed(*(tick(name, now_s, 1.1 + rng.random() * 1e-3) for name in SYMBOLS))
    parts.journal.close()


def judged(body: bytes, reply: bytes, counts: Counter[str]) -> str | None:
    """What is wrong with a reply; None where nothing is."""
    try:
        answer = codec.unpack(reply, max_bytes=MAX_MESSAGE_BYTES)
    except DecodeError as error:
        return f"no client reads it ({error})"
    asked = understood(body)
    if answer.get("v") != 1:
        return "no version"
    if asked is not None and echoable(asked.get("id")) and answer.get("id") != asked["id"]:
        return "not its id"
    if answer["ok"] is True:
        counts[f"ok {answer.get('status', '')}".strip()] += 1
        return None
    code = answer["error"]["code"]
    counts[code] += 1
    if code not in REFUSALS | {"overloaded"}:
        return f"refused as {code}"
    base = asked.get("base_score") if asked is not None and asked.get("op") == "score" else None
    if type(base) is float and 0 <= base <= 100 and answer.get("fallback") != base:
        return "no base score to go on with"
    return None


def read_otherwise(body: bytes, counts: Counter[str]) -> str | None:
    """Whether a score that is read the short way means something else by the long one."""
    quick = codec._usual_score(body)
    if quick is None:
        return None
    counts["read the short way"] += 1
    try:
        slow = codec._any_request(body)
    except DecodeError:
        return "refused by the long way"
    same = msgspec.msgpack.encode(quick) == msgspec.msgpack.encode(slow)
    return None if same else "read otherwise by the long way"


def understood(body: bytes) -> dict[Any, Any] | None:
    """The map that a frame holds, read by the codec's own bounds but nothing else of it."""
    if len(body) > MAX_BODY_BYTES:
        return None
    try:
        return codec.unpack(body)
    except (DecodeError, ValueError, msgpack.UnpackException):
        return None


def echoable(value: Any) -> bool:
    return type(value) is int or (isinstance(value, str) and len(value) <= 64)


def fuzz_messages(
    folder: Path, rng: random.Random, count: int, counts: Counter[str], found: list[str]
) -> None:
    parts = parts_for(folder, rng)
    intake = parts.engine.intake
    for frames in batches(feed_messages(rng, START_S), rng, count):
        before = intake.faulted
        try:
            parts.feed(*frames)
        except Exception as fault:
            found.append(f"raised {fault!r} for {frames!r:.2000}")
        if intake.faulted > before:
            found.append(f"{intake.faults[-1]} for {frames!r:.2000}")
        turn(parts, 0.01 * len(frames), found)
        if rng.random() < 0.01:
            found += not_finite(parts)
    out = sum(intake.counts.values()) + sum(intake.skipped.values())
    if out != intake.received:
        found.append(f"{intake.received} received, {out} counted")
    if len(intake.feeds) > parts.config.limits.symbols or len(intake.skipped) > 65:
        found.append(f"{len(intake.feeds)} symbols, {len(intake.skipped)} kinds")
    counts.update(intake.counts)
    counts.update({f"skipped {kind}": n for kind, n in intake.skipped.items()})
    counts.update(intake.changes)
    parts.journal.close()


def not_finite(parts: Parts) -> list[str]:
    """Symbols whose vector holds what no model should see."""
    found = []
    for symbol in list(parts.engine.intake.feeds)[:64]:
        for direction in ("BUY", "SELL", None):
            answer = parts.ask("features", symbol=symbol, direction=direction)
            if not answer["ok"]:
                found.append(f"features of {symbol}: {answer}")
            elif not all(math.isfinite(value) for value in answer["features"].values()):
                found.append(f"{symbol}: {answer['features']}")
    return found


def turn(parts: Parts, seconds: float, found: list[str]) -> None:
    """Let time pass and the housekeeping do what is due."""
    parts.clock.advance(seconds)
    try:
        parts.housekeeping.turn()
    except TooManyFaults as fault:
        found.append(f"would end: {fault}")


if __name__ == "__main__":
    main()
