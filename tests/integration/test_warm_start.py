"""What is taken up of a journal that cannot be read yet, or not all of it, or is another one."""

from __future__ import annotations

import re
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import pytest
from serving import START_S, ManualClock, Parts, tick

SIGNAL = {"direction": "BUY", "entry_price": 1.1, "stop_loss": 1.09, "take_profit": 1.12}


def ended(folder: Path, *symbols: str, scores: int = 1) -> Parts:
    """A process that ended when it had written bars, a position and scores that ask for none."""
    parts = Parts(folder)
    assert parts.journal.open()
    parts.warm(*(symbols or ("EURUSD", "GBPUSD")))
    parts.score(signal_id="S", **SIGNAL)
    for number in range(scores - 1):
        parts.clock.advance(0.01)
        parts.score(signal_id=f"S{number}")
    parts.housekeeping.save_all()
    parts.journal.close()
    return parts


def bars_of(parts: Parts) -> dict[str, int]:
    """How many bars each symbol has in memory."""
    return {name: len(feed.state.bars) for name, feed in parts.engine.intake.feeds.items()}


def spoil_a_leaf(path: Path, table: str, which: int) -> None:
    """Overwrite the beginning of one of the pages that a table's first page leads to."""
    with closing(sqlite3.connect(path)) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        master = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        (root,) = connection.execute(master, (table,)).fetchone()
    content = bytearray(path.read_bytes())
    begins = (root - 1) * size
    assert content[begins] in (2, 5), "a page that leads to others"
    (count,) = struct.unpack_from(">H", content, begins + 3)
    cells = struct.unpack_from(f">{count}H", content, begins + 12)
    (leaf,) = struct.unpack_from(">I", content, begins + cells[which])
    content[(leaf - 1) * size : (leaf - 1) * size + 200] = b"\xff" * 200
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("table", "which", "parts"),
    [("bars", 0, ["bars"]), ("scores", -1, ["replies", "positions"]), ("lookup", 0, ["positions"])],
)
def test_a_page_that_cannot_be_read_costs_what_lies_on_it_and_no_score(
    tmp_path: Path, table: str, which: int, parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = ended(tmp_path, *(f"S{number:02}USD" for number in range(20)), scores=1_500)
    spoil_a_leaf(before.config.journal_path, table, which)
    after = Parts(tmp_path, before.clock)
    assert after.journal.open()
    after.housekeeping.restore()
    journalled = []
    for number in range(20):
        journalled.append(after.score(signal_id=f"N{number}")["journalled"])
        after.let_pass()
        journalled.append(after.score(signal_id=f"M{number}")["journalled"])
    assert set(journalled) == {True}
    assert len(after.engine.paper) == 1
    assert len(after.engine.intake.feeds) == (0 if table == "bars" else 20)
    said = "".join(capsys.readouterr())
    assert said.count("malformed") == said.count("a part of the journal is damaged") == len(parts)
    assert re.findall(r"part=(\w+)", said) == parts
    assert "journal failed" not in said


def test_bars_beside_a_damaged_page_are_not_written_and_keep_no_answer_from_the_journal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"S{number:02}USD" for number in range(20)]
    before = ended(tmp_path, *names, scores=5)
    spoil_a_leaf(before.config.journal_path, "bars", 1)
    after = Parts(tmp_path, before.clock)
    assert after.journal.open()
    after.housekeeping.restore()
    journalled = []
    for second in range(130):
        for name in names:
            after.feed(tick(name, after.clock.utc_s(), 1.1 + second % 7 * 1e-4))
        after.let_pass()
        journalled.append(after.score(signal_id=f"N{second}")["journalled"])
    assert set(journalled) == {True}
    after.housekeeping.save_all()
    assert after.journal.fault is None
    assert "journal failed" not in "".join(capsys.readouterr())


