"""What is done beside the answers: bars kept and restored, the journal, silence and faults told."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from serving import START_S, ManualClock, Parts, history, published_model, tick

from service.housekeeping import TooManyFaults


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path)


def test_a_journal_that_was_moved_away_gets_the_bars_again(
    parts: Parts, capsys: pytest.CaptureFixture[str]
) -> None:
    parts.warm()
    parts.let_pass(61)
    kept = parts.rows("SELECT symbol, minute FROM bars ORDER BY symbol, minute")
    assert kept
    path = parts.config.journal_path
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        (path.parent / name).rename(path.parent / f"moved-{name}")
    parts.let_pass(61)
    found = parts.rows("SELECT symbol, minute FROM bars ORDER BY symbol, minute")
    assert found[: len(kept)] == kept
    said = "".join(capsys.readouterr())
    assert "was moved or replaced" in said
    assert "journal works again" in said


def test_a_journal_that_fails_again_at_once_is_not_called_working(
    parts: Parts, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on a full disk, where a little fits whenever the journal is opened anew."""
    path = parts.config.journal_path
    parts.journal.open()
    for n in range(4):
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            (path.parent / name).rename(path.parent / f"moved-{n}-{name}")
        parts.let_pass(4)
        assert parts.score()["journalled"]
        assert "was moved or replaced" in parts.ask("health")["reasons"][0]
        assert "was moved or replaced" in parts.ask("stats")["journal"]["fault"]
    said = "".join(capsys.readouterr())
    assert [said.count(of) for of in ("journal failed", "works again")] == [1, 0]
    parts.let_pass(2)
    assert parts.ask("health")["reasons"] == []
    assert parts.ask("stats")["journal"]["fault"] is None
    assert "".join(capsys.readouterr()).count("journal works again") == 1


