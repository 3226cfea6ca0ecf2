"""From a frame of the feed to its symbol's state, or to a counted refusal.

Every message leaves by exactly one door, its fate, and each fate is counted: the sum of
`counts` and `skipped` is `received`. Pure: the receive time is an argument, and the clock
offset is learnt from stamps and receive times alone.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from math import inf

from protocol.ea_feed import Candle, Candles, SentimentUpdate, Skipped, Tick, parse
from service.features.bars import Bar, Bars, candle_refusal, is_possible
from service.features.state import OBSERVATION_GAP_S, Sentiment, SymbolState
from service.feed.clock_offset import FUTURE_S
from service.feed.feed_time import FeedTime
from service.feed.spikes import FACTOR, LOW
from service.feed.symbol_feed import NEVER, UNHEARD, Endpoint, Fault, SymbolFeed, SymbolLimits
from service.feed.symbol_names import SymbolNames
from service.feed.terminals import Terminals
from service.paper.positions import Paper

RESTART_AFTER_LATE = 50
"""A symbol that gets nothing but late ticks, which advance among themselves, begins anew
from them: at once where they run faster than the wall (a recording of more than SENT_AGAIN_S
played again), after RESTART_AFTER_S otherwise, so that a clock offset that changed is found
first. The last quote sent again all weekend does not advance, though daylight saving has made it
late."""
RESTART_AFTER_S = 60.0
SENT_AGAIN_S = 900.0
"""Late ticks that begin no further back than this are no recording: a cache sends its last ones
again, as to each that subscribes, and they end where the symbol is. A shorter recording that is
played again at more than double speed does the same, and is not read again."""

EARLY_TOGETHER = 64
"""Candles from before the first tick that one tick lets in, which then counts as so many more: no
request waits for all of them."""

SENTIMENT_HALF_LIFE_S = 3600.0
"""Where the sender of a sentiment names none."""

_KEPT_FAULTS = 100


@dataclass(slots=True)
class Intake:
    """All symbols and the rules that a message must pass to reach them.

    `received` counts ticks, candles (each one of a batch), sentiments and all other frames;
    `counts` their fates, `skipped` the frames of other kinds, `changes` what happened to
    symbols. `revision` moves with whatever changes a bar of a minute before `rolled_s`, up to
    which all bars are closed, or the ticks that were counted there. `judges_spikes` is off where
    somebody has before.
    """

    limits: SymbolLimits
    names: SymbolNames = field(default_factory=SymbolNames)
    paper: Paper = field(default_factory=Paper)
    feeds: dict[str, SymbolFeed] = field(default_factory=dict)
    received: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)
    faulted: int = 0
    faults: deque[Fault] = field(default_factory=lambda: deque(maxlen=_KEPT_FAULTS))
    revision: int = 0
    rolled_s: float = NEVER
    time: FeedTime = field(default_factory=FeedTime)
    sentiments: OrderedDict[str, Sentiment] = field(default_factory=OrderedDict)
    judges_spikes: bool = True
    terminals: Terminals = field(init=False)
    _full_until_s: float = NEVER
    _plain: bool = field(init=False)

    def __post_init__(self) -> None:
        self.terminals = Terminals(self.limits.silence_s, self.limits.symbols)
        self._plain = self.names.plain

    def on_frame(self, endpoint: Endpoint, frame: bytes, receive_time_s: float) -> None:
        """Parse one frame and apply what is in it. Never raises for what a sender sent."""
        endpoint.seen_s = receive_time_s
        message = parse(frame)
        if type(message) is Tick:
            self.on_tick(endpoint, message, receive_time_s)
        elif isinstance(message, Candles):
            self._on_candles(endpoint, message, receive_time_s)
        elif isinstance(message, Candle):
            self.on_candle(endpoint, message, receive_time_s)
        elif isinstance(message, SentimentUpdate):
            self.received += 1
            self.counts["sentiment"] += 1
            half_life_s = message.half_life_s or SENTIMENT_HALF_LIFE_S
            now = self.time.now(receive_time_s)
            self.set_sentiment(message.symbol, message.score, half_life_s, now)
        elif isinstance(message, Skipped):
            self.received += 1
            self.skipped[message.kind] += 1

    def on_tick(self, endpoint: Endpoint, tick: Tick, receive_time_s: float) -> None:
        """Apply a tick to its symbol, or count why not."""
        self.received += 1
        try:
            fate = self._tick(endpoint, tick, receive_time_s)
        except Exception as error:  # a fault of ours costs this symbol's history, not the others'
            self._on_fault(tick.symbol, receive_time_s, error)
            fate = "tick_fault"
        self.counts[fate] += 1

    def on_candle(self, endpoint: Endpoint, candle: Candle, receive_time_s: float) -> None:
        """Let an ended M1 candle in where own ticks have not made that bar."""
        self.received += 1
        try:
            fate = self._candle(endpoint, candle, receive_time_s)
        except Exception as error:  # as for ticks
            self._on_fault(candle.symbol, receive_time_s, error)
            fate = "fault"
        self.counts[f"candle_{fate}"] += 1

    def roll(self, now_s: float) -> None:
        """Close all bars whose minute has ended by `now_s` (event time, UTC s), once a minute."""
        if not self.rolled_s <= now_s < self.rolled_s + 60.0:
            self.rolled_s = now_s // 60.0 * 60.0
            for feed in self.feeds.values():
                feed.state.roll(now_s)

    def rolled(self, receive_time_s: float) -> float:
        """*Now* (event time, UTC s), with all bars closed whose minute has ended."""
        now = self.time.now(receive_time_s)
        self.roll(now)
        return now

    def add_bar(
        self, feed: SymbolFeed, opened_s: float, ohlc: tuple[float, float, float, float], now: float
    ) -> str:
        """Give a symbol an outside M1 bar opened at `opened_s` (UTC s); returns its fate."""
        if refused := candle_refusal(opened_s, now):
            return refused
        bar = Bar(int(opened_s) // 60, *ohlc)
        if not is_possible(bar):
            return "malformed"
        if not feed.state.add_candle(*bar):
            return "duplicate"
        if feed.inherited is not None and bar.minute <= feed.inherited[0]:
            feed.inherited = None
        self.revision += 1
        return "accepted"

    def set_sentiment(self, symbol: str, score: float, half_life_s: float, now: float) -> None:
        """A new external value for a symbol, also one without ticks yet, or `*` for all."""
        symbol = self.names.canonical(symbol)
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

    def restore(self, state: SymbolState, receive_time_s: float) -> None:
        """Take a symbol back from before a restart; the first source that speaks holds it."""
        state.sentiment = self.sentiment(state.symbol)
        feed = self.feeds[state.symbol] = SymbolFeed(state, UNHEARD, receive_time_s)
        feed.inherit()
        self.revision += 1

    def clock_stepped(self, step_s: float) -> None:
        """UTC was set on by `step_s` (negative: back): receive times from before move with it.

        Those of the symbols only where it was set back: else nobody knows how old they are.
        So which of them rest is not judged by what lies before the step.
        """
        self.time.clock_stepped(step_s)
        self._full_until_s = NEVER
        self.terminals.clock_stepped(step_s)
        if step_s < 0.0:
            for feed in self.feeds.values():
                feed.set_back(step_s)

    def _tick(self, endpoint: Endpoint, tick: Tick, receive_time_s: float) -> str:
        if tick.bid <= 0.0 or tick.ask < tick.bid:
            return "tick_crossed" if tick.bid > 0.0 < tick.ask else "tick_non_positive"
        symbol = tick.symbol if self._plain else self.names.canonical(tick.symbol)
        source = sender = (endpoint.name, tick.node_id)
        if symbol != tick.symbol:  # two of a broker's names for one symbol are two sources of it
            source = (endpoint.name, f"{tick.node_id} {tick.symbol}".strip())
        feed = self.feeds.get(symbol) or self._admit(symbol, receive_time_s)
        if feed is None:
            return "tick_symbol_limit"
        if feed.source != source:
            if feed.source != UNHEARD and not self.terminals.let_go(feed, receive_time_s):
                self.terminals.heard(sender, receive_time_s)
                endpoint.tick_s = receive_time_s
                return "tick_other_source"
            if self.judges_spikes and (refused := feed.spike(tick)):
                return refused  # before it would end what the other has filled
            self._take_over(feed, source, sender, receive_time_s)
        feed.seen_s = feed.terminal.heard_s = receive_time_s
        stamp_s, clock = tick.stamp_s, endpoint.clock
        if stamp_s != feed.seen_stamp_s:
            self._observe_clock(endpoint, feed, stamp_s, receive_time_s)
        event_s = stamp_s - clock.offset_s
        # A comparison before the call: next to none are.
        if event_s > receive_time_s + FUTURE_S and clock.is_future(stamp_s, receive_time_s):
            return "tick_future"
        if event_s < feed.event_s and not self._restarts(feed, tick, event_s, receive_time_s):
            again = stamp_s == feed.stamp_s and tick.bid == feed.bid and tick.ask == feed.ask
            return "tick_repeat" if again else "tick_late"  # the clock may have moved meanwhile
        return self._apply(endpoint, feed, tick, event_s, receive_time_s)

    def _observe_clock(
        self, endpoint: Endpoint, feed: SymbolFeed, stamp_s: float, receive_time_s: float
    ) -> None:
        """A stamp unlike the one before it; the same one again says nothing of the clock."""
        before_s, feed.seen_stamp_s = feed.seen_stamp_s, stamp_s
        if stamp_s < before_s:
            feed.late_run = 0
            return
        clock = endpoint.clock
        clock.observe(stamp_s, receive_time_s, first=before_s == NEVER)
        if clock.epoch != endpoint.epoch:
            self._begin_anew(endpoint, receive_time_s)
        if clock.state != endpoint.clock_state:
            endpoint.clock_state = clock.state
            if clock.state == "live":
                self._forget_future(endpoint, receive_time_s)
        if endpoint.early and clock.is_known:
            for _ in range(min(EARLY_TOGETHER, len(endpoint.early))):
                candle, came_s = endpoint.early.popleft()
                self._candle(endpoint, candle, receive_time_s, came_s)

    def _apply(
        self,
        endpoint: Endpoint,
        feed: SymbolFeed,
        tick: Tick,
        event_s: float,
        receive_time_s: float,
    ) -> str:
        bid, ask, volume, state = tick.bid, tick.ask, tick.volume, feed.state
        same_stamp = tick.stamp_s == feed.stamp_s
        deal = volume > 0.0 and (endpoint.volume_is_deal or not same_stamp or volume != feed.volume)
        if same_stamp and not deal and bid == feed.bid and ask == feed.ask:
            feed.spikes.stands(tick.stamp_s)
            return "tick_repeat"
        near = LOW * feed.bid < bid and ask < FACTOR * feed.bid
        if not near and self.judges_spikes and (refused := feed.spike(tick)):
            return refused
        if event_s - state.last_seen_s > OBSERVATION_GAP_S:
            self.revision += 1
        endpoint.tick_s = receive_time_s
        feed.bid, feed.ask, feed.volume = bid, ask, volume
        feed.stamp_s, feed.event_s = tick.stamp_s, event_s
        feed.late_run = 0
        feed.ticks += 1
        if event_s < self.rolled_s:
            self.revision += 1
        state.apply_tick(event_s, bid, ask, volume if deal else 0.0)
        book = self.paper.books.get(state.symbol)
        if book is not None:
            book.on_tick(event_s, bid, ask)
        if event_s > self.time.event_s:
            self.time.move(event_s, receive_time_s)
        return "tick_accepted"

    def _on_candles(self, endpoint: Endpoint, batch: Candles, receive_time_s: float) -> None:
        for candle in batch.candles:
            self.on_candle(endpoint, candle, receive_time_s)
        if batch.skipped:
            self.received += batch.skipped
            self.counts["candle_malformed"] += batch.skipped
        elif not batch.candles:
            self.received += 1
            self.counts["candle_none"] += 1

    def _candle(
        self, endpoint: Endpoint, candle: Candle, receive_time_s: float, came_s: float = inf
    ) -> str:
        """`came_s` (receive time) is when an early one came: later its minute is over anyway."""
        if candle.timeframe != "M1":
            return "other_timeframe"
        if not endpoint.clock.is_known:
            # Hours off it would stand where the true one belongs.
            endpoint.early.append((candle, receive_time_s))
            return "early"
        opened_s = candle.stamp_s - endpoint.clock.offset_s
        now = min(self.time.now(receive_time_s), came_s)
        if refused := candle_refusal(opened_s, now):
            return refused  # before it makes a symbol known, which may cost another its place
        symbol = self.names.canonical(candle.symbol)
        # A candle holds no symbol: it may come without the terminal's name that ticks bear.
        feed = self.feeds.get(symbol) or self._admit(symbol, receive_time_s)
        if feed is None:
            return "symbol_limit"
        ohlc = (candle.open, candle.high, candle.low, candle.close)
        fate = self.add_bar(feed, opened_s, ohlc, now)
        if fate == "accepted":
            feed.candle_s, feed.candle_endpoint = receive_time_s, endpoint.name
        return fate

    def _admit(self, symbol: str, receive_time_s: float) -> SymbolFeed | None:
        if len(self.feeds) >= self.limits.symbols and not self._make_room(receive_time_s):
            return None
        state = SymbolState(symbol)
        state.sentiment = self.sentiment(symbol)
        feed = self.feeds[symbol] = SymbolFeed(state, UNHEARD, receive_time_s)
        return feed

    def _make_room(self, receive_time_s: float) -> bool:
        """Drop the symbol that was idle longest, if for long enough, also since a clock's step."""
        if receive_time_s < self._full_until_s:
            return False  # known without looking at every symbol for every refused tick
        idlest = min(self.feeds, key=lambda name: self.feeds[name].idle_since_s)
        idle_since_s = max(self.feeds[idlest].idle_since_s, self.terminals.stepped_s)
        self._full_until_s = idle_since_s + self.limits.symbol_idle_s
        if receive_time_s < self._full_until_s:
            return False
        del self.feeds[idlest]
        self._full_until_s = NEVER
        self.revision += 1
        self.changes["symbol_evicted"] += 1
        return True

    def _take_over(
        self,
        feed: SymbolFeed,
        source: tuple[str, str],
        sender: tuple[str, str],
        receive_time_s: float,
    ) -> None:
        """One source a symbol: another one, after the first has let it go, begins anew."""
        if feed.source != UNHEARD:
            feed.forget_stamps()
            self._forget_lost(receive_time_s)
            self.paper.void(feed.state.symbol)
            feed.state.reset_short_windows(self.time.now(receive_time_s))
            self.revision += 1
            self.changes["source_takeover"] += 1
        if len(feed.state.bars) and not feed.was_read_by(source[0]):
            feed.inherit()
        feed.source, feed.terminal = source, self.terminals.of(sender, self.feeds.values())

    def _restarts(
        self, feed: SymbolFeed, tick: Tick, event_s: float, receive_time_s: float
    ) -> bool:
        if feed.late_run == 0:
            feed.late_stamp_s, feed.late_since_s = tick.stamp_s, receive_time_s
        feed.late_run += 1
        if feed.late_run <= RESTART_AFTER_LATE:
            return False
        waited_s = receive_time_s - feed.late_since_s
        advanced_s = tick.stamp_s - feed.late_stamp_s
        if advanced_s > 2.0 * waited_s + 5.0:
            # It outruns the wall, so it is read by the same clock: what lay before it stays.
            if feed.event_s - event_s + advanced_s <= SENT_AGAIN_S:
                return False
            bars = feed.state.bars.before(int(event_s) // 60)
            feed.inherited = None
            self._forget(feed, bars if len(bars) else None)
        elif advanced_s > 0.0 and waited_s > RESTART_AFTER_S:
            self._forget(feed)
        else:
            return False
        self.time.forget()
        self.changes["symbol_restarted"] += 1
        return True

    def _begin_anew(self, endpoint: Endpoint, receive_time_s: float) -> None:
        """The endpoint's earlier event times are not comparable with what follows."""
        endpoint.epoch = endpoint.clock.epoch
        for feed in self.feeds.values():
            if feed.was_read_by(endpoint.name):
                # What another run or endpoint left was read by its own clock: it stays.
                self._forget(feed, feed.inherited_bars(receive_time_s + FUTURE_S))
                feed.event_s = NEVER
        self.time.forget()
        self.changes["offset_reset"] += 1

    def _forget_future(self, endpoint: Endpoint, receive_time_s: float) -> None:
        """The endpoint's clock is confirmed: what it was not known to lead by before ends."""
        newest_s = receive_time_s + FUTURE_S
        for feed in self.feeds.values():
            if feed.event_s > newest_s and feed.was_read_by(endpoint.name):
                bars = feed.state.bars
                past = not len(bars) or 60.0 * bars.minutes[-1] <= newest_s
                self._forget(feed, bars if past else None)
                feed.forget_stamps()
                self.time.forget()
                self.changes["future_forgotten"] += 1

        self._forget_lost(receive_time_s)

    def _forget_lost(self, receive_time_s: float) -> None:
        """A time of the future that no symbol bears any more held up all the others."""
        newest_s = self.time.event_s
        if newest_s <= receive_time_s + FUTURE_S:
            return
        if all(feed.event_s < newest_s for feed in self.feeds.values()):
            self.time.forget()

    def _forget(self, feed: SymbolFeed, kept: Bars | None = None) -> None:
        self.paper.void(feed.state.symbol)
        if kept is None:
            feed.inherited = None
        feed.state.reset(kept)
        feed.state.sentiment = self.sentiment(feed.state.symbol)
        self.revision += 1

    def _on_fault(self, symbol: str, receive_time_s: float, error: Exception) -> None:
        feed = self.feeds.get(self.names.canonical(symbol))
        if feed is not None:
            self._forget(feed)
            feed.forget_stamps()
        self.faulted += 1
        self.faults.append(Fault(receive_time_s, symbol, repr(error)[:300]))
