"""Vectors and answers, worked out once: for each state of a symbol, for each vector and model.

The rule: nothing kept here is ever another value than working it out anew would give. A kept
vector is dropped when its symbol's state, the whole second of now or any closed bar changes; a
correlation when a closed bar of the symbols in it does, or when others are in it; an answer when
the vector or the model does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from service.features.bars import MAX_MISSING_MINUTES
from service.features.correlation import by_activity, compared, independence
from service.features.state import MinuteReturns, SymbolState
from service.features.vector import Vector, compute_vector
from service.feed.intake import Intake
from service.feed.kept import Kept
from service.feed.symbol_feed import SymbolFeed
from service.model.model import Model, Probability

MOST_ANSWERS = 256
"""Base scores that a vector is kept with."""


class KeptCorrelation(msgspec.Struct):
    """The last correlation of a symbol, of these returns, and when they were last looked at."""

    key: tuple[int, int]
    series: list[MinuteReturns]
    value: float | None


class Vectors:
    """All features as of a moment. `counts` gets hits and misses."""

    def __init__(self, intake: Intake, counts: Counter[str]) -> None:
        self._intake = intake
        self._counts = counts
        self._correlations: dict[str, KeptCorrelation] = {}
        self._correlation_key = (0, 0)
        self._live: list[SymbolState] = []

    def vector(
        self,
        feed: SymbolFeed | None,
        symbol: str,
        now_s: float,
        direction: int,
        base_score: float,
    ) -> Vector:
        """The vector of a symbol at a moment; without a feed only what needs no tick."""
        if feed is None:
            state = SymbolState(symbol)
            state.sentiment = self._intake.sentiment(symbol)
            return compute_vector(state, int(now_s), direction, base_score, None)
        kept = self._keep(feed, now_s, direction, base_score)
        self._counts["vector_miss" if kept.is_new else "vector_hit"] += 1
        kept.is_new = False
        values = kept.vector.values
        if values[-1] == base_score:
            return kept.vector
        vector = kept.vector
        return Vector((*values[:-1], base_score), vector.missing, vector.volume_source)

    def forget_answers(self) -> None:
        """Another model answers from now on."""
        for feed in self._intake.feeds.values():
            for kept in feed.kept.values():
                kept.answers, kept.prefetched = {}, {}

    def prefetch(
        self, asked: Iterable[tuple[SymbolFeed, int, float]], now_s: float, model: Model
    ) -> None:
        """Ask the model at once about each feed, direction and base score that comes now.

        A signal whose vector is another by then is asked about on its own, like any.
        """
        wanted: list[tuple[Kept, float]] = []
        rows: list[tuple[float, ...]] = []
        for feed, direction, base_score in asked:
            kept = self._keep(feed, now_s, direction, base_score)
            if base_score not in kept.answers and base_score not in kept.prefetched:
                wanted.append((kept, base_score))
                rows.append((*kept.vector.values[:-1], base_score))
        if not rows:
            return
        found = model.probabilities(rows)
        for (kept, base_score), probability in zip(wanted, found, strict=True):
            kept.prefetched[base_score] = probability

    def answer(self, feed: SymbolFeed, direction: int, vector: Vector, model: Model) -> Probability:
        """What the model says of the vector that `vector` gave last for this symbol."""
        kept = feed.kept[direction]
        base_score = vector.values[-1]
        known = kept.answers.get(base_score)
        if known is not None:
            self._counts["model_hit"] += 1
            return known
        self._counts["model_miss"] += 1
        probability = kept.prefetched.pop(base_score, None)
        if probability is None:
            probability = model.probability(vector.values)
        if len(kept.answers) >= MOST_ANSWERS:
            kept.answers.clear()
        kept.answers[base_score] = probability
        return probability

    def _keep(self, feed: SymbolFeed, now_s: float, direction: int, base_score: float) -> Kept:
        """What is kept of a symbol and direction, made anew where it is of another moment."""
        key = (feed.state.revision, int(now_s), self._intake.revision)
        kept = feed.kept.get(direction)
        if kept is None or kept.key != key:
            correlation = self._correlation(feed, now_s)
            # Looking at all symbols' bars may have closed one of this one's.
            key = (feed.state.revision, int(now_s), self._intake.revision)
            vector = compute_vector(feed.state, int(now_s), direction, base_score, correlation)
            kept = feed.kept[direction] = Kept(key, vector)
        return kept

    def _correlation(self, feed: SymbolFeed, now_s: float) -> float | None:
        key, feeds = (int(now_s) // 60, self._intake.revision), self._intake.feeds
        if key != self._correlation_key:
            # Returns are of a minute; symbols that are gone must not pile up within one.
            if key[0] != self._correlation_key[0] or len(self._correlations) > len(feeds):
                self._correlations.clear()
            self._correlation_key = key
            live = [f.state for f in feeds.values() if _is_live(f.state, now_s)]
            self._live = by_activity(live, key[0])
        symbol = feed.state.symbol
        kept = self._correlations.get(symbol)
        if kept is None or kept.key != key:
            series = compared(feed.state, self._live, key[0])
            if kept is None or kept.series != series:
                self._counts["correlation_miss"] += 1
                value = independence(series)
                kept = self._correlations[symbol] = KeptCorrelation(key, series, value)
                return value
            kept.key = key
        self._counts["correlation_hit"] += 1
        return kept.value


def _is_live(state: SymbolState, now_s: float) -> bool:
    """Whether its newest run of bars reaches to now: a matter of bars alone, like the value."""
    state.roll(now_s)
    minutes = state.bars.minutes
    return bool(minutes) and int(now_s) // 60 - minutes[-1] <= MAX_MISSING_MINUTES + 1
