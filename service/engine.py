"""Where feed, features, model and scoring meet: `on_frame`, `on_request`, `advance`, `install`.

The engine never reads a clock and does no I/O: times are arguments, and what has to be
written comes back as rows. Live and in replay the same inputs give the same answers.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import msgspec

from protocol import messages
from protocol.ea_feed import parse_stamp
from protocol.schema import FEATURE_NAMES, FINGERPRINT
from service import scoring
from service.config.settings import Config
from service.drift import Drift
from service.features.state import SymbolSnapshot, SymbolState
from service.features.vector import Vector, is_warm
from service.feed.clock_offset import ClockOffset
from service.feed.intake import Intake
from service.feed.symbol_feed import NEVER, Endpoint, SymbolFeed, SymbolLimits
from service.feed.symbol_names import SymbolNames
from service.journal.records import OutcomeRow, PaperRow, Remembered, ScoreRow
from service.model.model import Model, Probability
from service.paper.positions import Paper
from service.replies import (
    DIRECTIONS,
    Context,
    feed_age_s,
    outcome_row,
    score_reply,
    score_row,
)
from service.retries import Retries, content_digest
from service.spans import DAY_S
from service.vectors import Vectors
from service.warmth import Warmth

REQUEST_HALF_LIFE_S = 3600.0
LEAST_TOGETHER = 2
"""From so many signals on it is quicker to ask the forest about all of them at once."""


class Answer(msgspec.Struct, frozen=True):
    """A reply without its envelope, and the row that has to be written before it is sent.

    That of a score is packed already (msgpack), since the journal keeps the same bytes.
    """

    reply: dict[str, Any] | bytes
    row: ScoreRow | OutcomeRow | None = None


class Engine:
    """All state of the service; one thread owns it."""

    def __init__(self, config: Config, run_id: str) -> None:
        """`run_id` makes the score ids of this process unlike those of any other."""
        self.config = config
        self.mode: messages.Mode = config.score.mode
        self.model: Model | None = None
        self.counts: Counter[str] = Counter()
        self.paper = Paper(config.paper)
        self.intake = Intake(
            paper=self.paper,
            limits=SymbolLimits(
                config.limits.symbols, config.limits.symbol_idle_s, config.feed.silence_s
            ),
            names=SymbolNames(config.feed.symbol_suffixes, config.feed.symbol_map),
        )
        self._weights = scoring.Weights(
            config.score.base_weight, config.score.model_weight, config.score.session_bonus_weight
        )
        self._run_id = run_id
        self._seq = 0
        self._retries = Retries(config.score.retry_window_s, config.limits.remembered_replies)
        self.vectors = Vectors(self.intake, self.counts)
        self.drift = Drift()
        self.warmth = Warmth()

    def endpoint(self, name: str, *, volume_is_deal: bool) -> Endpoint:
        """A feed socket's own state: its clock offset is learnt apart from the others'."""
        feed = self.config.feed
        clock = ClockOffset(feed.clock_offset, feed.configured_offset_s)
        return Endpoint(name, volume_is_deal, clock)

    def on_frame(self, endpoint: Endpoint, frame: bytes, receive_time_s: float) -> None:
        """One frame of the feed. Never raises for what a sender sent."""
        self.intake.on_frame(endpoint, frame, receive_time_s)

    def advance(self, receive_time_s: float) -> None:
        """Time has passed: close the bars whose minute has ended, end paper out of sight.

        A little of the looking after drift and warmth is done too.
        """
        time = self.intake.time
        now = self.intake.rolled(receive_time_s)
        # Without a stamp `now` is the machine's time, and the feed's may lag behind it: what it
        # shows is how long no tick has come.
        silent_s = receive_time_s - time.came_s
        shown = time.event_s > NEVER or silent_s > self.paper.rules.max_gap_s
        misplaced = self._is_misplaced(receive_time_s)
        if shown and not misplaced:
            self.paper.sweep(now)
        self.warmth.look(self.intake, now, held=misplaced)
        self.drift.look()

    def restore(self, snapshot: SymbolSnapshot, receive_time_s: float) -> None:
        """Take a symbol back from before a restart. Raises ValueError for an impossible one."""
        self.intake.restore(SymbolState.restore(snapshot), receive_time_s)

    def remember(self, signal_id: str, remembered: Remembered) -> None:
        """Keep an answered signal for its retries, for example one read from the journal."""
        self._retries.remember(signal_id, remembered)

    def resume(self, positions: Sequence[PaperRow], scored: Sequence[str]) -> None:
        """Follow paper positions from before a restart; `scored` are ids of known signals."""
        self.paper.resume(positions, scored)

    def number_above(self, seq: int) -> None:
        """Give scores higher numbers than this one, which a run on a later clock may have used."""
        self._seq = max(self._seq, seq)

    def written(self, row: ScoreRow) -> None:
        """The journal has this row: retries of its signal need not carry it any more."""
        self._retries.written(row)

    def clock_stepped(self, step_s: float) -> None:
        """UTC was set on by `step_s` (negative: back): receive times from before move with it."""
        self.intake.clock_stepped(step_s)
        self._retries.clock_stepped(step_s)

    def set_mode(self, mode: messages.Mode) -> None:
        """Serve in another mode from the next request on."""
        # A default is left out of a reply by identity: equal words must be one object.
        self.mode = cast(messages.Mode, sys.intern(mode))

    def install(self, model: Model | None) -> None:
        """Serve this model from the next request on; None: serve base scores."""
        self.model = model
        self.vectors.forget_answers()
        self.drift.follow(model)

    def prefetch(self, signals: Sequence[messages.ScoreRequest], receive_time_s: float) -> None:
        """Have these signals' vectors walk down the forest together, where that is quicker.

        It changes no answer: each signal is asked for by `on_request`, at this time, after it,
        which moves *now* and closes bars as this does.
        """
        model = self.model
        if model is None or self.mode == "off" or len(signals) < LEAST_TOGETHER:
            return
        now = self.intake.rolled(receive_time_s)
        feeds = [self.intake.feeds.get(self.intake.names.canonical(s.symbol)) for s in signals]
        asked = [
            (feed, DIRECTIONS[signal.direction], signal.base_score)
            for feed, signal in zip(feeds, signals, strict=True)
            if feed is not None
        ]
        self.vectors.prefetch(asked, now, model)

    def on_request(
        self,
        request: messages.Request,
        body: bytes,
        receive_time_s: float,
        waited_s: float = 0.0,
    ) -> Answer:
        """Answer a score, outcome, sentiment or features request.

        `body` is the request as it came, `waited_s` the time since it was taken off the
        socket, which its deadline counts.
        """
        match request:
            case messages.ScoreRequest():
                return self._on_score(request, body, receive_time_s, waited_s)
            case messages.OutcomeRequest():
                return Answer({}, outcome_row(request, receive_time_s))
            case messages.SentimentRequest():
                now = self.intake.time.now(receive_time_s)
                self.intake.set_sentiment(request.symbol, request.score, request.half_life_s, now)
                return Answer({"accepted": True})
            case messages.FeaturesRequest():
                return Answer(self._on_features(request, receive_time_s))
            case _:
                raise TypeError(f"the engine does not answer {request.op}")

    def _on_score(
        self,
        request: messages.ScoreRequest,
        body: bytes,
        receive_time_s: float,
        waited_s: float,
    ) -> Answer:
        # A retry too: `prefetch` may have asked for it, of which a recording knows nothing.
        now = self.intake.rolled(receive_time_s)
        digest = content_digest(request)
        known = self._retries.find(request.signal_id, digest, receive_time_s)
        if known:
            self.counts["retry"] += 1
            return Answer(known.reply, known.row)
        symbol = self.intake.names.canonical(request.symbol)
        feed = self.intake.feeds.get(symbol)
        direction = DIRECTIONS[request.direction]
        if request.sentiment is not None:
            self.intake.set_sentiment(request.symbol, request.sentiment, REQUEST_HALF_LIFE_S, now)
        if request.timeframe_data is not None:
            self._apply_candles(request.timeframe_data, feed, now)
        vector = self.vectors.vector(feed, symbol, now, direction, request.base_score)
        late = request.deadline_ms is not None and waited_s * 1000.0 > request.deadline_ms
        warm = self._is_warm(vector, receive_time_s)
        reason = self._reason(direction, feed, warm, receive_time_s, past_deadline=late)
        probability, fault = None, None
        if reason is None:
            probability, fault = self._ask_model(feed, direction, vector)
        if probability is not None:
            self.drift.observe(now, vector.values)
        # The microsecond of the score, or the next number: it rises over restarts too.
        self._seq = max(self._seq + 1, int(receive_time_s * 1e6))
        context = Context(
            seq=self._seq,
            score_id=f"{self._run_id}-{self._seq:x}",
            mode=self.mode,
            vector=vector,
            feed=feed,
            model=self.model,
            weights=self._weights,
            take_margin_r=self.config.score.take_margin_r,
            receive_time_s=receive_time_s,
            event_time_s=now,
            drifting=self.drift.drifting,
        )
        reply = score_reply(request, context, probability, reason or "error", fault)
        self.counts[f"status_{reply.status}"] += 1
        packed = msgspec.msgpack.encode(reply)
        row = score_row(request, context, reply, probability, digest, body, packed)
        self.paper.follow(row, symbol)
        if request.signal_id:
            self._retries.remember(
                request.signal_id, Remembered(receive_time_s, digest, packed, row)
            )
        return Answer(packed, row)

    def _reason(
        self,
        direction: int,
        feed: SymbolFeed | None,
        warm: bool,
        receive_time_s: float,
        *,
        past_deadline: bool,
    ) -> str | None:
        model = self.model
        return scoring.base_score_reason(
            known_symbol=feed is not None,
            feed_is_stale=feed is not None and self._is_stale(feed, receive_time_s),
            warm=warm,
            mode=self.mode,
            has_model=model is not None,
            model_expired=self._expired(receive_time_s),
            model_wants_direction=model is not None and model.directed,
            direction=direction,
            past_deadline=past_deadline,
        )

    def _ask_model(
        self, feed: SymbolFeed | None, direction: int, vector: Vector
    ) -> tuple[Probability | None, str | None]:
        """(probability, None), or (None, what went wrong): a fault costs the base score only."""
        assert feed is not None
        assert self.model is not None
        try:
            return self.vectors.answer(feed, direction, vector, self.model), None
        except (ArithmeticError, ValueError, IndexError) as fault:
            self.counts["model_fault"] += 1
            return None, f"{type(fault).__name__}: {fault}"[:200]

    def _on_features(
        self, request: messages.FeaturesRequest, receive_time_s: float
    ) -> dict[str, Any]:
        symbol = self.intake.names.canonical(request.symbol)
        feed = self.intake.feeds.get(symbol)
        now = self.intake.rolled(receive_time_s)
        direction = DIRECTIONS[request.direction]
        vector = self.vectors.vector(feed, symbol, now, direction, request.base_score)
        return {
            "symbol": request.symbol,
            "direction": request.direction,
            "features": dict(zip(FEATURE_NAMES, vector.values, strict=True)),
            "missing": vector.missing,
            "warm": self._is_warm(vector, receive_time_s),
            "volume_source": vector.volume_source,
            "feature_schema": FINGERPRINT,
            "event_time_s": now,
            "feed_age_s": feed_age_s(feed, receive_time_s),
            "source": None if feed is None else feed.source,
        }

    def _apply_candles(
        self, data: messages.TimeframeData, feed: SymbolFeed | None, now: float
    ) -> None:
        """Ended M1 candles of the caller, whose stamps are by the clock of its feed."""
        self.counts["candle_other_timeframe"] += len(data.M5) + len(data.M15)
        for bar in data.M1:
            stamp_s = parse_stamp(bar.time if bar.time is not None else bar.timestamp)
            if feed is None:
                fate = "unknown_symbol"
            elif stamp_s is None:
                fate = "no_stamp"
            elif (offset_s := feed.offset_s) is None:
                fate = "no_clock"
            else:
                ohlc = (bar.open, bar.high, bar.low, bar.close)
                fate = self.intake.add_bar(feed, stamp_s - offset_s, ohlc, now)
            self.counts[f"candle_{fate}"] += 1

    def _is_warm(self, vector: Vector, receive_time_s: float) -> bool:
        """Whether there is history enough, and where it belongs."""
        return is_warm(vector) and not self._is_misplaced(receive_time_s)

    def _is_misplaced(self, receive_time_s: float) -> bool:
        """Whether *now* is a tick's of the future, which ends with the search for the clock."""
        return self.config.feed.clock_offset == "auto" and self.intake.time.is_ahead(receive_time_s)

    def _is_stale(self, feed: SymbolFeed, receive_time_s: float) -> bool:
        return receive_time_s - feed.seen_s > self.config.feed.stale_after_s

    def _expired(self, receive_time_s: float) -> bool:
        days = self.config.model.expire_after_days
        if self.model is None or days == 0:
            return False
        return receive_time_s - self.model.reviewed_at > days * DAY_S
