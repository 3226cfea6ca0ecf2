"""From a frame of the feed to its symbol's state, or to a counted refusal.

Every message leaves by exactly one door: it is applied, or one counter with the reason
goes up; the counters therefore add up to the messages received. Pure: the receive time is
an argument, and the clock offset is learnt from stamps and receive times alone.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from protocol.ea_feed import Candle, Candles, SentimentUpdate, Skipped, Tick, parse
from service.clock_offset import ClockOffset
from service.features.state import Sentiment, SymbolState

RESTART_AFTER_LATE = 50
"""A symbol that gets nothing but late ticks, which advance among themselves, begins anew
from them: at once where they run faster than the wall (a recording played again), after
RESTART_AFTER_S otherwise, so that a clock offset that changed is found first."""
RESTART_AFTER_S = 60.0

RESTORED = ("", "")
"""The source of a symbol that was restored and has not been heard of since."""

SENTIMENT_HALF_LIFE_S = 3600.0
"""Where the sender of a sentiment names none."""


@dataclass(slots=True)
class Endpoint:
    """One feed socket: how its stamps and its volumes are to be read."""

    name: str
    volume_is_deal: bool
    clock: ClockOffset
    seen_s: float = float("-inf")
    epoch: int = 0


@dataclass(slots=True)
class SymbolFeed:
    """What a symbol's next tick is compared with, beside the state its features read."""

    state: SymbolState
    source: tuple[str, str]
    seen_s: float
    bid: float = 0.0
    ask: float = 0.0
    stamp_s: float = float("-inf")
    volume: float = 0.0
    event_s: float = float("-inf")
    seen_stamp_s: float = float("-inf")
    late_run: int = 0
    late_stamp_s: float = 0.0
    late_since_s: float = 0.0
    ticks: int = 0


class Fault(NamedTuple):
    """A tick that could not be applied, for the log and for giving up."""

    at_s: float
    symbol: str
    error: str


@dataclass(slots=True)
class Limits:
    """`symbols` at most, of which one idle for `symbol_idle_s` makes room for another.

    A source that was silent for `silence_s` loses its symbol to the next one.
    """

    symbols: int = 512
    symbol_idle_s: float = 3600.0
    silence_s: float = 30.0


