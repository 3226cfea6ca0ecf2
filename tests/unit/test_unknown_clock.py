"""However a start on an unknown clock goes, it ends as if the clock had been known.

Ticks of the past, candles and ticks of the future come in any order, then the market as it is.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from serving import settings, tick

from protocol.messages import FeaturesRequest, SentimentRequest
from service.bars import KEPT_BARS, Bar, DayRange
from service.engine import Engine
from service.features.state import SymbolSnapshot
from service.records import PaperRow
from service.symbol_feed import Endpoint

T = 1_757_944_830.0 + 8 * 3600  # 22:00:30 UTC, so that it is tomorrow for the broker
MINUTE = int(T) // 60
BROKER_S = 10_800.0
BROKERS = (BROKER_S, 0.0, -18_000.0, 19_800.0)
SYMBOLS = ("EURUSD", "GBPUSD")
YESTERDAY = DayRange(MINUTE // 1440 - 1, 1.3, 0.9)

Step = tuple[str, int]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("candles"), st.integers(1, 240)),
        st.tuples(st.just("future"), st.integers(400, 72_000)),
        st.tuples(st.just("live"), st.integers(1, 5)),
    ),
    max_size=6,
)


def mid(at_s: float) -> float:
    """The one price of a second, so that its candle is what its ticks make."""
    return 1.1 + int(at_s) // 5 * 7 % 13 * 1e-4


def bar(minute: int) -> Bar:
    """What the ticks of a minute make: one each fifth second."""
    mids = [mid(60.0 * minute + second) for second in range(0, 60, 5)]
    return Bar(minute, mids[0], max(mids), min(mids), mids[-1])


def position(symbol: str) -> PaperRow:
    """A buy that was open before the restart, whose levels are never touched."""
    return PaperRow(
        score_id=f"run-{symbol}",
        signal_id=symbol,
        symbol=symbol,
        direction=1,
        stop_loss=1.0,
        take_profit=1.3,
        risk=0.1,
        event_time=T - 600.0,
        deadline=T + 7200.0,
        last_time=T - 1.0,
        opened_at=T - 600.0,
        opened_price=1.1,
        best_price=1.1,
        worst_price=1.1,
        last_price=1.1,
    )


class Start:
    """A start with what was restored; the broker's clock is `broker_s` ahead of UTC."""

    def __init__(self, clock_offset: str, restored: list[int], broker_s: float = BROKER_S) -> None:
        self.broker_s = broker_s
        self.engine = Engine(settings(FEED_CLOCK_OFFSET=clock_offset), "run")
        self.now_s = T
        for symbol in SYMBOLS:
            bars = tuple(bar(minute) for minute in restored)
            snapshot = SymbolSnapshot(symbol, bars, (YESTERDAY,), T - 9000, None)
            self.engine.restore(snapshot, T)
        self.engine.resume([position(symbol) for symbol in SYMBOLS], SYMBOLS)
        self.endpoint: Endpoint = self.engine.endpoint("feed", volume_is_deal=False)

    def send(self, at_s: float, symbols: tuple[str, ...] = SYMBOLS) -> None:
        for symbol in symbols:
            frame = tick(symbol, at_s + self.broker_s, mid(at_s), 0.0)
            self.engine.on_frame(self.endpoint, frame, self.now_s + 0.02)

    def history(self, minutes: int) -> None:
        for ago in range(60 * minutes, -1, -5):
            self.send(T - ago)

    def candles(self, count: int) -> None:
        for symbol in SYMBOLS:
            rows = [
                {"time": int(60 * minute + self.broker_s)}
                | dict(zip(("open", "high", "low", "close"), bar(minute)[1:], strict=True))
                for minute in range(MINUTE - count, MINUTE)
            ]
            batch = {"type": "candle_batch", "symbol": symbol, "M1": rows}
            self.engine.on_frame(self.endpoint, json.dumps(batch).encode(), self.now_s)

    def future(self, ahead_s: int) -> None:
        self.send(self.now_s + ahead_s, SYMBOLS[ahead_s % 2 :][:1])

    def live(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now_s += 1.0
            if self.now_s % 5 == 0:
                self.send(self.now_s)
            self.engine.advance(self.now_s + 0.1)

    def go(self, history: int, steps: list[Step]) -> None:
        self.history(history)
        for what, size in steps:
            getattr(self, what)(size)
        request = SentimentRequest(symbol="*", score=90.0, half_life_s=240.0)
        self.engine.on_request(request, b"", self.now_s + 0.5)
        self.live(240)

    def features(self, symbol: str) -> dict[str, float]:
        reply = self.engine.on_request(FeaturesRequest(symbol=symbol), b"", self.now_s + 0.5).reply
        assert isinstance(reply, dict)
        return reply["features"]  # type: ignore[no-any-return]


@examples(max_examples=50, deadline=None)
@given(
    restored=st.sets(st.integers(1, 240), max_size=240),
    history=st.sampled_from([0, 0, 3, 10, 14, 15, 20, 45]),
    steps=STEPS,
    broker_s=st.sampled_from(BROKERS),
)
def test_bars_end_up_as_on_a_known_clock(
    restored: set[int], history: int, steps: list[Step], broker_s: float
) -> None:
    back = sorted(MINUTE - ago for ago in restored)
    start = Start("auto", back, broker_s)
    start.go(history, steps)
    assert (start.endpoint.clock.state, start.endpoint.clock.offset_s) == ("live", broker_s)
    assert start.engine.intake.now(start.now_s) == pytest.approx(start.now_s, abs=1.0)
    # By a clock not ahead of UTC, ticks of the past may be a recording's, whose time it is then.
    told_late = history >= 15 and broker_s <= 0.0
    assert told_late or len(start.engine.paper) == len(SYMBOLS)
    sent = range(MINUTE - max([0, *(n for what, n in steps if what == "candles")]), MINUTE)
    for symbol in SYMBOLS:
        bars = start.engine.intake.feeds[symbol].state.bars
        assert list(bars) == [bar(minute) for minute in bars.minutes]
        due = {*back, *sent, MINUTE + 3}
        kept_from = bars.minutes[0] if len(bars) == KEPT_BARS else 0
        assert {minute for minute in due if minute >= kept_from} <= set(bars.minutes)
        assert bars.previous_day(MINUTE) == YESTERDAY
        score = start.features(symbol)["sentiment_score"]
        assert told_late or score == pytest.approx(70.0, abs=0.1)


@examples(max_examples=40, deadline=None)
@given(restored=st.sets(st.integers(1, 240), max_size=240), steps=STEPS)
def test_without_ticks_of_the_past_the_features_are_those_of_a_known_clock(
    restored: set[int], steps: list[Step]
) -> None:
    back = sorted(MINUTE - ago for ago in restored)
    learnt, known = Start("auto", back), Start(str(BROKER_S), back)
    learnt.go(0, [("live", 5), *steps])
    known.go(0, [("live", 5), *(step for step in steps if step[0] != "future")])
    spoilt = {SYMBOLS[ahead_s % 2] for what, ahead_s in steps if what == "future"}
    for symbol in set(SYMBOLS) - spoilt:
        found, wanted = learnt.features(symbol), known.features(symbol)
        assert found.pop("sentiment_score") == pytest.approx(wanted.pop("sentiment_score"), 1e-3)
        assert found == wanted
    assert learnt.engine.paper.counts == known.engine.paper.counts
