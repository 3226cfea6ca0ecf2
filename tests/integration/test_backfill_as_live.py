"""What backfill reads from the EA's messages is what the live service heard in them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from made_market import asked_of, write_lines
from scored_journal import START_S
from serving import rows, tick
from trained import give

from service.config.load import load
from service.engine import Engine
from service.journal.records import ScoreRow

Frame = tuple[float, bytes]
"""When it was sent (UTC s), and the message."""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text("[feed]\nclock_offset = 0.0\n")
    return path


def quotes(minutes: float, *, seed: int = 1, every_s: int = 5, **more: Any) -> Iterator[Frame]:
    rng, mid = random.Random(seed), 1.1
    for second in range(0, int(60 * minutes), every_s):
        mid *= 1 + rng.gauss(0, 5e-5)
        at_s = START_S + second
        yield at_s, tick("EURUSD", at_s, round(mid, 5), volume=1 + second % 7, **more)


def signals(*minutes: float) -> list[dict[str, Any]]:
    line = {"symbol": "EURUSD", "base_score": 70.0, "direction": "BUY"}
    line |= dict.fromkeys(("entry", "stop", "target"))
    return [
        line | {"signal_id": f"S{minute:g}", "time": START_S + 60 * minute + 1}
        for minute in minutes
    ]


def live(frames: Sequence[Frame], wanted: list[dict[str, Any]], config: Path) -> dict[str, Any]:
    """Vector and missing features of each signal, from the engine that hears the frames."""
    settings = load(config).config
    engine = Engine(settings, "live")
    endpoint = engine.endpoint("feed", volume_is_deal=settings.feed.volume == "deal")
    waiting = asked_of(wanted)
    found = {}
    for at_s, frame in frames:
        while waiting and waiting[0].time_s <= at_s:
            asked = waiting.pop(0)
            row = engine.on_request(asked.request, b"", asked.time_s).row
            assert isinstance(row, ScoreRow)
            found[row.signal_id] = (row.features, row.missing)
        engine.on_frame(endpoint, frame, at_s)
    assert len(found) == len(wanted)
    return found


def backfilled(
    folder: Path, frames: Sequence[Frame], wanted: list[dict[str, Any]], config: Path
) -> dict[str, Any]:
    """The same from a recording of the frames."""
    market = folder / "feed.jsonl"
    market.write_bytes(b"\n".join(frame for _, frame in frames))
    lines = write_lines(folder / "signals.jsonl", wanted)
    places = ("--journal", folder / "none.db", "--output", folder / "out.db", "--jobs", "1")
    result = give("backfill", market, "--signals", lines, "--config", config, *places)
    assert result.exit_code == 0, result.output
    found = rows(folder / "out.db", "select signal_id, features, missing from scores")
    return {row["signal_id"]: (row["features"], row["missing"]) for row in found}


def assert_same(
    folder: Path, frames: Sequence[Frame], wanted: list[dict[str, Any]], config: Path
) -> dict[str, Any]:
    theirs = live(frames, wanted, config)
    assert backfilled(folder, frames, wanted, config) == theirs
    return theirs


def test_each_message_is_a_deal_where_the_feed_says_so(tmp_path: Path, config: Path) -> None:
    """Equal deals of one second are as many deals: whale activity has twenty of them in time."""
    config.write_text('[feed]\nclock_offset = 0.0\nvolume = "deal"\n')
    once = [
        (START_S + second, tick("EURUSD", START_S + second, 1.1, volume=1.0))
        for second in range(0, 45 * 60)
    ]
    frames = [frame for number, frame in enumerate(once) for _ in range(1 + number // 5 % 9)]
    assert_same(tmp_path, frames, signals(30, 40), config)


@pytest.mark.parametrize("more", [(), ("M15",), ("M5", "M15", "H1", "D1")])
def test_a_batch_comes_when_it_was_sent_and_its_forming_candle_is_none(
    tmp_path: Path, config: Path, more: tuple[str, ...]
) -> None:
    """Sent within a minute, it holds that minute so far, and longer candles that end later."""
    sent_s = START_S + 410
    opened = [sent_s // 60 * 60 - 60 * back for back in range(70, -1, -1)]
    frames = {"M1": candles(opened, 5)} | {name: candles([START_S], 6) for name in more}
    batch = {"type": "candle_batch", "symbol": "EURUSD", "timestamp": sent_s} | frames
    heard = [frame for frame in quotes(30) if frame[0] > START_S + 400]
    heard.insert(1, (sent_s, json.dumps(batch).encode()))
    found = assert_same(tmp_path, heard, signals(8, 9, 13, 17, 25), config)
    assert "atr_volatility" not in found["S8"][1]


def test_another_terminal_that_takes_over_begins_anew(tmp_path: Path, config: Path) -> None:
    """Its prices are others: windows, the minute in progress and what paper holds end with it."""
    begun_s = START_S + 60 * 60
    first = [frame for frame in quotes(90, node_id="n1") if frame[0] < begun_s]
    second = [frame for frame in quotes(90, seed=2, node_id="n2") if frame[0] >= begun_s + 40]
    found = assert_same(tmp_path, first + second, signals(59, 62, 65, 80, 84), config)
    assert "volume_delta" not in found["S59"][1]
    assert "volume_delta" in found["S62"][1]


def test_a_bad_quote_between_two_of_one_moment_is_none_of_the_market(
    tmp_path: Path, config: Path
) -> None:
    heard = list(quotes(40))
    for number in range(len(heard) - 20, 0, -7):
        at_s, frame = heard[number]
        bad = [(at_s, tick("EURUSD", at_s, mid)) for mid in (1100.0, 1100.1)]
        heard[number + 1 : number + 1] = [bad[0], (at_s, frame), bad[1], (at_s, frame)]
    assert_same(tmp_path, heard, signals(25, 30, 37), config)


def test_a_bad_quote_that_is_sent_again_is_one(tmp_path: Path, config: Path) -> None:
    """Two of them and a minute would be enough to take the next, however far it is."""
    heard = [frame for frame in quotes(40) if not 60 < (frame[0] - START_S) % 300 < 190]
    for number in range(len(heard) - 1, 0, -1):
        before_s, after_s = heard[number - 1][0], heard[number][0]
        if after_s - before_s > 100:
            bad = [(before_s + 20, 0.6), (before_s + 20, 0.6), (before_s + 95, 0.01)]
            heard[number:number] = [(at_s, tick("EURUSD", at_s, mid)) for at_s, mid in bad]
    assert_same(tmp_path, heard, signals(25, 31, 36), config)


def test_a_bad_quote_of_a_stand_by_takes_nothing_over(tmp_path: Path, config: Path) -> None:
    """The other terminal comes back after a silence for which it would have lost its symbol."""
    away = (START_S + 29 * 60, START_S + 30 * 60)
    heard = [frame for frame in quotes(40, node_id="n1") if not away[0] < frame[0] < away[1]]
    bad_s = away[1] - 15
    at = next(number for number, frame in enumerate(heard) if frame[0] > bad_s)
    heard.insert(at, (bad_s, tick("EURUSD", bad_s, 1100.0, node_id="n2")))
    found = assert_same(tmp_path, heard, signals(31, 37), config)
    assert "volume_delta" not in found["S31"][1]


def candles(opened: Sequence[float], seed: int) -> list[dict[str, float]]:
    rng, close, found = random.Random(seed), 1.1, []
    for at_s in opened:
        first, close = close, close * (1 + rng.gauss(0, 2e-4))
        high, low = max(first, close) * 1.0001, min(first, close) * 0.9999
        found.append({"time": at_s, "open": first, "high": high, "low": low, "close": close})
    return found