@dataclass(slots=True)
class Intake:
    """All symbols and the rules that a message must pass to reach them."""

    limits: Limits
    suffixes: tuple[str, ...] = ()
    symbol_map: Mapping[str, str] = field(default_factory=dict)
    feeds: dict[str, SymbolFeed] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    faults: deque[Fault] = field(default_factory=lambda: deque(maxlen=100))
    event_s: float | None = None
    event_receive_s: float = 0.0
    sentiments: OrderedDict[str, Sentiment] = field(default_factory=OrderedDict)

    def now(self, receive_time_s: float) -> float:
        """Event time now: the newest stamp plus what has passed since it was received."""
        if self.event_s is None:
            return receive_time_s
        return self.event_s + max(0.0, receive_time_s - self.event_receive_s)

    def on_frame(self, endpoint: Endpoint, frame: bytes, receive_time_s: float) -> None:
        """Parse one frame and apply what is in it. Never raises for what a sender sent."""
        endpoint.seen_s = receive_time_s
        message = parse(frame)
        if type(message) is Tick:
            self.on_tick(endpoint, message, receive_time_s)
        elif isinstance(message, Candles):
            for candle in message.candles:
                self.on_candle(endpoint, candle, receive_time_s)
        elif isinstance(message, Candle):
            self.on_candle(endpoint, message, receive_time_s)
        elif isinstance(message, SentimentUpdate):
            self.set_sentiment(
                message.symbol,
                message.score,
                message.half_life_s or SENTIMENT_HALF_LIFE_S,
                self.now(receive_time_s),
            )
        elif isinstance(message, Skipped):
            self._skip(message.kind)

    def on_tick(self, endpoint: Endpoint, tick: Tick, receive_time_s: float) -> None:
        """Apply a tick to its symbol, or count why not."""
        if tick.bid <= 0.0 or tick.ask < tick.bid:
            self.counts["tick_crossed" if tick.bid > 0.0 < tick.ask else "tick_non_positive"] += 1
            return
        source = (endpoint.name, tick.node_id)
        feed = self.feeds.get(self.canonical(tick.symbol))
        if feed is None:
            feed = self._admit(self.canonical(tick.symbol), source, receive_time_s)
            if feed is None:
                self.counts["tick_symbol_limit"] += 1
                return
        elif feed.source != source and not self._take_over(feed, source, receive_time_s):
            self.counts["tick_other_source"] += 1
            return
        advancing = tick.stamp_s > feed.seen_stamp_s
        goes_back = tick.stamp_s < feed.seen_stamp_s
        feed.seen_stamp_s = tick.stamp_s
        endpoint.clock.observe(tick.stamp_s, receive_time_s, advancing)
        if goes_back:
            feed.late_run = 0
        if endpoint.clock.epoch != endpoint.epoch:
            self._begin_anew(endpoint)
        feed.seen_s = receive_time_s
        self._apply(endpoint, feed, tick, receive_time_s)

    def _apply(
        self, endpoint: Endpoint, feed: SymbolFeed, tick: Tick, receive_time_s: float
    ) -> None:
        event_s = tick.stamp_s - endpoint.clock.offset_s
        if endpoint.clock.is_future(tick.stamp_s, receive_time_s):
            self.counts["tick_future"] += 1
            return
        if event_s < feed.event_s and not self._restarts(feed, tick, receive_time_s):
            self.counts["tick_late"] += 1
            return
        same_stamp = tick.stamp_s == feed.stamp_s
        deal = tick.volume > 0.0 and (
            endpoint.volume_is_deal or not same_stamp or tick.volume != feed.volume
        )
        if same_stamp and not deal and tick.bid == feed.bid and tick.ask == feed.ask:
            feed.state.observe(event_s)
            self.counts["tick_repeat"] += 1
            return
        feed.bid, feed.ask, feed.stamp_s, feed.volume = (
            tick.bid,
            tick.ask,
            tick.stamp_s,
            tick.volume,
        )
        feed.event_s = event_s
        feed.late_run = 0
        feed.ticks += 1
        try:
            feed.state.apply_tick(event_s, tick.bid, tick.ask, tick.volume if deal else 0.0)
        except Exception as error:  # a fault of ours costs this symbol's history, not the others'
            self._forget(feed)
            self.counts["tick_fault"] += 1
            self.faults.append(Fault(receive_time_s, feed.state.symbol, repr(error)[:300]))
            return
        self.counts["tick_accepted"] += 1
        if self.event_s is None or event_s > self.event_s:
            self.event_s = event_s
            self.event_receive_s = receive_time_s

    def on_candle(self, endpoint: Endpoint, candle: Candle, receive_time_s: float) -> None:
        """Let an ended M1 candle in where own ticks have not made that bar."""
        if candle.timeframe != "M1":
            self.counts["candle_other_timeframe"] += 1
            return
        symbol = self.canonical(candle.symbol)
        feed = self.feeds.get(symbol)
        if feed is None:
            feed = self._admit(symbol, (endpoint.name, candle.node_id), receive_time_s)
        if feed is None:
            self.counts["candle_symbol_limit"] += 1
            return
        opened_s = candle.stamp_s - endpoint.clock.offset_s
        if opened_s % 60 or opened_s + 60 > self.now(receive_time_s):
            self.counts["candle_not_ended"] += 1
            return
        added = feed.state.add_candle(
            int(opened_s) // 60, candle.open, candle.high, candle.low, candle.close
        )
        self.counts["candle_accepted" if added else "candle_duplicate"] += 1

    def set_sentiment(self, symbol: str, score: float, half_life_s: float, now: float) -> None:
        """A new external value for a symbol, also one without ticks yet, or `*` for all."""
        symbol = self.canonical(symbol)
        self.sentiments.pop(symbol, None)
        self.sentiments[symbol] = Sentiment(score, now, half_life_s)
        while len(self.sentiments) > self.limits.symbols + 1:
            self.sentiments.popitem(last=False)
        for name, feed in self.feeds.items():
            if symbol in ("*", name):
                feed.state.sentiment = self.sentiments[symbol]

    def sentiment(self, symbol: str) -> Sentiment | None:
        """The newest external value that holds for a symbol."""
        own, common = self.sentiments.get(symbol), self.sentiments.get("*")
        if own is None or common is None:
            return own or common
        return own if own.at_s >= common.at_s else common

    def canonical(self, symbol: str) -> str:
        """The name under which a broker's symbol is kept (`EURUSD.r` -> `EURUSD`)."""
        if self.symbol_map and symbol in self.symbol_map:
            return self.symbol_map[symbol]
        for suffix in self.suffixes:
            if symbol.endswith(suffix) and len(symbol) > len(suffix):
                return symbol[: -len(suffix)]
        return symbol

    def restore(self, state: SymbolState, receive_time_s: float) -> None:
        """Take a symbol back from before a restart; the first source that speaks holds it."""
        state.sentiment = self.sentiment(state.symbol)
        self.feeds[state.symbol] = SymbolFeed(state, RESTORED, receive_time_s)

    def live(self, receive_time_s: float, within_s: float) -> Iterator[SymbolFeed]:
        """The symbols whose feed spoke within the last `within_s` seconds."""
        return (feed for feed in self.feeds.values() if receive_time_s - feed.seen_s <= within_s)

    def _admit(
        self, symbol: str, source: tuple[str, str], receive_time_s: float
    ) -> SymbolFeed | None:
        if len(self.feeds) >= self.limits.symbols:
            idlest = min(self.feeds, key=lambda name: self.feeds[name].seen_s)
            if receive_time_s - self.feeds[idlest].seen_s < self.limits.symbol_idle_s:
                return None
            del self.feeds[idlest]
            self.counts["symbol_evicted"] += 1
        state = SymbolState(symbol)
        state.sentiment = self.sentiment(symbol)
        feed = self.feeds[symbol] = SymbolFeed(state, source, receive_time_s)
        return feed

    def _take_over(self, feed: SymbolFeed, source: tuple[str, str], receive_time_s: float) -> bool:
        """One source a symbol: another one only after the first has been silent."""
        if feed.source == RESTORED:
            feed.source = source
            return True
        if receive_time_s - feed.seen_s <= self.limits.silence_s:
            return False
        feed.source = source
        feed.stamp_s = feed.event_s = float("-inf")
        feed.state.reset_short_windows(self.now(receive_time_s))
        self.counts["source_takeover"] += 1
        return True

    def _restarts(self, feed: SymbolFeed, tick: Tick, receive_time_s: float) -> bool:
        if feed.late_run == 0:
            feed.late_stamp_s, feed.late_since_s = tick.stamp_s, receive_time_s
        feed.late_run += 1
        waited_s = receive_time_s - feed.late_since_s
        outruns_the_wall = tick.stamp_s - feed.late_stamp_s > 2.0 * waited_s + 5.0
        if feed.late_run <= RESTART_AFTER_LATE or not (
            outruns_the_wall or waited_s > RESTART_AFTER_S
        ):
            return False
        self._forget(feed)
        self.event_s = None
        self.counts["symbol_restarted"] += 1
        return True

    def _begin_anew(self, endpoint: Endpoint) -> None:
        """The endpoint's earlier event times are not comparable with what follows."""
        endpoint.epoch = endpoint.clock.epoch
        for feed in self.feeds.values():
            if feed.source[0] == endpoint.name:
                self._forget(feed)
                feed.event_s = float("-inf")
        self.event_s = None
        self.counts["offset_reset"] += 1

    def _forget(self, feed: SymbolFeed) -> None:
        feed.state.reset()
        feed.state.sentiment = self.sentiment(feed.state.symbol)

    def _skip(self, kind: str) -> None:
        # The kinds come from outside: the table of their names is bounded.
        known = kind in self.skipped or len(self.skipped) < 64
        self.skipped[kind if known else "other"] += 1
