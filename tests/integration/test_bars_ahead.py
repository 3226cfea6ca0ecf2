"""Bars of the future in the journal: of a clock that was ahead, or this one is behind."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from serving import START_S, ManualClock, Parts, tick

from service.clock import SystemClock
from service.journal.read_back import load_bars
from service.journal.records import BarRow, SymbolRow

SYMBOLS = ("EURUSD", "GBPUSD")
HOURS_S = 7 * 3600.0


def kept(folder: Path) -> Parts:
    """A process that ended when it had written 40 bars of each symbol."""
    parts = Parts(folder)
    assert parts.journal.open()
    parts.warm(*SYMBOLS)
    parts.housekeeping.save_all()
    parts.journal.close()
    return parts


@contextmanager
def held(parts: Parts) -> Iterator[None]:
    """Another program keeps the journal from being written."""
    with closing(sqlite3.connect(parts.config.journal_path)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def bars_of(parts: Parts) -> list[int]:
    """How many bars each symbol has in memory."""
    return [len(parts.engine.intake.feeds[name].state.bars) for name in SYMBOLS]


def rows_of(parts: Parts) -> list[int]:
    """How many each has in the journal."""
    with closing(sqlite3.connect(parts.config.journal_path)) as connection:
        count = "SELECT count(*) FROM bars WHERE symbol = ?"
        return [connection.execute(count, (name,)).fetchone()[0] for name in SYMBOLS]


@pytest.mark.parametrize("is_held", [False, True], ids=["free", "held"])
def test_rows_of_the_future_do_not_displace_what_is_made(tmp_path: Path, is_held: bool) -> None:
    before = kept(tmp_path)
    assert before.journal.open()
    facts = load_bars(before.journal)[1][0].facts
    tomorrow = int(START_S) // 60 + 1440
    rows = [BarRow("EURUSD", tomorrow + n, 1.1, 1.2, 1.0, 1.1) for n in range(240)]
    before.journal.save_bars(rows, [SymbolRow("EURUSD", facts)])
    before.journal.close()

    after = Parts(tmp_path, before.clock)
    assert after.journal.open()
    if is_held:
        with held(after):
            after.housekeeping.restore()
        assert after.journal.fault is not None
    else:
        after.housekeeping.restore()
    for _ in range(250):
        after.feed(tick("EURUSD", after.clock.utc_s()))
        after.let_pass()
    assert bars_of(after) == [4, 40]
    assert rows_of(after) == [4, 40]


class Wall:
    """A wall clock that goes on as the monotonic one does, and is set by hand."""

    def __init__(self, utc_s: float) -> None:
        self.at_s = utc_s - time.monotonic()

    def __call__(self) -> float:
        return self.at_s + time.monotonic()


def turn(parts: Parts) -> None:
    """A turn of housekeeping with all that is done each second."""
    parts.housekeeping.due_s = parts.housekeeping._second_due_s = 0.0
    parts.housekeeping.turn()


@pytest.mark.parametrize("at", ["the start", "a write", "the step"])
def test_a_journal_that_is_held_for_a_while_keeps_the_bars_of_the_hours_ahead(
    tmp_path: Path, at: str
) -> None:
    kept(tmp_path)
    wall = Wall(START_S - HOURS_S)
    behind = Parts(tmp_path, SystemClock(wall))  # type: ignore[arg-type]
    assert behind.journal.open()
    if at == "the start":
        with held(behind):
            behind.housekeeping.restore()
    else:
        behind.housekeeping.restore()
        with held(behind):
            behind.housekeeping.event("a write")
            if at == "the step":
                wall.at_s += HOURS_S
                turn(behind)
    assert behind.journal.fault is not None
    turn(behind)
    assert behind.journal.fault is None
    behind.housekeeping.save_all()
    assert rows_of(behind) == [40, 40]
    if at != "the step":
        wall.at_s += HOURS_S
        turn(behind)
    assert bars_of(behind) == [40, 40]


def test_a_minute_that_is_damaged_ends_no_service_where_the_journal_was_held(
    tmp_path: Path,
) -> None:
    before = kept(tmp_path)
    with closing(sqlite3.connect(before.config.journal_path)) as connection, connection:
        oldest = "(SELECT min(minute) FROM bars)"
        damage = f"UPDATE bars SET minute = x'ff' WHERE symbol = 'EURUSD' AND minute = {oldest}"
        assert connection.execute(damage).rowcount == 1
    after = Parts(tmp_path, ManualClock(START_S))
    assert after.journal.open()
    with held(after):
        after.housekeeping.restore()
    for _ in range(130):
        after.feed(tick("EURUSD", after.clock.utc_s()))
        after.let_pass()
    after.housekeeping.save_all()
    after.journal.close()
    assert len(after.engine.intake.feeds["EURUSD"].state.bars) == 2
    again = Parts(tmp_path, after.clock)
    assert again.journal.open()
    again.housekeeping.restore()
    assert bars_of(again) == [39 + 2, 40]


def steps_of_a_look(parts: Parts) -> int:
    """How many steps SQLite takes to give back what lies ahead no more."""
    steps = []
    connection = parts.journal._connection
    assert connection is not None
    connection.set_progress_handler(lambda: steps.append(1), 1)
    parts.housekeeping._bars.look_ahead(parts.clock.utc_s())
    connection.set_progress_handler(None, 1)
    return len(steps)


def test_for_a_symbol_without_a_bar_no_others_bars_are_read(tmp_path: Path) -> None:
    before = kept(tmp_path)
    after = Parts(tmp_path, before.clock)
    assert after.journal.open()
    after.housekeeping.restore()
    after.feed(tick("LONE", after.clock.utc_s()))  # the last quote of a closed market
    after.housekeeping.save_all()
    first, second = (steps_of_a_look(after) for _ in range(2))
    assert first < rows_of(after)[0]
    assert second == 0  # by now it is known that there is nothing
