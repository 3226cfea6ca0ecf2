"""All state of one symbol that its features read.

The rule: a tick costs O(1) and every input moves `revision`. What depends only on closed bars or
closed seconds is kept with the revision it was worked out from and worked out anew when that
has moved, never before it is asked for.
"""

from collections import deque
from math import inf

import msgspec
import numpy as np

from protocol.schema import SCHEMA
from service.arrays import Floats
from service.features.bar_facts import BarFacts, bar_facts, log_returns
from service.features.bars import MINUTE_S, Bar, Bars, DayRange
from service.features.constants import constants
from service.features.flow_facts import (
    DEALS,
    NONE,
    REFERENCE_S,
    TICKS,
    WINDOW_S,
    FlowFacts,
    flow_facts,
)
from service.features.windows import EventBuckets

OBSERVATION_GAP_S = SCHEMA.constants["observation_gap_s"]
VOLUME_SILENCE_S = SCHEMA.constants["volume_silence_s"]
RETURNS_MIN: int = constants("correlation_check")["window_min"]
_SPREAD_TICKS: int = constants("spread_quality")["ticks"]


class Sentiment(msgspec.Struct, frozen=True):
    """An external opinion, 0..100, of the time `at_s`; its distance from 50 halves with each
    `half_life_s`."""

    score: float
    at_s: float
    half_life_s: float


class MinuteReturns(msgspec.Struct, frozen=True, eq=False):
    """M1 log returns of a symbol, oldest first, shape (60,), NaN where there is none.

    `there` has a bit for each that is there: two symbols' common ones are counted at once. A
    closed bar that changes makes another one, so two are equal where they are the same object.
    """

    symbol: str
    values: Floats
    there: int


class SymbolSnapshot(msgspec.Struct, frozen=True):
    """What a warm restart keeps. The short windows are not in it: they fill by themselves."""

    symbol: str
    bars: tuple[Bar, ...]
    days: tuple[DayRange, ...]
    first_tick_s: float | None
    last_volume_s: float | None


