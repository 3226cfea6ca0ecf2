"""Restores and backups by root, in folders of users who put links in the way.

Each is planted just before the step that met it, by the hook that tells of the steps.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from another_user import NOBODY, as_nobody, as_root
from builders import small_model
from journals import Journal
from saved_state import (
    NOW_S,
    a_state,
    kinds,
    put_back,
    sourced,
    version_of,
    write_event,
)
from scored_journal import score_row, vectors
from serving import rows

from protocol.manifest import FOREST_NAME
from service import mode_file
from service.backup import listing
from service.backup.restore import restore
from service.backup.save import make
from service.journal.spool import spool_path

pytestmark = as_root


class Theirs:
    """A state of another user, a backup of it, and a folder of root's where nothing may appear."""

    def __init__(self, folder: Path) -> None:
        self.state, self.saved, self.roots = (folder / name for name in ("state", "saved", "roots"))
        self.models = self.state / "models"
        self.staged = self.models / ".restore-incoming"
        self.version = a_state(self.state, "there", 0)
        mode_file.write(self.state, mode_file.Command("shadow", "anna", NOW_S))
        make(sourced(self.state), None, self.saved, now_s=NOW_S)
        # Not as it was saved: the restore puts it aside.
        (self.models / self.version / FOREST_NAME).write_bytes(b"#!/bin/sh\n")
        self.give()
        self.roots.mkdir(mode=0o700)

    def give(self) -> None:
        """Let all of the state belong to that user."""
        for path in (self.state, *self.state.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)

    def restore_with(self, at: str, plant: Callable[[], None]) -> None:
        """Restore as root; just before the step `at` the owner of the folders does something."""
        steps = []

        def step(name: str) -> None:
            if name == at and at not in steps:
                with as_nobody():
                    plant()
            steps.append(name)

        config = sourced(self.state).config
        try:
            restore(config, self.saved, force=True, now_s=NOW_S, step=step)
        finally:
            assert at in steps


@pytest.fixture
def theirs(open_folder: Path) -> Theirs:
    return Theirs(open_folder)


def test_what_was_there_is_moved_into_no_folder_that_a_link_names(theirs: Theirs) -> None:
    def plant() -> None:
        (theirs.models / "before-restore-20250915T140000Z").symlink_to(theirs.roots)
        (theirs.models / theirs.version).rename(theirs.models / "mine")
        (theirs.models / theirs.version).write_text("#!/bin/sh\n")

    with pytest.raises(listing.BackupError, match="before-restore-20250915T140000Z"):
        theirs.restore_with(f"move aside {theirs.version}", plant)
    assert not any(theirs.roots.iterdir())


def test_nothing_is_staged_in_a_folder_that_was_there(theirs: Theirs) -> None:
    """Who owns it exchanges a file in it between any two calls."""

    def plant() -> None:
        (theirs.staged / theirs.version).mkdir(parents=True)

    with pytest.raises(listing.BackupError, match=r"^nothing was restored.*\.restore-incoming"):
        theirs.restore_with("stage history.jsonl", plant)
    assert not list(theirs.state.rglob("before-restore-*"))


def test_no_file_is_made_where_a_link_in_the_staged_folder_leads(theirs: Theirs) -> None:
    def plant() -> None:
        theirs.staged.mkdir()
        (theirs.staged / theirs.version).symlink_to(theirs.roots)

    with pytest.raises(listing.BackupError, match=r"^nothing was restored.*\.restore-incoming"):
        theirs.restore_with("stage history.jsonl", plant)
    assert not any(theirs.roots.iterdir())


def test_what_is_staged_goes_to_its_place_whatever_has_its_name_by_then(theirs: Theirs) -> None:
    def plant() -> None:
        theirs.staged.rename(theirs.models / "moved")
        theirs.staged.mkdir()
        (theirs.staged / theirs.version).symlink_to(theirs.roots)

    theirs.restore_with(f"move aside {theirs.version}", plant)
    assert version_of(theirs.models) == theirs.version
    assert not any(theirs.roots.iterdir())
    assert theirs.roots.stat().st_mode & 0o777 == 0o700
    assert theirs.roots.stat().st_uid == 0


