"""What the journal keeps of symbols over restarts, and what goes at a start."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from serving import START_S, ManualClock, Parts, tick

from protocol.schema import SCHEMA

SYMBOLS = ("AUDUSD", "EURUSD", "GBPUSD", "USDJPY")


def kept(folder: Path) -> Parts:
    """A process that ended when it had written bars of all symbols."""
    parts = Parts(folder)
    assert parts.journal.open()
    parts.warm(*SYMBOLS)
    parts.score(signal_id="S", direction="BUY", entry_price=1.1, stop_loss=1.09, take_profit=1.12)
    parts.housekeeping.save_all()
    parts.journal.close()
    return parts


def started(before: Parts, **values: str) -> Parts:
    """The next process, restored; the journal is closed, but what was read is there."""
    parts = Parts(before.config.journal_path.parent, before.clock, **values)
    assert parts.journal.open()
    parts.housekeeping.restore()
    parts.journal.close()
    return parts


def names(parts: Parts, table: str) -> dict[object, int]:
    """How many rows of each name lie in a table, whatever index leads to them."""
    with closing(sqlite3.connect(parts.config.journal_path)) as connection:
        connection.text_factory = bytes
        found = f"SELECT +symbol, count(*) FROM {table} GROUP BY +symbol"
        return dict(connection.execute(found).fetchall())


@pytest.mark.parametrize("of", [b"USD", b'USD{"days'], ids=["bars", "symbols"])
def test_a_name_that_the_disk_damaged_is_told_of_once(
    tmp_path: Path, of: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    before = kept(tmp_path)
    content = bytearray(before.config.journal_path.read_bytes())
    at = content.index(b"AUD" + of)
    content[at] |= 0x80  # the first one, and its new name belongs behind the last
    before.config.journal_path.write_bytes(content)
    told = []
    for _ in range(3):
        started(before)
        told.append("damaged rows" in "".join(capsys.readouterr()))
    assert told == [True, False, False]
    assert b"\xc1UDUSD" not in names(before, "bars").keys() | names(before, "symbols").keys()
    assert names(before, "bars")[b"EURUSD"] == 40


def test_a_name_that_is_no_text_goes_and_its_namesake_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = kept(tmp_path)
    with closing(sqlite3.connect(before.config.journal_path)) as connection, connection:
        for table in "bars", "symbols":
            whole = f"INSERT INTO {table} SELECT CAST(symbol AS BLOB), "
            rest = "minute, open, high, low, close" if table == "bars" else "facts"
            connection.execute(f"{whole}{rest} FROM {table} WHERE symbol = 'EURUSD'")
    assert len(started(before).engine.intake.feeds) == 4
    assert "damaged rows" in "".join(capsys.readouterr())
    assert len(started(before).engine.intake.feeds) == 4
    assert "damaged rows" not in "".join(capsys.readouterr())
    assert names(before, "bars") == {name.encode(): 40 for name in SYMBOLS}


def test_since_when_a_symbol_ticks_and_when_it_last_had_volume_outlive_a_restart(
    tmp_path: Path,
) -> None:
    parts = Parts(tmp_path)
    assert parts.journal.open()
    parts.warm("EURUSD")
    parts.feed(tick("EURUSD", parts.clock.utc_s(), volume=2.0))
    parts.housekeeping.save_all()
    parts.journal.close()
    old, new = (each.engine.intake.feeds["EURUSD"].state for each in (parts, started(parts)))
    assert old.first_tick_s is not None
    assert old.last_volume_s is not None
    assert (new.first_tick_s, new.last_volume_s) == (old.first_tick_s, old.last_volume_s)


def test_bars_of_a_name_that_was_mapped_go_and_those_beyond_the_limit_stay(tmp_path: Path) -> None:
    before = kept(tmp_path)
    mapped = {"FEED_SYMBOL_MAP": '{"EURUSD": "EURO"}', "LIMITS_SYMBOLS": "2"}
    assert list(started(before, **mapped).engine.intake.feeds) == ["AUDUSD", "GBPUSD"]
    for table in "bars", "symbols":
        assert set(names(before, table)) == {b"AUDUSD", b"GBPUSD", b"USDJPY"}
    assert list(started(before).engine.intake.feeds) == ["AUDUSD", "GBPUSD", "USDJPY"]


def test_what_cannot_be_dropped_costs_nothing_of_what_is_restored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = kept(tmp_path)
    with closing(sqlite3.connect(before.config.journal_path)) as connection, connection:
        connection.execute("DELETE FROM symbols WHERE symbol = 'USDJPY'")
        refuse = "SELECT RAISE(ABORT, 'no room')"
        connection.execute(f"CREATE TRIGGER full BEFORE DELETE ON bars BEGIN {refuse}; END")
    after = started(before)
    assert after.journal.fault is None
    assert "IntegrityError: no room" in "".join(capsys.readouterr())
    assert list(after.engine.intake.feeds) == ["AUDUSD", "EURUSD", "GBPUSD"]
    assert len(after.engine.paper) == 1
    assert after.score(signal_id="S")["score_id"].startswith("run")


def test_a_journal_that_is_held_at_a_start_is_restored_when_it_is_let_go(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = kept(tmp_path)
    after = Parts(tmp_path, before.clock)
    with closing(sqlite3.connect(before.config.journal_path)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert after.journal.open()
        after.housekeeping.restore()
    assert after.journal.fault is not None
    after.feed(tick("EURUSD", after.clock.utc_s()))
    after.let_pass(61)
    assert after.journal.fault is None
    assert set(after.engine.intake.feeds) == set(SYMBOLS)
    # With the minute of that tick.
    bars = {name: 40 + (name == "EURUSD") for name in SYMBOLS}
    assert {name: len(feed.state.bars) for name, feed in after.engine.intake.feeds.items()} == bars
    assert len(after.engine.paper) == 1
    assert "damaged" not in capsys.readouterr().out
    after.housekeeping.save_all()
    after.journal.close()
    assert names(after, "bars") == {name.encode(): count for name, count in bars.items()}


def test_what_cannot_be_read_at_a_start_is_not_dropped_when_it_can(tmp_path: Path) -> None:
    """As on a full disk, where SQLite finds no room for the file that readers share."""
    before = kept(tmp_path)
    held = before.config.journal_path.with_name("held")
    before.config.journal_path.rename(held)
    before.config.journal_path.mkdir()
    after = Parts(tmp_path, before.clock)
    assert not after.journal.open()
    after.housekeeping.restore()
    for _ in range(125):
        after.feed(tick("EURUSD", after.clock.utc_s()))
        after.let_pass()
    before.config.journal_path.rmdir()
    held.rename(before.config.journal_path)
    after.let_pass(2)
    assert after.journal.fault is None
    assert set(after.engine.intake.feeds) == set(SYMBOLS)
    assert [len(after.engine.intake.feeds[name].state.bars) for name in SYMBOLS] == [40, 2, 40, 40]
    after.housekeeping.save_all()
    after.journal.close()
    assert names(after, "bars") == {name.encode(): 40 + 2 * (name == "EURUSD") for name in SYMBOLS}


@pytest.mark.parametrize("behind_s", [600.0, 7 * 3600.0])
def test_a_start_on_a_clock_that_is_behind_costs_no_bar(tmp_path: Path, behind_s: float) -> None:
    before = kept(tmp_path)
    behind = Parts(tmp_path, ManualClock(START_S - behind_s))
    assert behind.journal.open()
    behind.housekeeping.restore()
    assert len(behind.engine.intake.feeds["EURUSD"].state.bars) < 40
    behind.let_pass(61)
    behind.feed(tick("EURUSD", behind.clock.utc_s()))
    behind.let_pass(10)  # no minute of it has ended yet
    behind.housekeeping.save_all()
    behind.journal.close()
    assert names(behind, "bars") == {name.encode(): 40 for name in SYMBOLS}
    assert len(started(before).engine.intake.feeds["EURUSD"].state.bars) == 40


def test_where_a_bar_is_made_those_of_the_future_go(tmp_path: Path) -> None:
    kept(tmp_path)
    behind = Parts(tmp_path, ManualClock(START_S - 7 * 3600.0))
    assert behind.journal.open()
    behind.housekeeping.restore()
    for _ in range(61):
        behind.feed(tick("EURUSD", behind.clock.utc_s()))
        behind.let_pass()
    behind.housekeeping.save_all()
    behind.journal.close()
    others = {name.encode(): 40 for name in SYMBOLS if name != "EURUSD"}
    assert names(behind, "bars") == others | {b"EURUSD": 1}


def test_a_symbol_whose_rows_are_damaged_begins_anew_and_is_kept_from_then_on(
    tmp_path: Path,
) -> None:
    before = kept(tmp_path)
    with closing(sqlite3.connect(before.config.journal_path)) as connection, connection:
        damage = "UPDATE symbols SET facts = x'7b' WHERE symbol = 'EURUSD'"
        assert connection.execute(damage).rowcount == 1
    after = Parts(tmp_path, before.clock)
    assert after.journal.open()
    after.housekeeping.restore()
    assert list(after.engine.intake.feeds) == ["AUDUSD", "GBPUSD", "USDJPY"]
    for _ in range(125):
        after.feed(tick("EURUSD", after.clock.utc_s()))
        after.let_pass()
    after.housekeeping.save_all()
    after.journal.close()
    assert names(after, "bars") == {name.encode(): 40 for name in SYMBOLS} | {b"EURUSD": 2}
    assert len(started(after).engine.intake.feeds["EURUSD"].state.bars) == 2


def test_however_many_bars_a_symbol_has_few_are_written_in_a_turn(tmp_path: Path) -> None:
    parts = Parts(tmp_path)
    parts.warm(*(f"S{number:02}USD" for number in range(60)))
    written = [0]
    for _ in range(5):
        parts.let_pass()
        written.append(sum(names(parts, "bars").values()))
    assert written[-1] == 60 * 40
    most = max(after - before for before, after in pairwise(written))
    assert 0 < most < 1_000 + SCHEMA.constants["kept_bars"]


def test_a_bar_is_written_as_soon_as_its_minute_has_ended_for_the_feed(tmp_path: Path) -> None:
    """Stamps are whole seconds and travel: the feed's minute ends after the machine's."""
    parts = Parts(tmp_path, ManualClock(START_S - 0.05))
    assert parts.journal.open()
    while parts.clock.utc_s() < START_S + 183.0:
        parts.feed(tick("EURUSD", int(parts.clock.utc_s() - 0.3)))
        parts.clock.advance(0.1)
        parts.housekeeping.turn()
    assert len(parts.engine.intake.feeds["EURUSD"].state.bars) == 3
    assert names(parts, "bars") == {b"EURUSD": 3}


def test_minutes_that_pass_faster_than_they_are_written_leave_no_symbol_out(tmp_path: Path) -> None:
    """As where a recording is played."""
    symbols = tuple(f"S{number:02}USD" for number in range(60))
    parts = Parts(tmp_path)
    assert parts.journal.open()
    for minute in range(6):
        parts.feed(*(tick(name, START_S + 60.0 * minute) for name in symbols))
        parts.let_pass()
    assert set(names(parts, "bars")) == {name.encode() for name in symbols}


@pytest.mark.parametrize("moved", [False, True], ids=["held", "moved away"])
def test_a_fault_while_bars_are_written_delays_none_to_the_next_minute(
    tmp_path: Path, moved: bool
) -> None:
    symbols = tuple(f"S{number:02}USD" for number in range(60))
    parts = Parts(tmp_path)
    parts.warm(*symbols)
    parts.let_pass()
    path = parts.config.journal_path
    assert 0 < len(names(parts, "bars")) < len(symbols)
    if moved:
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            (path.parent / name).rename(path.parent / f"moved-{name}")
        parts.let_pass(3)
    else:
        with closing(sqlite3.connect(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            parts.let_pass(3)
            assert parts.journal.fault is not None
    parts.let_pass(10)
    assert parts.journal.fault is None
    assert names(parts, "bars") == {name.encode(): 40 for name in symbols}


def test_bars_that_cannot_be_written_cost_few_answers(tmp_path: Path) -> None:
    parts = Parts(tmp_path)
    assert parts.journal.open()
    parts.warm("EURUSD")
    parts.let_pass()
    with closing(sqlite3.connect(parts.config.journal_path)) as other, other:
        refuse = "SELECT RAISE(ABORT, 'damaged')"
        other.execute(f"CREATE TRIGGER damaged BEFORE INSERT ON bars BEGIN {refuse}; END")
    lost = 0
    for number in range(1_300):
        parts.feed(tick("EURUSD", int(parts.clock.utc_s())))
        parts.clock.advance(0.1)
        parts.housekeeping.turn()
        lost += not parts.score(signal_id=f"S{number}")["journalled"]
    assert parts.journal.errors
    assert lost <= 2 * 2 * 10  # of two minutes, each with two rounds and a second until it is open