def test_a_position_that_ended_before_that_could_be_written_is_not_taken_up_again(
    tmp_path: Path,
) -> None:
    before = ended(tmp_path)
    refuse = "BEGIN SELECT RAISE(ABORT, 'no room'); END"
    with closing(sqlite3.connect(before.config.journal_path)) as other, other:
        other.execute("DELETE FROM symbols WHERE symbol = 'GBPUSD'")
        other.execute(f"CREATE TRIGGER full BEFORE DELETE ON bars {refuse}")
        other.execute(f"CREATE TRIGGER fuller BEFORE INSERT ON events {refuse}")
    after = Parts(tmp_path, before.clock)
    assert after.journal.open()
    after.housekeeping.restore()
    for second in range(3):
        after.feed(tick("EURUSD", after.clock.utc_s(), 1.1 + 0.03 * (second > 0)))
        after.let_pass()
    assert after.journal.fault is not None
    assert after.engine.paper.counts == {"resumed": 1, "win_tp": 1}
    with closing(sqlite3.connect(before.config.journal_path)) as other, other:
        other.execute("DROP TRIGGER full")
        other.execute("DROP TRIGGER fuller")
    for _ in range(3):
        after.feed(tick("EURUSD", after.clock.utc_s(), 1.13))
        after.let_pass()
    assert after.journal.fault is None
    assert after.engine.paper.counts == {"resumed": 1, "win_tp": 1}
    assert [row["outcome"] for row in after.rows("SELECT outcome FROM outcomes")] == ["WIN_TP"]


def test_a_journal_whose_disk_comes_late_is_taken_up_when_it_is_there(tmp_path: Path) -> None:
    before = ended(tmp_path)
    path = before.config.journal_path
    real = path.rename(tmp_path / "real")
    after = Parts(tmp_path, before.clock)
    assert after.journal.open()
    after.journal.checkpoint()
    after.housekeeping.restore()
    for _ in range(61):
        after.feed(tick("EURUSD", after.clock.utc_s()))
        after.let_pass()
    real.replace(path)
    after.let_pass(2)
    assert after.journal.fault is None
    assert bars_of(after) == {"EURUSD": 1, "GBPUSD": 40}
    assert len(after.engine.paper) == 1
    for _ in range(60):
        after.feed(tick("EURUSD", after.clock.utc_s()))
        after.let_pass()
    after.housekeeping.save_all()
    after.journal.close()
    again = Parts(tmp_path, after.clock)
    assert again.journal.open()
    again.housekeeping.restore()
    assert bars_of(again) == {"EURUSD": 42, "GBPUSD": 40}


def test_another_journal_in_its_place_gets_what_the_one_before_had_given_back(
    tmp_path: Path,
) -> None:
    ended(tmp_path)
    behind = Parts(tmp_path, ManualClock(START_S - 600.0))
    assert behind.journal.open()
    behind.housekeeping.restore()
    assert bars_of(behind) == {"EURUSD": 30, "GBPUSD": 30}
    behind.let_pass(1)
    (tmp_path / "away").mkdir()
    for part in tmp_path.glob("journal.db*"):
        part.rename(tmp_path / "away" / part.name)
    behind.let_pass(60)
    rows = behind.rows("SELECT symbol, count(*) AS n FROM bars GROUP BY symbol")
    assert {row["symbol"]: row["n"] for row in rows} == {"EURUSD": 30, "GBPUSD": 30}


def test_numbers_of_scores_rise_over_those_of_another_journal(tmp_path: Path) -> None:
    late = Parts(tmp_path, ManualClock(START_S + 3600.0))
    assert late.journal.open()
    late.score()
    late.journal.close()
    real = late.config.journal_path.rename(tmp_path / "real")
    after = Parts(tmp_path)
    assert after.journal.open()
    after.housekeeping.restore()
    real.replace(after.config.journal_path)
    after.let_pass(2)
    after.score()
    first, second = after.rows("SELECT seq FROM scores ORDER BY scored_at DESC")
    assert second["seq"] > first["seq"]


def test_a_damaged_number_beyond_all_others_costs_no_later_score(tmp_path: Path) -> None:
    before = ended(tmp_path)
    with closing(sqlite3.connect(before.config.journal_path)) as connection, connection:
        connection.execute("UPDATE scores SET seq = ?", ((1 << 63) - 1,))
    after = Parts(tmp_path, before.clock)
    assert after.journal.open()
    after.housekeeping.restore()
    assert after.score(signal_id="N")["journalled"]
    assert {row["signal_id"] for row in after.rows()} == {"S", "N"}