def test_a_place_that_a_link_of_another_user_leads_to_is_refused(theirs: Theirs) -> None:
    with as_nobody():
        theirs.models.rename(theirs.state / "mine")
        theirs.models.symlink_to(theirs.roots)
    with pytest.raises(listing.BackupError, match=f"chown -h root.*{theirs.models}"):
        put_back(theirs.state, theirs.saved, force=True)
    assert not any(theirs.roots.iterdir())
    with pytest.raises(listing.BackupError, match=f"{theirs.models}.*chown -h root"):
        make(sourced(theirs.state), None, theirs.saved.with_name("again"), now_s=NOW_S)


def test_no_folder_is_made_where_a_link_of_another_user_leads(theirs: Theirs) -> None:
    with as_nobody():
        theirs.models.rename(theirs.state / "mine")
        theirs.models.symlink_to(theirs.roots / "models")
    with pytest.raises(listing.BackupError, match=f"^nothing was restored.*{theirs.models}"):
        put_back(theirs.state, theirs.saved, force=True)
    assert not any(theirs.roots.iterdir())


@pytest.mark.parametrize("owner", [0, NOBODY])
def test_a_link_of_roots_or_of_the_folders_owner_is_followed(theirs: Theirs, owner: int) -> None:
    elsewhere = theirs.state.with_name("elsewhere")
    theirs.models.rename(elsewhere)
    theirs.models.symlink_to("../elsewhere")
    os.chown(theirs.models, owner, owner, follow_symlinks=False)
    put_back(theirs.state, theirs.saved, force=True)
    assert version_of(elsewhere) == theirs.version
    assert {path.stat().st_uid for path in (elsewhere / theirs.version).iterdir()} == {NOBODY}


def a_score_waits(theirs: Theirs) -> None:
    """In the spool, for the journal."""
    waiting = Journal(theirs.state.with_name("waiting") / "journal.db")
    waiting.write([score_row(0, vectors(1)[0])])
    assert waiting.spooled == 1
    shutil.copy(spool_path(waiting.path), spool_path(theirs.state / "journal.db"))
    waiting.close()
    theirs.give()


def test_scores_that_wait_are_kept_in_the_journal_of_their_owner(theirs: Theirs) -> None:
    a_score_waits(theirs)
    put_back(theirs.state, theirs.saved, force=True)
    (kept,) = theirs.state.glob("before-restore-*/journal.db")
    assert len(rows(kept, "SELECT * FROM scores")) == 1
    assert kept.stat().st_uid == NOBODY


def test_scores_that_wait_are_taken_in_by_no_journal_of_roots(theirs: Theirs) -> None:
    """SQLite opens what a link in the journal's place leads to."""
    journal = theirs.state / "journal.db"
    write_event(theirs.roots, "roots")
    theirs.roots.chmod(0o755)
    a_score_waits(theirs)

    def plant() -> None:
        journal.rename(theirs.state / "mine")
        journal.symlink_to(theirs.roots / "journal.db")

    theirs.restore_with("stage journal.db", plant)
    assert rows(theirs.roots / "journal.db", "SELECT * FROM scores") == []
    assert kinds(journal) == ["there"]


def test_a_backup_takes_nothing_of_a_folder_that_a_link_names(theirs: Theirs) -> None:
    first, second = sorted([theirs.version, small_model(theirs.models, 1, now_s=NOW_S + 1)])
    theirs.give()
    (theirs.roots / "shadow").touch()

    def step(name: str) -> None:
        swapped = theirs.models / second
        if name.startswith(f"write models/{first}/") and not swapped.is_symlink():
            with as_nobody():
                swapped.rename(theirs.state / "mine")
                swapped.symlink_to(theirs.roots)

    again = theirs.saved.with_name("again")
    saved = make(sourced(theirs.state), None, again, now_s=NOW_S, step=step).folder
    assert (theirs.models / second).is_symlink()
    assert not list(saved.rglob("shadow"))
    assert (saved / "models" / first).is_dir()


# Whose it is then


