"""Checkpoints beside a writer: the WAL gets moved, stays bounded, and faults are counted."""

from __future__ import annotations

import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from harness import eventually
from journals import Journal
from scored_journal import score_row, vectors
from serving import Parts

from service.housekeeping import CHECKPOINT_S
from service.journal import checkpoints as module
from service.journal.checkpoints import Checkpoints
from service.journal.file import WAL_BYTES, open_reader, wal_of

X = vectors(1)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal(tmp_path / "journal.db")
    assert journal.open()
    return journal


def write(journal: Journal, start: int, count: int) -> None:
    for seq in range(start, start + count):
        (written,) = journal.write([score_row(seq, X[0])])
        assert written.journalled
    assert journal.settle()


def size(path: Path) -> int:
    return path.stat().st_size


def test_what_is_written_is_in_the_file_itself_afterwards(journal: Journal) -> None:
    write(journal, 1, 200)
    before = size(journal.path)
    Checkpoints(journal.path).run_once()
    assert size(journal.path) > before


def test_the_thread_moves_the_wal_while_rows_are_written(journal: Journal) -> None:
    checkpoints = Checkpoints(journal.path)
    checkpoints.start()
    start = iter(range(1, 10**6, 50))
    before = size(journal.path)

    def moved() -> bool:
        write(journal, next(start), 50)
        checkpoints.ask(journal.commits, journal.file)
        return size(journal.path) > before

    eventually(moved, "the file grows")
    checkpoints.stop(timeout_s=5.0)
    assert checkpoints.failures == 0
    assert not any(thread.name == "checkpoints" for thread in threading.enumerate())


def test_a_wal_that_does_not_begin_anew_is_called_overgrown(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAL_FRAMES", 60)
    checkpoints = Checkpoints(journal.path)
    write(journal, 1, 20)
    checkpoints.run_once()
    assert not checkpoints.overgrown
    for start in range(100, 2100, 20):
        write(journal, start, 20)
    checkpoints.run_once()
    assert checkpoints.overgrown
    # All of it has been moved, so the next row begins the WAL anew.
    write(journal, 5000, 1)
    checkpoints.run_once()
    assert not checkpoints.overgrown


def test_no_file_is_a_counted_failure_and_makes_none(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "journal.db")
    checkpoints.run_once()
    assert checkpoints.failures == 1
    assert list(tmp_path.iterdir()) == []


def test_another_file_in_the_journals_place_is_left_alone(journal: Journal, tmp_path: Path) -> None:
    """Until the writer has seen it: the WAL beside it is not its own."""
    with closing(Journal(tmp_path / "other.db")) as other:
        write(other, 500, 3)
    content = other.path.read_bytes()
    checkpoints = Checkpoints(journal.path)
    checkpoints.look(journal.commits)
    write(journal, 1, 200)
    other.path.rename(journal.path)
    assert checkpoints.ask(journal.commits, journal.file)
    assert journal.path.read_bytes() == content
    assert checkpoints.failures == 0


def test_a_writer_in_the_middle_of_a_transaction_is_not_waited_for(journal: Journal) -> None:
    write(journal, 1, 10)
    connection = journal._connection
    assert connection is not None
    connection.execute("BEGIN IMMEDIATE")
    checkpoints = Checkpoints(journal.path)
    checkpoints.run_once()
    connection.execute("ROLLBACK")
    assert checkpoints.failures == 0


def test_none_begins_while_all_that_was_written_has_been_moved(journal: Journal) -> None:
    checkpoints = Checkpoints(journal.path)
    write(journal, 1, 10)
    assert not checkpoints.ask(journal.commits, journal.file), "it may have been moved already"
    write(journal, 11, 1)
    assert checkpoints.ask(journal.commits, journal.file)
    assert checkpoints.frames
    assert not checkpoints.ask(journal.commits, journal.file)
    write(journal, 12, 1)
    journal.checkpoint()
    checkpoints.moved(journal.commits)
    assert not checkpoints.ask(journal.commits, journal.file)
    write(journal, 13, 1)
    assert checkpoints.ask(journal.commits, journal.file)
    assert checkpoints.failures == 0


def test_a_commit_while_the_thread_is_at_it_may_have_been_moved_by_it(journal: Journal) -> None:
    checkpoints = Checkpoints(journal.path)
    checkpoints.look(journal.commits)
    checkpoints.start()
    write(journal, 1, 10)
    every_s = sys.getswitchinterval()
    sys.setswitchinterval(60.0)  # the thread does not get so far as to end before the look
    try:
        assert checkpoints.ask(journal.commits, journal.file)
        checkpoints.look(journal.commits)
    finally:
        sys.setswitchinterval(every_s)
    write(journal, 11, 1)
    eventually(lambda: not checkpoints._busy, "the thread to have done it")
    checkpoints.stop(timeout_s=5.0)
    assert not checkpoints.ask(journal.commits, journal.file)
    write(journal, 12, 1)
    assert checkpoints.ask(journal.commits, journal.file)


def test_the_thread_does_one_for_each_asking_and_after_it_the_asker_does_it(
    journal: Journal,
) -> None:
    checkpoints = Checkpoints(journal.path)
    checkpoints.look(journal.commits)
    checkpoints.start()
    write(journal, 1, 10)
    assert checkpoints.ask(journal.commits, journal.file)
    assert not checkpoints.ask(journal.commits + 1, journal.file), (
        "under way, or it may have moved that too"
    )
    eventually(lambda: not checkpoints._busy, "the thread to have done it")
    checkpoints.look(journal.commits)
    before = size(journal.path)
    for seq in range(11, 111):
        write(journal, seq, 1)
    assert size(journal.path) == before
    checkpoints.stop(timeout_s=5.0)
    assert checkpoints.ask(journal.commits, journal.file)
    assert size(journal.path) > before


def test_the_loop_moves_what_its_thread_never_comes_to_an_end_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAL_FRAMES", 60)
    parts, run_once, overgrown = Parts(tmp_path), Checkpoints.run_once, []

    def under_load(checkpoints: Checkpoints) -> None:
        """A row comes while earlier ones are moved, so that the WAL does not begin anew."""
        with closing(open_reader(parts.journal.path)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM scores").fetchone()
            parts.score()
            assert parts.journal.settle()
            run_once(checkpoints)

    monkeypatch.setattr(Checkpoints, "run_once", under_load)
    for _ in range(40):
        for _ in range(10):
            parts.score(note="x" * 1000)
        overgrown.append(parts.checkpoints.overgrown)
        parts.clock.advance(CHECKPOINT_S)
        parts.housekeeping.turn()
    assert size(wal_of(parts.journal.path)) < 1 << 20, "it began anew, again and again"
    assert 1 < sum(overgrown) < 10, "most is left to the thread"
    assert parts.journal.errors == 0
    parts.journal.close()


def test_a_transaction_without_a_change_is_no_commit(journal: Journal) -> None:
    write(journal, 1, 10)
    journal.catch_up()
    before = journal.commits
    journal.catch_up()
    assert journal.commits == before


def test_the_wal_gives_back_what_a_load_made_of_it(journal: Journal) -> None:
    wal = wal_of(journal.path)
    for seq in range(5):
        big = score_row(seq, X[0], reply=bytes(8 << 20))
        assert journal.write([big])[0].journalled
        assert journal.settle()
    assert size(wal) > WAL_BYTES
    journal.checkpoint()
    write(journal, 100, 1)
    assert size(wal) <= WAL_BYTES
