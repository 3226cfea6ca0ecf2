"""A journal is read rightly, whoever reads, though the service starts or stops just then."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from another_user import NOBODY, as_nobody, as_root
from journals import Journal

from service.journal.file import TRIES, open_reader, wal_of
from service.journal.reading import JournalUnreadable, open_quietly
from service.journal.records import EventRow

Open = Callable[[Path], sqlite3.Connection]
either = pytest.mark.parametrize("open_it", [open_reader, open_quietly])


def write(journal: Journal, kind: str) -> None:
    assert journal.write([EventRow(at=1.0, kind=kind, detail={})])[0].journalled


def kinds(reader: sqlite3.Connection) -> list[str]:
    with closing(reader):
        return [kind for (kind,) in reader.execute("SELECT kind FROM events ORDER BY seq")]


@pytest.fixture
def path(open_folder: Path) -> Path:
    """A closed journal with one event, where every user may look."""
    journal = Journal(open_folder / "journal.db")
    write(journal, "before")
    journal.close()
    return open_folder / "journal.db"


@pytest.fixture
def before_opening(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Lets something happen when the file was looked at and SQLite has not opened it yet."""
    connect = sqlite3.connect

    def arrange(happens: Callable[[], None]) -> None:
        def late(*given: Any, **named: Any) -> sqlite3.Connection:
            monkeypatch.setattr(sqlite3, "connect", connect)
            happens()
            return connect(*given, **named)

        monkeypatch.setattr(sqlite3, "connect", late)

    return arrange


@either
def test_what_a_service_writes_that_started_just_then_is_seen(
    path: Path, before_opening: Callable[..., None], open_it: Open
) -> None:
    journal = Journal(path)
    before_opening(lambda: write(journal, "meanwhile"))
    assert kinds(open_it(path)) == ["before", "meanwhile"]
    journal.close()


@either
def test_a_service_that_stopped_just_then_keeps_no_reader_out(
    path: Path, before_opening: Callable[..., None], open_it: Open
) -> None:
    journal = Journal(path)
    write(journal, "last")
    before_opening(journal.close)
    assert kinds(open_it(path)) == ["before", "last"]


@as_root
@either
def test_nor_one_who_may_not_write_there(
    path: Path, before_opening: Callable[..., None], open_it: Open
) -> None:
    journal = Journal(path)
    write(journal, "last")
    path.chmod(0o644)

    def stop() -> None:
        os.seteuid(0)
        journal.close()
        os.seteuid(NOBODY)

    before_opening(stop)
    with as_nobody():
        assert kinds(open_it(path)) == ["before", "last"]
        assert [file.name for file in path.parent.iterdir()] == ["journal.db"]


@either
def test_a_wal_that_nobody_has_written_to_keeps_no_reader_out(path: Path, open_it: Open) -> None:
    wal_of(path).touch()
    assert kinds(open_it(path)) == ["before"]


def test_a_wal_without_its_index_is_said(path: Path) -> None:
    journal = Journal(path)
    write(journal, "last")
    copy = path.with_name("copy.db")
    for file, place in ((path, copy), (wal_of(path), wal_of(copy))):
        shutil.copyfile(file, place)
    with pytest.raises(JournalUnreadable, match="has lost its -shm"):
        open_quietly(copy)
    journal.close()


def test_a_service_that_goes_on_starting_and_stopping_is_not_followed_for_ever(
    path: Path, before_opening: Callable[..., None]
) -> None:
    journal, turns = Journal(path), []

    def turn() -> None:
        turns.append(1)
        if len(turns) % 2:
            write(journal, "again")
        else:
            journal.close()
        before_opening(turn)

    before_opening(turn)
    with pytest.raises(JournalUnreadable, match="starts or stops"):
        open_quietly(path)
    assert len(turns) == TRIES


@either
def test_through_a_link_the_wal_is_found_where_the_link_leads(path: Path, open_it: Open) -> None:
    (path.parent / "elsewhere").mkdir()
    link = path.parent / "elsewhere" / "journal.db"
    link.symlink_to(path)
    journal = Journal(path)
    write(journal, "in the WAL")
    assert kinds(open_it(link)) == ["before", "in the WAL"]
    journal.close()


def test_a_journal_of_a_newer_program_is_not_written_to(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version=99")
    journal = Journal(path)
    assert not journal.open()
    assert "written by a newer version" in journal.fault
    assert not journal.write([EventRow(at=1.0, kind="after", detail={})])[0].journalled
    assert kinds(open_reader(path)) == ["before"]


@as_root
@either
def test_for_root_who_reads_nothing_is_made_where_a_link_of_the_owners_leads(
    path: Path,
    open_it: Open,
    before_opening: Callable[[Callable[[], None]], None],
) -> None:
    """SQLite makes the WAL, and would give it to the owner of the file that it reads."""
    roots = path.parent / "roots"
    roots.mkdir(0o755)
    shutil.copy(path, roots / "x")
    for file in (path.parent, path, roots / "x"):
        os.chown(file, NOBODY, NOBODY)
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("CREATE TABLE more(n)")
        assert wal_of(path).exists()

        def swap() -> None:
            path.unlink()
            path.symlink_to(roots / "x")

        before_opening(swap)
        with closing(open_it(path)):
            assert [file.name for file in roots.iterdir()] == ["x"]


@as_root
@either
def test_root_reads_a_copy_that_its_owner_cannot_get_to(path: Path, open_it: Open) -> None:
    os.chown(path, NOBODY, NOBODY)
    path.chmod(0o600)
    closed = path.parent / "roots"
    shutil.copytree(path.parent, closed / "copy", ignore=shutil.ignore_patterns("roots"))
    for file in (closed / "copy", closed / "copy" / path.name):
        os.chown(file, NOBODY, NOBODY)
    closed.chmod(0o700)
    assert kinds(open_it(closed / "copy" / path.name)) == ["before"]


@as_root
def test_root_is_told_as_whom_it_reads(path: Path) -> None:
    os.chown(path.parent, 1234, 1234)
    path.chmod(0o600)
    with pytest.raises(JournalUnreadable) as caught:
        open_quietly(path)
    assert f"; root reads it as the owner of {path.parent} does: let" in str(caught.value)
    assert "or as root" not in str(caught.value)
