"""A publisher that begins with an hour of ticks costs a restarted service nothing for long."""

from __future__ import annotations

import pytest
from serving import settings, tick

from protocol.messages import FeaturesRequest, ScoreRequest
from service.engine import Engine
from service.features.bars import Bar, DayRange
from service.features.state import SymbolSnapshot

T = 1_757_944_830.0 + 8 * 3600  # 22:00:30 UTC, so that it is tomorrow for the broker
MINUTE = int(T) // 60
BROKER_S = 10_800.0
SYMBOLS = ("EURUSD", "GBPUSD")
YESTERDAY = DayRange(MINUTE // 1440 - 1, 1.3, 0.9)
SIGNAL = ScoreRequest(symbol="EURUSD", base_score=70.0, direction="BUY")


def restarted() -> Engine:
    """An engine with the last 150 bars of two symbols, which does not know the broker's clock."""
    engine = Engine(settings(FEED_CLOCK_OFFSET="auto"), "run")
    for at, symbol in enumerate(SYMBOLS):
        bars = tuple(
            Bar(minute, 1.1, 1.102, 1.1, 1.1 + 1e-4 * (minute * (3 + 4 * at) % 11))
            for minute in range(MINUTE - 150, MINUTE)
        )
        engine.restore(SymbolSnapshot(symbol, bars, (YESTERDAY,), T - 9000, None), T)
    return engine


class Publisher:
    """Ticks of a broker's clock, three hours ahead of UTC."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.endpoint = engine.endpoint("feed", volume_is_deal=False)

    def send(self, at_s: float, receive_s: float) -> None:
        for symbol in SYMBOLS:
            frame = tick(symbol, at_s + BROKER_S, 1.1 + at_s % 7 * 1e-4)
            self.engine.on_frame(self.endpoint, frame, receive_s)


@pytest.mark.parametrize("minutes", [5, 10, 15, 20, 30, 60, 120])
def test_ticks_of_the_past_at_the_start_cost_no_restored_bar(minutes: int) -> None:
    engine = restarted()
    publisher = Publisher(engine)
    for ago in range(60 * minutes, 0, -1):
        publisher.send(T - ago, T)
    for second in range(90):
        publisher.send(T + second, T + second + 0.02)
    assert (publisher.endpoint.clock.state, publisher.endpoint.clock.offset_s) == ("live", BROKER_S)
    reply = engine.on_request(FeaturesRequest(symbol="EURUSD"), b"", T + 90).reply
    assert reply["warm"]  # type: ignore[index]
    for symbol in SYMBOLS:
        bars = engine.intake.feeds[symbol].state.bars
        kept = [minute for minute in bars.minutes if minute < MINUTE]
        # Of 240 bars the oldest made room for those that were placed wrongly.
        assert kept == list(range(MINUTE - len(kept), MINUTE))
        assert len(kept) >= min(150, 240 - minutes)
        assert bars.minutes[-1] <= MINUTE + 1
        assert bars.days[0] == YESTERDAY
        assert bars.days[-1].high < YESTERDAY.high


@pytest.mark.parametrize("minutes", [20, 60])
def test_no_model_is_asked_while_now_is_ahead_of_this_machines_time(minutes: int) -> None:
    engine = restarted()
    publisher = Publisher(engine)
    statuses = set()
    for ago in range(60 * minutes, 0, -1):
        publisher.send(T - ago, T)
    for second in range(90):
        at_s = T + second
        publisher.send(at_s, at_s + 0.02)
        ahead_s = engine.intake.time.now(at_s) - at_s
        row = engine.on_request(SIGNAL, b"", at_s).row
        statuses.add((ahead_s > 60.0, row.status))  # type: ignore[union-attr]
    assert statuses == {(True, "warming_up"), (False, "warming_up"), (False, "no_model")}


def test_a_recording_that_is_played_faster_is_asked_for_a_model_as_it_was() -> None:
    engine = restarted()
    endpoint = engine.endpoint("feed", volume_is_deal=False)
    statuses = []
    for second in range(2400):
        receive_s = T + second / 5.0
        engine.on_frame(endpoint, tick("EURUSD", T + second, 1.1 + second % 7 * 1e-4), receive_s)
        row = engine.on_request(SIGNAL, b"", receive_s).row
        statuses.append(row.status)  # type: ignore[union-attr]
    assert endpoint.clock.state == "history"
    assert set(statuses[-60:]) == {"no_model"}


def test_a_given_offset_is_believed() -> None:
    engine = Engine(settings(FEED_CLOCK_OFFSET="0"), "run")
    publisher = Publisher(engine)
    for ago in range(60 * 60, 0, -1):
        publisher.send(T - ago, T)
    row = engine.on_request(SIGNAL, b"", T).row
    assert row.status == "no_model"  # type: ignore[union-attr]
