"""Streams recorded markets through the real intake and compares its vectors with the oracle.

The rule: the stream sees one message after another, the oracle all of them at once, and they
share nothing but the files. Moments are random, directions and delays of *now* too.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from oracles.feature_oracle import NEUTRAL, FeatureOracle, MarketOracle, sentiment_at
from oracles.recordings import by_symbol, quotes_of

from protocol.ea_feed import Tick
from protocol.schema import FEATURE_NAMES
from service.feed.clock_offset import ClockOffset
from service.feed.intake import Intake
from service.feed.symbol_feed import Endpoint, SymbolLimits
from service.recording.market_files import MarketAccount, read_market
from service.vectors import Vectors

BASE_SCORE = 70.0
HALF_LIFE_S = 600.0
AHEAD_S = (0.0, 0.0, 0.0, 1.0, 20.0)
"""How long after the newest message a vector is asked for."""


@dataclass
class Comparison:
    """What was compared: by feature, how often it was present, and the largest difference.

    `worst` is relative to the oracle's value (absolute where that is below 1).
    """

    ticks: int = 0
    moments: int = 0
    symbols: int = 0
    present: Counter[str] = field(default_factory=Counter)
    worst: dict[str, float] = field(default_factory=lambda: dict.fromkeys(FEATURE_NAMES, 0.0))
    disagreements: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


@dataclass
class Opinion:
    """The newest sentiment given to every symbol."""

    score: float
    given_s: float


class Stream:
    """The service's side: intake and vectors, without a socket or a clock."""

    def __init__(self) -> None:
        self.intake = Intake(SymbolLimits())
        self.endpoint = Endpoint("recorded", True, ClockOffset(0.0))
        self.vectors = Vectors(self.intake, Counter())

    def vector(self, symbol: str, receive_s: float, direction: int) -> tuple[int, dict, tuple]:
        """Second of now, values by name, names of the missing."""
        now_s = self.intake.time.now(receive_s)
        self.intake.roll(now_s)
        feed = self.intake.feeds.get(symbol)
        vector = self.vectors.vector(feed, symbol, now_s, direction, BASE_SCORE)
        values = dict(zip(FEATURE_NAMES, vector.values, strict=True))
        return int(now_s), values, vector.missing


def compare(paths: Sequence[Path], moments: int, seed: int, ticks: int | None = None) -> Comparison:
    """Stream the files, merged by time, and compare at random moments.

    `ticks`: only the first so many rows.
    """
    quotes = quotes_of(paths, ticks)
    rows = by_symbol(quotes)
    del quotes
    oracles = {name: FeatureOracle(of_symbol.recording) for name, of_symbol in rows.items()}
    market = MarketOracle(oracles)
    rng = np.random.default_rng(seed)
    stream, result, opinion = Stream(), Comparison(symbols=len(rows)), None
    messages = list(islice(_messages(paths), ticks))
    asked = set(rng.choice(len(messages), min(moments, len(messages)), replace=False).tolist())
    receive_s = asked_s = 0.0
    for row, tick in enumerate(messages, start=1):
        receive_s = max(receive_s, tick.stamp_s)
        stream.intake.on_tick(stream.endpoint, tick, receive_s)
        if row - 1 not in asked:
            continue
        if rng.random() < 0.3:
            opinion = Opinion(float(rng.uniform(0, 100)), stream.intake.time.now(receive_s))
            stream.intake.set_sentiment("*", opinion.score, HALF_LIFE_S, opinion.given_s)
        # Now never goes back, though messages may well come that are behind it.
        asked_s = max(asked_s, receive_s + float(rng.choice(AHEAD_S)))
        symbol = str(rng.choice(sorted(stream.intake.feeds)))
        direction = int(rng.integers(-1, 2))
        now_s, values, missing = stream.vector(symbol, asked_s, direction)
        counts = {name: of_symbol.ticks_before(row) for name, of_symbol in rows.items()}
        expected = oracles[symbol].at(counts[symbol], now_s, direction)
        expected["correlation_check"] = market.correlation(symbol, counts, now_s)
        expected["base_score"] = BASE_SCORE
        expected["sentiment_score"] = (
            sentiment_at(now_s, opinion.score, opinion.given_s, HALF_LIFE_S) if opinion else None
        )
        _judge(result, f"row {row} {symbol} at {now_s}", expected, values, missing)
    result.ticks, result.counts = len(messages), stream.intake.counts
    return result


def _judge(
    result: Comparison,
    where: str,
    expected: dict[str, float | None],
    values: dict[str, float],
    missing: tuple[str, ...],
) -> None:
    result.moments += 1
    for name in FEATURE_NAMES:
        wanted = expected[name]
        if (wanted is None) != (name in missing):
            result.disagreements.append(f"{where}: {name} is {values[name]}, expected {wanted}")
            continue
        if wanted is None:
            if values[name] != NEUTRAL[name]:
                result.disagreements.append(f"{where}: {name} is missing but not neutral")
            continue
        result.present[name] += 1
        error = abs(values[name] - wanted) / max(abs(wanted), 1.0)
        result.worst[name] = max(result.worst[name], error)
        if not error <= 1e-9:  # nor NaN
            result.disagreements.append(f"{where}: {name} is {values[name]}, expected {wanted}")


def _messages(paths: Sequence[Path]) -> Iterator[Tick]:
    """The same rows in the same order, as the service reads them."""
    streams = [read_market([path], MarketAccount()) for path in paths]
    for recorded in heapq.merge(*streams, key=lambda one: one.stamp_s):
        if isinstance(recorded.message, Tick):
            yield recorded.message
