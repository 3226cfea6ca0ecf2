"""What is taken up of a journal that cannot be read yet, or not all of it, or is another one."""

from __future__ import annotations

import re
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import pytest
from serving import Parts, tick

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
