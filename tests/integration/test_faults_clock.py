"""Clocks that jump, while it runs or between two runs: it follows, counts and loses nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from harness import eventually, running
from serving import START_S, ManualClock, Parts, candle, tick

from service.clock import SystemClock
from service.features.bars import Bar

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
HOUR_S = 3600.0


class Wall:
    """A wall clock that goes on as the monotonic one does, and is set by hand."""

    def __init__(self) -> None:
        self.at_s = START_S - time.monotonic()

    def __call__(self) -> float:
        return self.at_s + time.monotonic()


def ahead_s(clock: SystemClock) -> float:
    """Of the monotonic clock: a step moves it, and time that passes does not."""
    return clock.utc_s() - clock.monotonic_s()


def bars_of(parts: Parts, symbol: str) -> list[Bar]:
    return list(parts.engine.intake.feeds[symbol].state.bars)


LEVELS = {"entry_price": 1.1, "stop_loss": 1.0, "take_profit": 1.2}


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S, 86_400.0, -1.5])
def test_a_step_of_the_wall_clock_is_followed_and_counted(tmp_path: Path, step_s: float) -> None:
    wall = Wall()
    clock = SystemClock(wall)
    parts = Parts(tmp_path, clock)
    parts.journal.open()
    parts.warm()
    parts.score(signal_id="open", direction="BUY", **LEVELS)
    parts.feed(tick("EURUSD", clock.utc_s()))
    before_s, seen_s = ahead_s(clock), parts.engine.intake.feeds["EURUSD"].seen_s
    ticked_s = parts.ask("stats")["feed"]["endpoints"][0]["tick_time_s"]
    wall.at_s += step_s
    assert abs(ahead_s(clock) - before_s) < 1.0  # until housekeeping looks, nothing steps
    parts.housekeeping.turn()
    assert abs(ahead_s(clock) - before_s - step_s) < 1.0
    assert parts.ask("stats")["clock_steps"] == 1
    # What is measured from times before the step moved with them.
    assert [row["kind"] for row in parts.rows("SELECT kind FROM events")] == ["clock_stepped"]
    parts.engine.advance(clock.utc_s())
    assert len(parts.engine.paper) == 1  # nothing of its path was missed
    health = parts.ask("health")
    assert health["ready"] is True
    assert 0.0 <= health["uptime_s"] < 60.0
    assert 0.0 <= health["feed_age_s"] < 60.0
    moved_s = parts.ask("stats")["feed"]["endpoints"][0]["tick_time_s"] - ticked_s
    assert abs(moved_s - step_s) < 1.0
    # A symbol is never fresher than it was; after a step forward nobody knows how old it is.
    moved_s = parts.engine.intake.feeds["EURUSD"].seen_s - seen_s
    assert abs(moved_s - min(0.0, step_s)) < 1.0
    fed_s = clock.monotonic_s()
    parts.feed(tick("EURUSD", clock.utc_s()))
    reply = parts.score(signal_id="after")
    assert reply["journalled"] is True
    assert reply["feed_age_s"] <= clock.monotonic_s() - fed_s
    assert parts.ask("outcome", outcome="WIN", signal_id="after")["matched"] is True
    parts.journal.close()


def test_bars_are_there_again_once_a_clock_that_was_behind_is_set_on(tmp_path: Path) -> None:
    first = Parts(tmp_path, ManualClock())
    first.journal.open()
    first.warm("EURUSD", "GBPUSD", "USDJPY")
    first.housekeeping.save_all()
    first.journal.close()

    wall = Wall()
    wall.at_s -= 600.0
    second = Parts(tmp_path, SystemClock(wall))
    second.journal.open()
    second.housekeeping.restore()
    second.housekeeping.turn()
    second.feed(tick("EURUSD", second.clock.utc_s()))
    second.feed(candle("USDJPY", int(second.clock.utc_s()) // 60 - 45, 1.0))
    assert [len(bars_of(second, symbol)) for symbol in ("EURUSD", "USDJPY")] == [30, 31]
    wall.at_s += 600.0
    second.housekeeping.due_s = second.housekeeping._second_due_s = 0.0
    second.housekeeping.turn()
    for symbol in ("EURUSD", "GBPUSD"):
        assert bars_of(second, symbol) == bars_of(first, symbol)
    # One that has had another bar meanwhile goes on with what it has.
    assert len(bars_of(second, "USDJPY")) == 31
    second.housekeeping.save_all()
    kept = second.rows("SELECT symbol, count(*) AS n FROM bars GROUP BY symbol")
    assert {row["symbol"]: row["n"] for row in kept} == {"EURUSD": 40, "GBPUSD": 40, "USDJPY": 31}
    second.journal.close()


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
def test_a_feed_that_was_never_heard_is_silent_all_the_same(tmp_path: Path, step_s: float) -> None:
    wall = Wall()
    clock = SystemClock(wall)
    parts = Parts(tmp_path, clock, FEED_SILENCE_S="0.2")
    parts.vitals.started_utc_s -= parts.config.feed.silence_s + 1.0

    def a_second_later() -> list[str]:
        parts.housekeeping.due_s = parts.housekeeping._second_due_s = 0.0
        return parts.housekeeping.turn()

    assert eventually(a_second_later, "its socket to be rebuilt") == ["feed"]
    assert parts.ask("health")["ready"] is False
    wall.at_s += step_s
    a_second_later()
    assert eventually(a_second_later, "its socket to be rebuilt again") == ["feed"]
    assert parts.vitals.clock_steps == 1
    assert parts.ask("health")["ready"] is False


def test_less_than_a_second_is_no_step() -> None:
    wall = Wall()
    clock = SystemClock(wall)
    wall.at_s += 0.9
    assert clock.reanchor() == 0.0


def test_a_retry_over_a_step_of_the_wall_clock_gets_the_first_reply(tmp_path: Path) -> None:
    wall = Wall()
    parts = Parts(tmp_path, SystemClock(wall))
    parts.journal.open()
    first = parts.score(signal_id="A")
    wall.at_s += 90.0
    parts.housekeeping.turn()
    assert parts.vitals.clock_steps == 1
    assert parts.score(signal_id="A")["score_id"] == first["score_id"]
    assert len(parts.rows()) == 1
    parts.journal.close()


def test_replies_of_the_future_are_none_after_a_restart(tmp_path: Path) -> None:
    first = Parts(tmp_path, ManualClock())
    first.journal.open()
    ahead = first.score(signal_id="A")["score_id"]
    first.journal.close()

    second = Parts(tmp_path, ManualClock(START_S - HOUR_S))
    second.journal.open()
    second.housekeeping.restore()
    second.clock.advance(HOUR_S)
    assert second.score(signal_id="A")["score_id"] != ahead
    second.journal.close()


def test_scores_after_a_restart_on_an_earlier_clock_are_kept_and_found(tmp_path: Path) -> None:
    first = Parts(tmp_path, ManualClock())
    first.journal.open()
    first.housekeeping.restore()
    ahead = [first.score(signal_id=f"A{n}")["score_id"] for n in range(3)]
    first.journal.close()

    second = Parts(tmp_path, ManualClock(START_S - HOUR_S))
    second.journal.open()
    second.housekeeping.restore()
    # Once it has come as far as the first run was, no number may be used again.
    behind = [second.score(signal_id=f"B{n}")["score_id"] for n in range(3)]
    second.clock.advance(HOUR_S)
    again = [second.score(signal_id=f"C{n}")["score_id"] for n in range(3)]
    kept = [row["score_id"] for row in second.rows()]
    assert kept == ahead + behind + again
    for signal_id in ("A1", "B1", "C1"):
        assert second.ask("outcome", outcome="WIN", signal_id=signal_id)["matched"] is True
    second.journal.close()


@pytest.mark.skipif(not FAKETIME.exists(), reason="libfaketime (Debian: faketime) is not here")
def test_the_process_goes_on_through_jumps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setting, fresh = tmp_path / "offset", tmp_path / "fresh"
    setting.write_text("+0")
    monkeypatch.setenv("LD_PRELOAD", str(FAKETIME))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(setting))
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    with running(tmp_path) as service, service.client() as client:
        monkeypatch.undo()
        for count, offset in enumerate(("+3600", "-3600", "+0"), 1):
            fresh.write_text(offset)
            fresh.replace(setting)  # which is never seen empty
            eventually(lambda n=count: client.stats()["clock_steps"] == n, "the step")
            reply = client.score("EURUSD", 75.0, signal_id=offset)
            assert reply.journalled is True
            assert client.outcome("WIN", signal_id=offset)["matched"] is True
        steps = [round(event["seconds"] / HOUR_S) for event in service.events("clock_stepped")]
        assert steps == [1, -2, 1]
        assert client.health()["ready"] is True
