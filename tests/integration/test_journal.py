"""What is written is there, whoever reads it; what cannot be written is said and stops nothing."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from journals import Journal
from scored_journal import outcome_row, score_row, vectors
from serving import rows

from service.journal.bar_table import KEPT_BARS
from service.journal.event_table import KEPT_EVENTS, TIDY_EVERY
from service.journal.file import open_reader, open_writer
from service.journal.outcome_table import Written
from service.journal.read_back import load_bars, load_bars_of, load_replies
from service.journal.records import BarRow, EventRow, ScoreRow, SymbolRow
from service.journal.writer import FOLLOWED_TOGETHER

X = vectors(20)
EVENT = EventRow(at=1.0, kind="tested", detail={"n": 1, "text": "é", "none": None})


def score(i: int, **changes: object) -> ScoreRow:
    return score_row(i, X[i], **changes)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal(tmp_path / "deep" / "journal.db")
    assert journal.open()
    return journal


def test_rows_are_there_for_another_reader_before_the_writer_closes(journal: Journal) -> None:
    assert journal.write([score(0), outcome_row(0, True), EVENT]) == [
        Written(True),
        Written(True, matched=True),
        Written(True),
    ]
    (row,) = rows(journal.path, "SELECT * FROM scores")
    assert row["signal_id"] == "SIG_0"
    assert row["features"] == X[0].astype("<f8").tobytes()
    assert rows(journal.path, "SELECT kind, detail FROM events") == [
        {"kind": "tested", "detail": '{"n": 1, "none": null, "text": "\\u00e9"}'}
    ]


def test_of_each_kind_of_event_the_oldest_go(journal: Journal) -> None:
    rare = [EventRow(at=float(n), kind="rare", detail={}) for n in range(3)]
    noise = [EventRow(at=float(n), kind="noise", detail={}) for n in range(KEPT_EVENTS)]
    journal.write([*rare, *noise, *noise])

    def kept(kind: str) -> list[float]:
        found = rows(journal.path, f"SELECT at FROM events WHERE kind = '{kind}' ORDER BY seq")
        return [row["at"] for row in found]

    assert kept("rare") == [0.0, 1.0, 2.0]
    assert KEPT_EVENTS <= len(kept("noise")) < KEPT_EVENTS + TIDY_EVERY
    assert kept("noise")[-KEPT_EVENTS:] == [row.at for row in noise]
    assert len(kept("noise")) > KEPT_EVENTS
    journal.catch_up()  # as each start does
    assert kept("noise") == [row.at for row in noise]


def test_a_closed_journal_is_one_file_that_anyone_reads(journal: Journal) -> None:
    journal.write([score(0)])
    journal.close()
    assert [path.name for path in journal.path.parent.iterdir()] == ["journal.db"]
    assert len(rows(journal.path, "SELECT * FROM scores")) == 1
    with pytest.raises(FileNotFoundError, match="has the service run"):
        open_reader(journal.path.with_name("other.db"))


def test_a_closed_journal_is_complete_without_its_wal_also_beside_a_reader(
    journal: Journal,
) -> None:
    journal.write([score(0)])
    reader = open_reader(journal.path)
    reader.execute("SELECT * FROM scores").fetchall()
    journal.close()
    alone = shutil.copy(journal.path, journal.path.with_name("alone.db"))
    assert len(rows(alone, "SELECT * FROM scores")) == 1
    reader.close()


def test_the_file_is_flushed_at_checkpoints_and_not_at_each_commit(tmp_path: Path) -> None:
    with closing(open_writer(tmp_path / "journal.db")) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (1,)  # NORMAL


def test_readers_cannot_write(journal: Journal) -> None:
    journal.write([score(0)])
    reader = open_reader(journal.path)
    with pytest.raises(sqlite3.OperationalError):
        reader.execute("DELETE FROM scores")
    reader.close()


def test_a_reader_that_stays_does_not_stop_the_writer(journal: Journal) -> None:
    journal.write([score(0)])
    reader = open_reader(journal.path)
    seen = reader.execute("SELECT * FROM scores")
    seen.fetchone()
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM scores").fetchone()
    assert journal.write([score(1)]) == [Written(True)]
    journal.checkpoint()
    assert journal.fault is None
    reader.close()


def test_a_signals_scores_are_numbered_whoever_forgot_the_first(journal: Journal) -> None:
    journal.write([score(0), score(1)])
    journal.close()
    again = Journal(journal.path)
    again.write(
        [score(2, signal_id="SIG_0"), score(3, signal_id="SIG_0"), score(4, signal_id=None)]
    )
    assert again.settle()
    found = rows(again.path, "SELECT score_id, revision FROM scored ORDER BY seq")
    assert [row["revision"] for row in found] == [0, 0, 1, 2, 0]


def test_a_row_that_comes_again_is_kept_once(journal: Journal) -> None:
    assert journal.write([score(0)]) == [Written(True)]
    assert journal.write([score(0), score(1), score(0)]) == [Written(True)] * 3
    assert journal.settle()
    assert len(rows(journal.path, "SELECT * FROM scores")) == 2


def found(journal: Journal) -> int:
    """How many scores are found by their signals."""
    return len(rows(journal.path, "SELECT seq FROM scores JOIN lookup USING(seq)"))


def test_what_finds_scores_follows_many_of_them_and_whatever_else_is_written(
    journal: Journal,
) -> None:
    for i in range(FOLLOWED_TOGETHER - 1):
        journal.write([score_row(i, X[0])])
        assert journal.settle()
    assert found(journal) == 0
    journal.write([score_row(FOLLOWED_TOGETHER, X[0])])
    assert journal.settle()
    assert found(journal) == FOLLOWED_TOGETHER
    # A retry brings a score that an earlier fault kept out of the journal.
    journal.write([score_row(FOLLOWED_TOGETHER - 1, X[0])])
    late = outcome_row(FOLLOWED_TOGETHER - 1, True)
    assert journal.write([late]) == [Written(True, matched=True)]
    assert found(journal) == FOLLOWED_TOGETHER + 1


def test_a_score_beside_an_outcome_is_found_from_then_on(journal: Journal) -> None:
    journal.write([score(0)])
    journal.write([score(2), outcome_row(2, True)])
    # Whichever of the two comes first, and also where the score is an older one's retry.
    both = journal.write([outcome_row(1, True), score(1)])
    assert both == [Written(True, matched=True), Written(True)]
    assert found(journal) == 3


def test_what_a_kill_left_unfound_is_found_after_the_next_start(journal: Journal) -> None:
    journal.write([score(i) for i in range(10)])
    assert journal.settle()
    assert found(journal) == 0
    again = Journal(journal.path)
    again.catch_up()
    assert found(again) == 10


def test_a_kill_behind_a_late_score_leaves_it_found(journal: Journal) -> None:
    journal.write([score(0), score(2), EVENT])
    journal.write([score(1)])  # its retry, after a fault
    assert journal.settle()
    again = Journal(journal.path)  # as after a kill
    again.catch_up()
    assert again.write([outcome_row(1, True)]) == [Written(True, matched=True)]


def test_many_that_wait_do_not_hide_those_that_a_kill_left_unfound(journal: Journal) -> None:
    journal.write([score(0)])
    assert journal.settle()
    journal.write([score_row(1 + i, X[0]) for i in range(FOLLOWED_TOGETHER)])
    assert journal.spooled == FOLLOWED_TOGETHER
    again = Journal(journal.path)  # as after a kill
    again.catch_up()
    assert found(again) == 1 + FOLLOWED_TOGETHER


def test_an_outcome_is_kept_once_and_says_whether_its_signal_is_known(journal: Journal) -> None:
    journal.write([score(0)])
    first, again = outcome_row(0, True), outcome_row(0, True, received_at=2e9)
    other = outcome_row(0, False)
    stranger = outcome_row(7, True)
    by_score = outcome_row(8, True, signal_id=None, score_id="score-0")
    assert journal.write([first, again, other, stranger, by_score]) == [
        Written(True, duplicate=False, matched=True),
        Written(True, duplicate=True, matched=True),
        Written(True, duplicate=False, matched=True),
        Written(True, duplicate=False, matched=False),
        Written(True, duplicate=False, matched=True),
    ]
    assert len(rows(journal.path, "SELECT * FROM outcomes")) == 4


def bars(symbol: str, first: int, count: int) -> list[BarRow]:
    return [BarRow(symbol, minute, 1.0, 2.0, 0.5, 1.5) for minute in range(first, first + count)]


def test_the_newest_bars_of_each_symbol_are_kept(journal: Journal) -> None:
    journal.save_bars(
        bars("A", 0, 300) + bars("B", 0, 10), [SymbolRow("A", b"a"), SymbolRow("B", b"b")]
    )
    journal.save_bars(bars("A", 300, 5), [SymbolRow("A", b"a2")])
    kept, symbols = load_bars(journal)
    assert [bar.minute for bar in kept if bar.symbol == "A"] == list(range(305 - KEPT_BARS, 305))
    assert [bar.minute for bar in kept if bar.symbol == "B"] == list(range(10))
    assert {row.symbol: row.facts for row in symbols} == {"A": b"a2", "B": b"b"}


def test_bars_of_some_symbols_are_read_without_the_others(journal: Journal) -> None:
    facts = [SymbolRow(name, name.encode()) for name in ("A", "B", "C")]
    journal.save_bars(bars("A", 5, 3) + bars("B", 0, 3) + bars("C", 0, 2), facts)
    assert load_bars_of(journal, {"C", "A", "D"}) == (
        bars("A", 5, 3) + bars("C", 0, 2),
        [facts[0], facts[2]],
    )
    assert load_bars_of(journal, ()) == ([], [])


def test_a_bar_that_changed_replaces_itself(journal: Journal) -> None:
    journal.save_bars(bars("A", 0, 2), [SymbolRow("A", b"")])
    journal.save_bars([BarRow("A", 1, 1.0, 9.0, 0.5, 1.5)], [SymbolRow("A", b"")])
    assert [bar.high for bar in load_bars(journal)[0]] == [2.0, 9.0]


def test_text_that_is_no_utf_8_costs_its_row_alone(journal: Journal) -> None:
    kept = bars("EURUSD", 0, 2) + bars("GBPUSD", 0, 2)
    journal.save_bars(kept, [SymbolRow("EURUSD", b"x"), SymbolRow("GBPUSD", b"y")])
    journal.write([score(i) for i in range(2)])
    journal.close()
    with closing(sqlite3.connect(journal.path)) as connection, connection:
        for table, column in ("bars", "symbol"), ("symbols", "symbol"), ("scores", "signal_id"):
            turned = f"{column} = CAST(x'c5' || substr(CAST({column} AS BLOB), 2) AS TEXT)"
            first = f"(SELECT min({column}) FROM {table})"
            connection.execute(f"UPDATE {table} SET {turned} WHERE {column} = {first}")
    again = Journal(journal.path)
    assert again.open()
    assert load_bars(again) == (kept[2:], [SymbolRow("GBPUSD", b"y")])
    assert [signal_id for signal_id, _ in load_replies(again, 0.0, 1e10, 10)] == ["SIG_1"]
    assert again.fault is None
    assert again.errors == 4
    again.drop_rows(["GBPUSD"])
    assert load_bars(again) == (kept[2:], [SymbolRow("GBPUSD", b"y")])
    assert again.errors == 4
    again.close()
    found = [row["signal_id"] for row in rows(journal.path, "SELECT signal_id FROM scores")]
    assert found == ["\ufffdIG_0", "SIG_1"]


def test_symbols_that_are_gone_leave_nothing(journal: Journal) -> None:
    journal.save_bars(bars("A", 0, 3) + bars("B", 0, 3), [SymbolRow("A", b""), SymbolRow("B", b"")])
    journal.drop_symbols(["B", "C"])
    kept, symbols = load_bars(journal)
    assert {bar.symbol for bar in kept} == {row.symbol for row in symbols} == {"B"}


def test_the_newest_replies_come_back_oldest_first(journal: Journal) -> None:
    for i in range(10):
        at = 1000.0 + i
        journal.write([score(i, seq=int(at * 1e6), scored_at=at, reply=bytes([i]))])
    journal.write([score(11, seq=2_000_000_000, scored_at=2000.0, signal_id=None)])
    found = load_replies(journal, 1003.0, 1e10, 4)
    assert [known.reply for _, known in found] == [b"\6", b"\7", b"\x08", b"\x09"]


def a_directory(path: Path) -> None:
    path.mkdir()


def no_database(path: Path) -> None:
    path.write_bytes(b"this is no database, whatever its name says" * 100)


def of_a_newer_program(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()


def without_tables(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=1")
    connection.close()


def removed(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


@pytest.mark.parametrize("damage", [a_directory, no_database, of_a_newer_program, without_tables])
def test_a_path_that_cannot_be_used_is_said_and_tried_again_until_it_is_mended(
    tmp_path: Path, damage: object
) -> None:
    path = tmp_path / "journal.db"
    damage(path)  # type: ignore[operator]
    journal = Journal(path)
    assert not journal.open()
    assert journal.fault
    assert journal.write([score(0), EVENT]) == [Written(False)] * 2
    assert journal.unwritten == 1
    assert journal.save_bars(bars("A", 0, 1), [SymbolRow("A", b"")]) is False
    assert load_bars(journal) == ([], [])
    assert journal.recover(5.0) is False
    removed(path)
    assert journal.recover(6.0) is True
    assert journal.fault is None
    assert journal.write([score(0)]) == [Written(True)]
    (event,) = rows(path, "SELECT at, kind FROM events")
    assert event == {"at": 6.0, "kind": "journal_recovered"}


def test_a_full_disk_stops_the_rows_and_not_the_writer(journal: Journal) -> None:
    journal.write([score(0)])
    assert journal.settle()
    connection = journal._connection  # the disk that this test has: a bound on pages
    assert connection is not None
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages}")
    big = b"x" * 100_000
    # What was promised waits beside the file, and what cannot be promised any more is said.
    assert journal.write([score(1, reply=big), score(2)]) == [Written(True)] * 2
    assert not journal.settle()
    assert journal.fault is not None
    assert "full" in journal.fault
    assert journal.write([score(3)]) == [Written(False)]
    assert journal.recover(5.0)
    assert journal.write([score(3)]) == [Written(True)]
    assert journal.settle()
    found = rows(journal.path, "SELECT score_id FROM scores ORDER BY seq")
    assert [row["score_id"] for row in found] == [f"score-{i}" for i in range(4)]


def test_a_locked_file_costs_no_score_and_is_written_to_later(journal: Journal) -> None:
    other = sqlite3.connect(journal.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert journal.write([score(0)]) == [Written(True)]
    assert journal.write([EVENT]) == [Written(False)]
    assert journal.write([score(1)]) == [Written(False)]
    other.execute("ROLLBACK")
    other.close()
    assert journal.recover(5.0)
    found = rows(journal.path, "SELECT score_id FROM scores")
    assert [row["score_id"] for row in found] == ["score-0"]


def test_a_value_that_no_column_takes_costs_its_transaction_only(journal: Journal) -> None:
    assert journal.write([score(0), score(1, direction=2**70)]) == [Written(False)] * 2
    assert journal.recover(5.0)
    assert journal.write([score(0)]) == [Written(True)]