class SymbolState:
    """Everything that is known about one symbol; times are UTC seconds and never go back.

    `mid` and `spreads` (relative, newest last) are of accepted ticks; `mid` is None again where
    candles have bridged a gap since. `observed_since_s` is when the present stretch of observation
    began, `last_seen_s` when the last tick came.
    """

    __slots__ = (
        "_bar_facts",
        "_bar_key",
        "_flow_facts",
        "_flow_key",
        "_returns",
        "_returns_key",
        "_sentiment",
        "bars",
        "buckets",
        "first_tick_s",
        "last_seen_s",
        "last_volume_s",
        "mid",
        "observed_since_s",
        "revision",
        "spreads",
        "symbol",
    )

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.revision = 0
        self._forget()

    def _forget(self) -> None:
        self.bars = Bars()
        self.buckets = EventBuckets(WINDOW_S + REFERENCE_S)
        self.spreads: deque[float] = deque(maxlen=_SPREAD_TICKS)
        self.mid: float | None = None
        self.first_tick_s: float | None = None
        self.last_volume_s: float | None = None
        self.last_seen_s = -inf
        self.observed_since_s = inf
        self._sentiment: Sentiment | None = None
        self._bar_facts: BarFacts | None = None
        self._bar_key = (0, 0)
        self._flow_facts: FlowFacts | None = None
        self._flow_key = (0, 0, NONE)
        self._returns: MinuteReturns | None = None
        self._returns_key = (0, 0)

    @property
    def sentiment(self) -> Sentiment | None:
        """The newest external value, None if there was none."""
        return self._sentiment

    @sentiment.setter
    def sentiment(self, value: Sentiment | None) -> None:
        self._sentiment = value
        self.revision += 1

    def apply_tick(self, event_time_s: float, bid: float, ask: float, deal_size: float) -> None:
        """Apply an accepted tick: not crossed, not late, not a repeat. Size 0 means no deal."""
        if event_time_s - self.last_seen_s > OBSERVATION_GAP_S:
            self._begin(event_time_s)
        self.last_seen_s = event_time_s
        second = int(event_time_s)
        buckets = self.buckets
        if second != buckets.open_second and self.first_tick_s is None:
            self.first_tick_s = event_time_s
        if deal_size > 0.0:
            self.last_volume_s = event_time_s
        buckets.add(second, deal_size)
        self.mid = mid = (bid + ask) / 2
        self.spreads.append((ask - bid) / mid)
        self.bars.add_mid(second // MINUTE_S, mid)
        self.revision += 1

    def add_candle(self, minute: int, open_: float, high: float, low: float, close: float) -> bool:
        """Take an outside M1 candle, clock-corrected and ended; False where it is refused."""
        if not self.bars.add_candle(Bar(minute, open_, high, low, close)):
            return False
        if minute * MINUTE_S - self.last_seen_s > OBSERVATION_GAP_S:
            self.mid = None  # the market has gone on from the last quote
        self.revision += 1
        return True

    def roll(self, now_s: float) -> None:
        """Close the forming bar when *now* has left its minute."""
        if self.bars.roll(int(now_s // MINUTE_S)):
            self.revision += 1

    def reset(self, kept: Bars | None = None) -> None:
        """Forget everything, as after a fault, or all but these bars of its own."""
        self.revision += 1
        first_tick_s, last_volume_s = self.first_tick_s, self.last_volume_s
        self._forget()
        if kept is not None:
            kept.forming_minute = None
            self.bars = kept
            end_s = (kept.minutes[-1] + 1) * MINUTE_S if len(kept) else 0
            if first_tick_s is not None and first_tick_s <= end_s:
                self.first_tick_s = first_tick_s
            if last_volume_s is not None and last_volume_s <= end_s:
                self.last_volume_s = last_volume_s

    def reset_short_windows(self, event_time_s: float) -> None:
        """Another source took over: observation begins anew, the bar in progress is partial."""
        self._begin(event_time_s)
        self.last_seen_s = event_time_s
        self.revision += 1

    @classmethod
    def restore(cls, snapshot: SymbolSnapshot) -> "SymbolState":
        """A state that goes on from a snapshot; the bar in progress will be partial."""
        state = cls(snapshot.symbol)
        for bar in snapshot.bars:
            state.bars.add_candle(bar)
        state.bars.restore_days(snapshot.days)
        state.first_tick_s = snapshot.first_tick_s
        state.last_volume_s = snapshot.last_volume_s
        state.revision += 1
        return state

    def settle(self, now_s: int) -> int:
        """Close every second and minute that is over by `now_s`; returns the *now* to reckon by.

        That is never before the symbol's own newest tick. Settling changes no feature: what is
        over by *now* counts as closed whether or not anybody has settled it.
        """
        buckets, bars = self.buckets, self.bars
        newest = buckets.newest
        if newest is not None and newest > now_s:
            now_s = newest
        buckets.settle(now_s)
        bars.roll(now_s // MINUTE_S)
        return now_s

    def observed_s(self, now_s: int) -> float | None:
        """Seconds of observation without a gap up to now; None in the middle of a gap."""
        if now_s - self.last_seen_s > OBSERVATION_GAP_S:
            return None
        return now_s - self.observed_since_s

    def volume_source(self, now_s: int) -> str:
        """What counts as volume: deals, ticks after an hour without any deal, none at first."""
        if self.first_tick_s is None:
            return NONE
        since = max(self.first_tick_s, self.last_volume_s or self.first_tick_s)
        return TICKS if now_s - since >= VOLUME_SILENCE_S else DEALS

    def ticks_between(self, first_s: int, last_s: int) -> int:
        """Accepted ticks of the seconds `first_s..last_s`, of the last 21 minutes as observed."""
        buckets = self.buckets
        buckets.settle(last_s + 1)
        return buckets.count(buckets.row(first_s), buckets.row(last_s + 1))

    def bar_facts(self, now_s: int) -> BarFacts:
        """The facts about closed bars; the state must be settled for `now_s`."""
        key = (self.bars.revision, now_s // MINUTE_S)
        if self._bar_facts is None or key != self._bar_key:
            self._bar_facts = bar_facts(self.bars, key[1])
            self._bar_key = key
        return self._bar_facts

    def flow_facts(self, now_s: int) -> FlowFacts:
        """The facts about closed seconds; the state must be settled for `now_s`."""
        key = (self.buckets.closed_revision, now_s, self.volume_source(now_s))
        if self._flow_facts is None or key != self._flow_key:
            self._flow_facts = flow_facts(self.buckets, key[2], now_s)
            self._flow_key = key
        return self._flow_facts

    def minute_returns(self, minute: int) -> MinuteReturns:
        """ln(c_t / c_{t-1}) of the 60 minutes t before `minute`.

        One is there where the bars of t and of the minute before it are.
        """
        self.bars.roll(minute)
        key = (self.bars.revision, minute)
        if self._returns is None or key != self._returns_key:
            values = log_returns(self.bars, minute, RETURNS_MIN)
            there = int.from_bytes(np.packbits(~np.isnan(values)).tobytes(), "big")
            self._returns = MinuteReturns(self.symbol, values, there)
            self._returns_key = key
        return self._returns

    def _begin(self, event_time_s: float) -> None:
        self.bars.begin(event_time_s)
        self.buckets.clear()
        self.spreads.clear()
        self.observed_since_s = event_time_s
