"""Promised rows outlive the process, whatever became of the end of their file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from harness import full_at
from journals import Journal
from scored_journal import score_row, vectors
from serving import rows

from service.journal.outcome_table import Written
from service.journal.reading import JournalUnreadable, spooled
from service.journal.records import ScoreRow
from service.journal.spool import Spool, read_spool, spool_path
from service.journal.writer import MOST_SPOOLED, MOST_SPOOLED_BYTES

X = vectors(20)


def score(i: int, **changes: object) -> ScoreRow:
    return score_row(i, X[i], **changes)


def ids(path: Path) -> list[str]:
    return [row["score_id"] for row in rows(path, "SELECT score_id FROM scores ORDER BY seq")]


def left_behind(path: Path, *scores: ScoreRow) -> None:
    """A journal whose process was killed before these scores reached their table."""
    journal = Journal(path)
    journal.open()
    assert journal.write(scores) == [Written(True)] * len(scores)
    assert ids(path) == []


def test_what_a_killed_process_promised_is_in_the_table_after_the_next_start(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.db"
    left_behind(path, score(0), score(1))
    again = Journal(path)
    assert again.open()
    assert ids(path) == ["score-0", "score-1"]
    assert spool_path(path).stat().st_size == 0
    assert again.spooled == 0


def test_a_link_that_leads_to_nothing_makes_nothing_there(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    spool_path(path).symlink_to(tmp_path / "elsewhere")
    assert Journal(path).write([score(0)]) == [Written(False)]
    assert not (tmp_path / "elsewhere").exists()


def test_a_row_that_is_in_the_table_already_is_kept_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    left_behind(path, score(0))
    kept = spool_path(path).read_bytes()
    Journal(path).open()
    spool_path(path).write_bytes(kept)  # killed between the commit and the clearing
    Journal(path).open()
    assert ids(path) == ["score-0"]


def test_every_column_comes_back_as_it_was(tmp_path: Path) -> None:
    one = score(3, bid=None, take=True, pattern="é", request=b"\xff\x00", win_probability=0.1)
    straight, spooled = tmp_path / "a.db", tmp_path / "b.db"
    journal = Journal(straight)
    journal.write([one])
    journal.close()
    left_behind(spooled, one)
    Journal(spooled).open()
    assert rows(straight, "SELECT * FROM scores") == rows(spooled, "SELECT * FROM scores")


@pytest.mark.parametrize("lost", [1, 7, 100])
def test_a_record_that_was_cut_short_was_never_promised(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "journal.db"
    left_behind(path, score(0), score(1))
    os.truncate(spool_path(path), spool_path(path).stat().st_size - lost)
    journal = Journal(path)
    assert journal.open()
    assert journal.errors == 0
    assert ids(path) == ["score-0"]


def test_damage_is_counted_and_the_journal_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    left_behind(path, score(0), score(1))
    content = bytearray(spool_path(path).read_bytes())
    content[-1] ^= 1
    spool_path(path).write_bytes(content)
    journal = Journal(path)
    assert journal.open()
    assert journal.errors == 1
    assert journal.write([score(2)]) == [Written(True)]
    assert journal.settle()
    assert ids(path) == ["score-0", "score-2"]


def test_a_row_that_no_table_takes_does_not_hold_up_the_others(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    left_behind(path)
    spool = Spool(spool_path(path))
    spool.open()
    too_large = score(1, direction=2**63)
    spool.append(
        [
            tuple(getattr(row, f) for f in row.__struct_fields__)
            for row in (score(0), too_large, score(2))
        ]
    )
    spool.close()
    journal = Journal(path)
    assert journal.open()
    assert ids(path) == ["score-0", "score-2"]
    assert journal.errors == 1


def of_other_columns(path: Path, width: int, count: int = 2) -> bytes:
    """A spool that another version left behind: what it holds. One row of ours is behind them."""
    left_behind(path)
    values = list(msgspec.structs.astuple(score(0)))
    spool = Spool(spool_path(path))
    spool.open()
    spool.append([[i, *values[1:], None][:width] for i in range(count)])
    spool.append([msgspec.structs.astuple(score(7))])
    spool.close()
    return spool.path.read_bytes()


@pytest.mark.parametrize("width", [31, 33])
def test_what_another_version_promised_is_kept_apart_and_told_once(
    tmp_path: Path, width: int
) -> None:
    path = tmp_path / "journal.db"
    written = of_other_columns(path, width)
    journal = Journal(path)
    assert not journal.open()
    (aside,) = tmp_path.glob("journal.db-spool-*")
    assert aside.read_bytes() == written
    assert str(aside) in (journal.fault or "")
    assert "2 scores" in (journal.fault or "")
    assert journal.unwritten == 2
    assert journal.recover(5.0)
    assert ids(path) == ["score-7"]
    assert journal.write([score(8)]) == [Written(True)]
    assert journal.settle()
    assert ids(path) == ["score-7", "score-8"]
    assert journal.unwritten == 2
    (event,) = rows(path, "SELECT detail FROM events")
    assert aside.name in event["detail"]
    assert aside.read_bytes() == written


def test_a_row_of_as_many_but_other_columns_is_another_versions_too(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    left_behind(path)
    spool = Spool(spool_path(path))
    spool.open()
    spool.append([list(reversed(msgspec.structs.astuple(score(0))))])
    spool.close()
    journal = Journal(path)
    assert not journal.open()
    assert journal.unwritten == 1
    assert len(list(tmp_path.glob("journal.db-spool-*"))) == 1


def test_a_disk_that_takes_a_part_only_keeps_none_of_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    spool.open()
    spool.append([[1]])
    size = spool.size_bytes
    with full_at(size + 50), pytest.raises(OSError, match=r"part of a row|too large"):
        spool.append([[b"x" * 1000]])
    assert spool.size_bytes == spool.path.stat().st_size == size
    spool.append([[2]])
    assert read_spool(spool.path) == [[1], [2]]


def test_a_disk_that_took_a_part_only_is_a_fault_until_it_is_looked_at_again(
    tmp_path: Path,
) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal.open()
    with full_at(50):
        assert journal.write([score(0)]) == [Written(False)]
    assert journal.fault is not None
    assert journal.write([score(1)]) == [Written(False)]
    assert journal.recover(5.0)
    assert journal.write([score(2)]) == [Written(True)]
    assert journal.settle()
    assert ids(journal.path) == ["score-2"]


def test_so_many_scores_wait_for_their_table_and_no_more(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal.write([score_row(i, X[0]) for i in range(MOST_SPOOLED - 1)])
    assert journal.spooled == MOST_SPOOLED - 1
    journal.write([score_row(MOST_SPOOLED, X[0])])
    assert journal.spooled == 0
    large = bytes(MOST_SPOOLED_BYTES // 2)
    for at, waiting in ((1, 1), (2, 0)):
        journal.write([score_row(MOST_SPOOLED + at, X[0], reply=large)])
        assert journal.spooled == waiting


def a_link(path: Path) -> None:
    left_behind(path.parent / "other.db", score(0))
    path.symlink_to(spool_path(path.parent / "other.db"))


@pytest.mark.parametrize(
    ("put", "said"),
    [(a_link, "is a link"), (Path.mkdir, "no regular file"), (os.mkfifo, "no regular file")],
)
def test_rows_are_read_from_a_regular_file_alone(
    tmp_path: Path, put: Callable[[Path], None], said: str
) -> None:
    path = tmp_path / "journal.db"
    Journal(path).open()
    spool_path(path).unlink()
    put(spool_path(path))
    promised = {one: one.read_bytes() for one in tmp_path.glob("other.db-spool")}
    with pytest.raises(OSError, match=said):
        read_spool(spool_path(path))
    with pytest.raises(JournalUnreadable, match=said):
        spooled(path)
    journal = Journal(path)
    assert not journal.open()
    assert journal.write([score(1)]) == [Written(False)]
    assert all(one.read_bytes() == content for one, content in promised.items())


def test_a_start_that_cannot_open_the_journal_leaves_the_spool(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    left_behind(path, score(0))
    whole = path.read_bytes()
    path.write_bytes(b"no database" * 1000)
    for shm in (path.with_name("journal.db-wal"), path.with_name("journal.db-shm")):
        shm.rename(shm.with_name("kept" + shm.suffix[3:]))
    journal = Journal(path)
    assert not journal.open()
    journal.close()
    path.write_bytes(whole)
    for shm in (path.with_name("journal.db-wal"), path.with_name("journal.db-shm")):
        shm.with_name("kept" + shm.suffix[3:]).rename(shm)
    assert Journal(path).open()
    assert ids(path) == ["score-0"]


@pytest.mark.parametrize("moved", [["journal.db", "journal.db-spool"], ["journal.db-spool"]])
def test_a_spool_that_was_moved_away_costs_no_row(tmp_path: Path, moved: list[str]) -> None:
    path, away = tmp_path / "journal.db", tmp_path / "away"
    away.mkdir()
    journal = Journal(path)
    journal.write([score(0)])
    for name in moved:
        (tmp_path / name).rename(away / name)
    assert journal.recover(0.0)
    assert ids(path) == ["score-0"]
    assert journal.write([score(1)]) == [Written(True)]
    Journal(path).open()  # as after a kill
    assert ids(path) == ["score-0", "score-1"]


def test_another_file_in_its_place_is_not_removed_with_an_empty_spool(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    spool.open()
    spool.path.rename(tmp_path / "moved")
    other = Spool(spool.path)
    other.open()
    other.append([[1]])
    spool.close(tidy=True)
    assert read_spool(other.path) == [[1]]


def test_a_spool_without_a_readable_row_is_emptied(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    spool_path(path).write_bytes(b"\xff" * 100)
    assert Journal(path).open()
    assert spool_path(path).stat().st_size == 0


@pytest.mark.parametrize("left", [b"\x20\0\0\0", b"\x01\0\0\0\0\0\0\0\x90"])
def test_what_comes_behind_an_unreadable_beginning_is_kept(tmp_path: Path, left: bytes) -> None:
    path = tmp_path / "journal.db"
    left_behind(path)
    spool_path(path).write_bytes(left)
    left_behind(path, score(0))
    Journal(path).open()
    assert ids(path) == ["score-0"]
