"""Candles that a request brings: which enter, what becomes of the others, by which clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from played import Played
from serving import START_S, published_model, snapshot, tick

from service.features.state import SymbolState

MINUTE = int(START_S) // 60


def bars(first: int, count: int, **change: Any) -> list[dict[str, Any]]:
    return [
        {
            "open": 1.1,
            "high": 1.101 + 0.0001 * (minute % 5),
            "low": 1.099,
            "close": 1.1 + 0.0001 * (minute % 7),
            "time": minute * 60,
            **change,
        }
        for minute in range(first, first + count)
    ]


def test_minute_candles_of_the_request_enter_and_others_do_not(tmp_path: Path) -> None:
    played = Played(published_model(tmp_path, START_S), warm=False)
    played.feed(*[tick("EURUSD", START_S - 4 + at, 1.1 + at * 1e-5) for at in range(5)])
    data = {
        "M1": bars(MINUTE - 30, 30),
        "M5": bars(MINUTE - 30, 6),
        "M15": bars(MINUTE - 30, 2),
    }
    reply = played.score(timeframe_data=data)
    assert "atr_volatility" not in reply["missing"]
    assert len(played.engine.intake.feeds["EURUSD"].state.bars) == 30
    assert played.engine.counts["candle_accepted"] == 30
    assert played.engine.counts["candle_other_timeframe"] == 8
    assert played.engine.counts["candle_duplicate"] == 0
    played.score(timeframe_data=data)
    assert played.engine.counts["candle_duplicate"] == 30


@pytest.mark.parametrize(
    ("change", "fate"),
    [
        ({"time": MINUTE * 60}, "not_ended"),
        ({"time": MINUTE * 60 - 90}, "unaligned"),
        ({"time": 0}, "no_stamp"),
        ({"time": None}, "no_stamp"),
        ({"time": None, "timestamp": (MINUTE - 1) * 60}, "accepted"),
        ({"time": "2025.09.15 13:59:00"}, "accepted"),
        ({"time": "soon"}, "no_stamp"),
        ({"time": (MINUTE - 100_000) * 60}, "too_old"),
        ({"low": 1.2}, "malformed"),
        ({"high": 1.0}, "malformed"),
    ],
)
def test_each_candle_of_a_request_has_its_fate(change: dict[str, Any], fate: str) -> None:
    played = Played(warm=False)
    played.feed(tick("EURUSD", START_S))
    played.score(timeframe_data={"M1": bars(MINUTE - 1, 1, **change)})
    assert played.engine.counts[f"candle_{fate}"] == 1


def test_candles_of_a_request_are_read_by_the_feeds_clock() -> None:
    played = Played(warm=False, FEED_CLOCK_OFFSET="10800")
    played.feed(tick("EURUSD", START_S + 10_800))
    played.score(timeframe_data={"M1": bars(MINUTE + 180 - 5, 5)})
    minutes = played.engine.intake.feeds["EURUSD"].state.bars.minutes
    assert list(minutes) == list(range(MINUTE - 5, MINUTE))


def test_candles_of_a_request_wait_for_the_first_tick_after_a_restart() -> None:
    played = Played(warm=False, FEED_CLOCK_OFFSET="-18000")
    played.engine.restore(snapshot(SymbolState("EURUSD")), START_S)
    data = {"M1": bars(MINUTE - 300 - 5, 5)}
    played.score(timeframe_data=data)
    assert played.engine.counts["candle_no_clock"] == 5
    played.feed(tick("EURUSD", START_S - 18_000))
    played.score(timeframe_data=data)
    minutes = played.engine.intake.feeds["EURUSD"].state.bars.minutes
    assert list(minutes) == list(range(MINUTE - 5, MINUTE))


def test_candles_for_a_symbol_that_was_never_seen_make_no_symbol() -> None:
    played = Played()
    played.score(symbol="NEVER", timeframe_data={"M1": bars(MINUTE - 30, 30)})
    assert "NEVER" not in played.engine.intake.feeds
    assert played.engine.counts["candle_unknown_symbol"] == 30