def test_owners_and_modes_are_those_of_the_places(theirs: Theirs) -> None:
    """Also of what root, who runs commands by hand, left there as its own."""
    for path in (theirs.models, *theirs.models.rglob("*")):
        os.chown(path, 1235, 1236)
    left = theirs.models / theirs.version
    for path in (left, left / FOREST_NAME, theirs.state / "mode.json", theirs.models / ".lock"):
        os.chown(path, 0, 0)
    put_back(theirs.state, theirs.saved, force=True)
    aside = "before-restore-20250915T140000Z"
    within = (theirs.saved / "models" / theirs.version).iterdir()
    bundle = {f"models/{theirs.version}/{path.name}": (1235, 1236, 0o644) for path in within}
    assert bundle
    assert {
        str(path.relative_to(theirs.state)): (
            path.stat().st_uid,
            path.stat().st_gid,
            path.stat().st_mode & 0o7777,
        )
        for path in theirs.state.rglob("*")
        if path.parent.name != aside and path.parent.parent.name != aside
    } == bundle | {
        "journal.db": (NOBODY, NOBODY, 0o640),
        "journal.db.lock": (NOBODY, NOBODY, 0o600),
        "mode.json": (NOBODY, NOBODY, 0o644),
        "models": (1235, 1236, 0o755),
        "models/.lock": (1235, 1236, 0o644),
        "models/CURRENT.json": (1235, 1236, 0o644),
        "models/history.jsonl": (1235, 1236, 0o644),
        f"models/{theirs.version}": (1235, 1236, 0o755),
        aside: (0, 0, 0o700),
        f"models/{aside}": (0, 0, 0o700),
    }
    assert (theirs.state / aside / "mode.json").stat().st_uid == 0
    assert (theirs.models / aside / theirs.version / FOREST_NAME).stat().st_uid == 0


def test_root_restores_for_the_users_that_own_the_folders(theirs: Theirs, tmp_path: Path) -> None:
    state = tmp_path / "state"
    (state / "models").mkdir(parents=True)
    os.chown(state, 1234, 1234)
    os.chown(state / "models", 1235, 1235)
    put_back(state, theirs.saved)
    for path in state.rglob("*"):
        owner = 1235 if path.is_relative_to(state / "models") else 1234
        assert path.stat().st_uid == owner, path


def test_a_folder_that_root_has_to_make_belongs_to_the_owner_of_the_place(
    theirs: Theirs, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    os.chown(place, 1234, 1234)
    done = put_back(place / "in" / "state", theirs.saved)
    assert {path.stat().st_uid for path in place.rglob("*")} == {1234}
    assert done.made == (place / "in" / "state", place / "in" / "state" / "models")


def test_a_backup_is_written_below_no_folder_of_another_user(theirs: Theirs) -> None:
    """He would put his own tree in the place of the folder while the journal is copied."""

    def step(name: str) -> None:
        if name == "write models/history.jsonl":
            with as_nobody():
                (work,) = (theirs.state / "backups").iterdir()
                models = theirs.state / "mine" / work.name / "models"
                models.mkdir(parents=True)
                (models / "history.jsonl").symlink_to(theirs.roots / "crontab")
                (theirs.state / "backups").rename(theirs.state / "moved")
                (theirs.state / "mine").rename(theirs.state / "backups")

    target = theirs.state / "backups" / "today"
    with pytest.raises(listing.BackupError) as caught:
        make(sourced(theirs.state), None, target, now_s=NOW_S, step=step)
    assert not any(theirs.roots.iterdir())
    assert f"another user may write in {theirs.state} " in str(caught.value)
    assert "/var/backups/signal-scorer/" in str(caught.value)
    assert caught.value.exit_code == 73
    assert not target.parent.exists()


def test_who_is_not_root_saves_into_folders_of_his_own(theirs: Theirs) -> None:
    with as_nobody():
        made = make(sourced(theirs.state), None, theirs.state / "backups/today", now_s=NOW_S)
    assert made.folder.parent == theirs.state / "backups"
    listing.verify(made.folder, listing.read(made.folder))
