"""Somebody moves, replaces or hides a journal in use: no row that was kept is lost."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from another_user import NOBODY, as_nobody, as_root
from journals import Journal, stored
from scored_journal import score_row, vectors
from serving import rows

from service.journal.file import wal_of
from service.journal.outcome_table import Written
from service.journal.records import EventRow, ScoreRow

X = vectors(20)
EVENT = EventRow(at=1.0, kind="tested", detail={"n": 1, "text": "é", "none": None})


def score(i: int, **changes: object) -> ScoreRow:
    return score_row(i, X[i], **changes)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal(tmp_path / "deep" / "journal.db")
    assert journal.open()
    return journal


@pytest.mark.parametrize("replace", [False, True])
def test_a_file_that_was_moved_away_is_not_written_to(journal: Journal, replace: bool) -> None:
    journal.write([score(0)])
    assert journal.settle()
    assert journal.recover(1.0)
    shutil.move(journal.path, journal.path.with_name("moved.db"))
    for rest in ("-wal", "-shm"):
        journal.path.with_name(journal.path.name + rest).unlink()
    if replace:
        journal.path.touch()
    assert journal.recover(2.0)
    assert journal.errors == 1
    journal.write([score(1)])
    assert journal.settle()
    assert [r["score_id"] for r in rows(journal.path, "SELECT score_id FROM scores")] == ["score-1"]


def ids(path: Path) -> list[str]:
    return [row["score_id"] for row in rows(path, "SELECT score_id FROM scores ORDER BY seq")]


def test_a_file_that_was_moved_without_its_wal_has_all_its_rows(journal: Journal) -> None:
    journal.write([score(0), EVENT])
    assert wal_of(journal.path).stat().st_size
    moved = journal.path.rename(journal.path.with_name("moved.db"))
    journal.write([score(1)])
    assert journal.recover(2.0)
    journal.write([score(2)])
    assert journal.settle()
    assert ids(moved) == ["score-0"]
    assert ids(journal.path) == ["score-1", "score-2"]
    assert not list(journal.path.parent.glob("*-wal-*"))


def test_another_journal_in_its_place_is_gone_on_with_and_stays_sound(
    journal: Journal, tmp_path: Path
) -> None:
    backup = stored(tmp_path / "backup.db", [score(i, reply=b"x" * 9000) for i in range(5)])
    journal.write([*(score(i) for i in range(6, 16)), EVENT])
    backup.rename(journal.path)
    assert journal.recover(2.0)
    journal.write([score(17)])
    journal.close()
    assert ids(journal.path) == [*(f"score-{i:x}" for i in range(5)), "score-11"]
    assert rows(journal.path, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]


def test_another_journal_with_a_wal_of_its_own_keeps_that(journal: Journal, tmp_path: Path) -> None:
    other = Journal(tmp_path / "other.db")
    other.write([score(0), EVENT])
    for name in (lambda path: path, wal_of):
        shutil.copy(name(other.path), tmp_path / "copied")
        (tmp_path / "copied").rename(name(journal.path))
    assert journal.recover(2.0)
    assert ids(journal.path) == ["score-0"]


@pytest.mark.parametrize("at_fault", [False, True])
def test_what_cannot_be_moved_into_a_file_that_is_elsewhere_lies_aside(
    journal: Journal, tmp_path: Path, at_fault: bool
) -> None:
    journal.write([score(0), EVENT])
    journal.write([score(1), EVENT])
    with closing(sqlite3.connect(journal.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        if at_fault:
            assert journal.write([EVENT]) == [Written(False)]
        moved = journal.path.rename(tmp_path / "moved.db")
        stored(tmp_path / "backup.db", [score(2)]).rename(journal.path)
        assert not journal.recover(2.0)
    (aside,) = journal.path.parent.glob("*-wal-*")
    assert f"{aside} holds" in (journal.fault or "")
    assert journal.recover(3.0)
    assert ids(journal.path) == ["score-2"]
    aside.rename(wal_of(moved))
    assert ids(moved) == ["score-0", "score-1"]


@as_root
def test_a_file_that_is_hidden_for_a_time_is_gone_on_with(open_folder: Path) -> None:
    journal = Journal(open_folder / "theirs" / "journal.db")
    journal.path.parent.mkdir()
    os.chown(journal.path.parent, NOBODY, NOBODY)
    with as_nobody():
        journal.write([score(0), EVENT])
        journal.path.parent.chmod(0)
        assert not journal.recover(2.0)
        assert "Permission denied" in (journal.fault or "")
        journal.path.parent.chmod(0o755)
        assert journal.recover(3.0)
        journal.write([score(1)])
        assert journal.settle()
    assert ids(journal.path) == ["score-0", "score-1"]


def test_a_file_that_was_replaced_just_before_the_end_is_sound_at_the_next_start(
    journal: Journal, tmp_path: Path
) -> None:
    journal.write([score(0), EVENT])
    moved = journal.path.rename(tmp_path / "moved.db")
    stored(tmp_path / "backup.db", [score(2)]).rename(journal.path)
    journal.write([score(1)])
    journal.close()
    assert not list(journal.path.parent.glob("*-wal-*"))
    following = Journal(journal.path)
    following.write([score(3), EVENT])
    assert ids(journal.path) == ["score-2", "score-3"]
    assert ids(moved) == ["score-0", "score-1"]


@pytest.mark.parametrize("replace", [False, True])
def test_a_wal_that_was_removed_is_noticed_and_loses_nothing(
    journal: Journal, replace: bool
) -> None:
    journal.write([score(0)])
    assert journal.settle()
    assert journal.recover(1.0)
    wal_of(journal.path).unlink()
    if replace:
        wal_of(journal.path).touch()
    journal.write([score(1)])
    assert journal.settle()
    assert journal.recover(2.0)
    assert journal.errors == 1
    journal.write([score(2)])
    assert journal.settle()
    # Whoever reads the file finds all, as the next process would after a kill.
    found = rows(journal.path, "SELECT score_id FROM scores ORDER BY seq")
    assert [r["score_id"] for r in found] == ["score-0", "score-1", "score-2"]
    assert [e["kind"] for e in rows(journal.path, "SELECT kind FROM events")] == [
        "journal_recovered"
    ]
    assert journal.recover(3.0)
    assert journal.errors == 1