def test_a_fault_that_follows_another_at_once_is_logged_too(
    parts: Parts, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else the log names the one that has passed for as long as the other lasts."""
    path = parts.config.journal_path
    parts.journal.open()
    path.rename(path.with_name("moved"))
    parts.let_pass(2)
    assert parts.journal.fault is None
    path.rename(path.with_name("moved again"))
    path.mkdir()
    parts.let_pass(60)
    assert "is no regular file" in parts.ask("health")["reasons"][0]
    said = "".join(capsys.readouterr())
    told = [said.count(of) for of in ("journal failed", "moved or replaced", "no regular file")]
    assert told == [2, 1, 1]


def test_who_has_nothing_to_write_leaves_the_journals_lock_alone(parts: Parts) -> None:
    parts.warm()
    parts.let_pass(3)
    with closing(sqlite3.connect(parts.config.journal_path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        parts.let_pass(20)
        assert parts.journal.fault is None


def test_what_is_amiss_is_a_warning_in_the_log(
    parts: Parts, capsys: pytest.CaptureFixture[str]
) -> None:
    parts.let_pass(40)
    said = "".join(capsys.readouterr()).splitlines()
    assert ["warning" in line for line in said if "feed_silent" in line] == [True]
    assert ["doctor says where to look" in line for line in said if "feed_silent" in line] == [True]


def test_bars_are_saved_by_the_minute_and_restored(tmp_path: Path) -> None:
    before = Parts(tmp_path)
    before.engine.install(published_model(before.config.models_dir, START_S))
    before.warm()
    before.let_pass(61)
    assert before.rows("SELECT count(*) AS n FROM symbols") == [{"n": 2}]
    after = Parts(tmp_path, before.clock)
    after.housekeeping.restore()
    after.engine.install(before.engine.model)
    minutes = [list(e.engine.intake.feeds["EURUSD"].state.bars.minutes) for e in (before, after)]
    assert minutes[0] == minutes[1]
    assert len(minutes[0]) >= 40
    assert after.score(direction="BUY")["status"] == "warming_up"
    after.feed(*[f for f in history(("EURUSD", "GBPUSD"), after.clock.utc_s()) if b"OHLC" not in f])
    assert after.score(direction="BUY")["status"] == "success"


def test_only_new_and_changed_bars_are_written_each_minute(tmp_path: Path) -> None:
    parts = Parts(tmp_path)
    parts.warm()
    parts.let_pass(60)
    # What has been saved is not written again: a foreign mark on it stays.
    with sqlite3.connect(parts.config.journal_path) as connection:
        connection.execute("UPDATE bars SET close = 7.0")
    connection.close()
    before = parts.rows("SELECT close FROM bars WHERE symbol = 'EURUSD'")
    for second in range(130):
        parts.feed(tick("EURUSD", parts.clock.utc_s(), 1.1 + 1e-5 * second))
        parts.let_pass()
    closes = parts.rows("SELECT close FROM bars WHERE symbol = 'EURUSD' ORDER BY minute")
    marked = [row["close"] == 7.0 for row in closes]
    # The newest of the saved ones is written again: a late tick may have changed it.
    assert marked == [True] * (len(before) - 1) + [False] * (len(marked) - len(before) + 1)
    assert len(marked) == len(before) + 2


def test_a_symbol_that_began_anew_leaves_no_older_bars_in_the_journal(tmp_path: Path) -> None:
    parts = Parts(tmp_path)
    parts.warm()
    parts.let_pass(61)
    parts.endpoint.clock.epoch += 1  # event times from before cannot be compared any more
    for _ in range(130):
        parts.feed(tick("EURUSD", parts.clock.utc_s()))
        parts.let_pass()
    (bar,) = parts.engine.intake.feeds["EURUSD"].state.bars
    assert parts.rows("SELECT minute FROM bars WHERE symbol = 'EURUSD'") == [{"minute": bar.minute}]


def test_a_stand_by_that_takes_over_leaves_the_bars_in_the_journal(tmp_path: Path) -> None:
    parts = Parts(tmp_path, FEED_CLOCK_OFFSET="auto")
    stand_by = parts.engine.endpoint("stand-by", volume_is_deal=False)

    def minutes(count: int) -> None:
        for second in range(60 * count):
            stamp_s = parts.clock.utc_s() + 10_800.0
            parts.feed(tick("EURUSD", stamp_s, 1.1 + 1e-5 * (second % 7)))
            parts.let_pass()

    def kept() -> list[dict[str, object]]:
        return parts.rows("SELECT * FROM bars WHERE symbol = 'EURUSD' ORDER BY minute")

    minutes(10)
    before = kept()
    assert len(before) >= 8
    parts.let_pass(31)
    parts.endpoint = stand_by
    minutes(4)
    assert stand_by.clock.offset_s == 10_800.0
    assert kept()[: len(before)] == before
    assert len(kept()) > len(before)


def test_a_bar_of_a_feed_that_is_a_little_ahead_of_our_clock_is_restored(tmp_path: Path) -> None:
    ahead = Parts(tmp_path, ManualClock(START_S + 62.0))
    ahead.warm()
    newest = ahead.engine.intake.feeds["EURUSD"].state.bars.minutes[-1]
    ahead.housekeeping.save_all()
    ahead.journal.close()
    again = Parts(tmp_path, ManualClock((newest + 1) * 60.0 - 3.0))
    again.housekeeping.restore()
    assert again.engine.intake.feeds["EURUSD"].state.bars.minutes[-1] == newest


def test_bars_from_before_a_wrong_clock_was_set_right_are_not_restored(tmp_path: Path) -> None:
    wrong = Parts(tmp_path, ManualClock(START_S + 86_400.0))
    wrong.warm()
    wrong.housekeeping.save_all()
    wrong.journal.close()
    right = Parts(tmp_path)
    right.housekeeping.restore()
    assert right.engine.intake.feeds["EURUSD"].state.first_tick_s is None
    for _ in range(130):
        right.feed(tick("EURUSD", right.clock.utc_s()))
        right.let_pass()
    bars = right.engine.intake.feeds["EURUSD"].state.bars
    minute = int(START_S) // 60
    assert list(bars.minutes) == [minute, minute + 1]
    assert [day.day for day in bars.days] == [minute // 1440]
    kept = right.rows("SELECT minute FROM bars WHERE symbol = 'EURUSD' ORDER BY 1")
    assert [row["minute"] for row in kept] == list(bars.minutes)


def test_symbols_that_made_room_leave_the_journal(tmp_path: Path) -> None:
    parts = Parts(tmp_path, LIMITS_SYMBOLS="2", LIMITS_SYMBOL_IDLE_S="10")
    parts.warm()
    parts.let_pass(61)
    parts.warm("AUDUSD", "NZDUSD")
    parts.let_pass(61)
    assert parts.rows("SELECT symbol FROM symbols") == [{"symbol": "AUDUSD"}, {"symbol": "NZDUSD"}]
    assert parts.rows("SELECT DISTINCT symbol FROM bars ORDER BY 1") == [
        {"symbol": "AUDUSD"},
        {"symbol": "NZDUSD"},
    ]


def test_a_silent_feed_is_said_once_and_its_socket_rebuilt(tmp_path: Path) -> None:
    parts = Parts(tmp_path, FEED_SILENCE_S="5")
    parts.warm()
    parts.let_pass(4)
    assert parts.ask("health")["ready"] is True
    rebuilt = []
    for _ in range(12):
        parts.clock.advance(1.0)
        rebuilt += parts.housekeeping.turn()
    assert "feed" in parts.ask("health")["reasons"][0]
    assert rebuilt == ["feed", "feed"]
    for _ in range(8):
        parts.warm()
        parts.clock.advance(1.0)
        assert parts.housekeeping.turn() == []
    assert parts.ask("health")["ready"] is True
    silent, back = parts.rows("SELECT kind, detail FROM events")
    assert (silent["kind"], back["kind"]) == ("feed_silent", "feed_back")
    assert "advice" not in silent["detail"]


def test_ten_faults_in_a_minute_end_it_and_fewer_do_not(tmp_path: Path) -> None:
    parts = Parts(tmp_path)

    def fault(count: int) -> None:
        for n in range(count):
            parts.feed(tick("EURUSD", parts.clock.utc_s(), 1.1 + n * 1e-5))
            parts.engine.intake.feeds["EURUSD"].state.buckets = None  # type: ignore[assignment]
            parts.feed(tick("EURUSD", parts.clock.utc_s(), 1.2 + n * 1e-5))

    fault(9)
    parts.let_pass(61)
    fault(9)
    parts.let_pass(1)
    fault(1)
    parts.clock.advance(1.0)
    with pytest.raises(TooManyFaults):
        parts.housekeeping.turn()
    assert len(parts.rows("SELECT * FROM events WHERE kind = 'tick_fault'")) == 19


def test_faults_from_before_the_clock_was_set_back_do_not_end_it(tmp_path: Path) -> None:
    parts = Parts(tmp_path)
    for n in range(12):
        parts.feed(tick("EURUSD", parts.clock.utc_s(), 1.1 + n * 1e-5))
        parts.engine.intake.feeds["EURUSD"].state.buckets = None  # type: ignore[assignment]
        parts.feed(tick("EURUSD", parts.clock.utc_s(), 1.2 + n * 1e-5))
        for _ in range(60):
            parts.clock.advance(9.0)
            parts.let_pass()
    parts.clock._utc_s -= 8 * 3600.0
    parts.let_pass(2)
    assert len(parts.rows("SELECT * FROM events WHERE kind = 'tick_fault'")) == 12
