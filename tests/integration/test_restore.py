"""Restores that lose nothing of what was there, and take no harm from what they are given."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from another_user import NOBODY, as_nobody, as_root
from builders import small_model
from harness import running
from saved_state import (
    NOW_S,
    a_state,
    kinds,
    put_back,
    run,
    sourced,
    turned,
    version_of,
    write_event,
)
from serving import rows

from protocol.manifest import FOREST_NAME, POINTER_NAME
from service import mode_file
from service.backup import listing
from service.backup.restore import restore
from service.backup.save import make
from service.console import exit_codes
from service.journal.spool import spool_path

Both = tuple[Path, Path]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    a_state(tmp_path / "original", "saved", 0)
    mode_file.write(tmp_path / "original", mode_file.Command("shadow", "anna", NOW_S))
    make(sourced(tmp_path / "original"), None, tmp_path / "saved", now_s=NOW_S)
    return tmp_path / "saved"


@pytest.mark.parametrize("lost", ["state", "models", "above"])
def test_nothing_is_made_where_a_link_leads_to_nothing(
    saved: Path, tmp_path: Path, lost: str
) -> None:
    """As to a disk that is not mounted: the restore would lie under it."""
    state, disk = tmp_path / "above" / "state", tmp_path / "disk"
    disk.mkdir()
    link = {"state": state, "models": state / "models", "above": state.parent}[lost]
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(disk / "lost")
    with pytest.raises(
        listing.BackupError, match=rf"^nothing was restored.*mounted.*: '{tmp_path}"
    ):
        put_back(state, saved)
    assert not any(disk.iterdir())


def test_behind_a_link_that_leads_somewhere_what_is_missing_is_made(
    saved: Path, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "var").symlink_to("disk")
    put_back(tmp_path / "var" / "deep" / "state", saved)
    assert version_of(tmp_path / "disk" / "deep" / "state" / "models")


@pytest.mark.parametrize("make_it", [Path.touch, os.mkfifo])
def test_what_lies_in_the_place_of_the_staged_folder_goes(
    saved: Path, tmp_path: Path, make_it: Callable[[Path], None]
) -> None:
    (tmp_path / "new").mkdir()
    there = tmp_path / "new" / ".restore-incoming"
    make_it(there)
    put_back(tmp_path / "new", saved)
    assert not os.path.lexists(there)


@as_root
def test_what_root_left_staged_is_said_to_want_root(open_folder: Path) -> None:
    a_state(open_folder / "original", "saved", 0)
    make(sourced(open_folder / "original"), None, open_folder / "saved", now_s=NOW_S)
    state = open_folder / "new"
    (state / ".restore-incoming").mkdir(parents=True, mode=0o700)  # of a restore that was killed
    (state / ".restore-incoming" / "journal.db").touch()
    for path in (state, open_folder / "saved", *(open_folder / "saved").rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    with as_nobody(), pytest.raises(listing.BackupError, match=r"\.restore-incoming.*as root"):
        put_back(state, open_folder / "saved")


@pytest.mark.parametrize(
    "name", ["journal.db", "mode.json", f"models/{POINTER_NAME}", "backup.json"]
)
def test_a_backup_that_is_not_what_was_saved_changes_nothing(
    saved: Path, tmp_path: Path, name: str
) -> None:
    if name == "backup.json":
        (saved / name).write_text('{"v": 1')
    else:
        turned(saved / name)
    with pytest.raises(listing.BackupError) as caught:
        put_back(tmp_path / "new", saved)
    assert "backup" in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_a_turned_bit_in_a_name_that_a_backup_holds_is_damage(saved: Path, tmp_path: Path) -> None:
    text = (saved / "backup.json").read_bytes()
    (saved / "backup.json").write_bytes(text.replace(b"journal.db", b"journ\xe1l.db", 1))
    with pytest.raises(listing.BackupError, match=r"is damaged: .*take another backup"):
        put_back(tmp_path / "new", saved)


def test_a_manifest_cannot_write_elsewhere(saved: Path, tmp_path: Path) -> None:
    odd = ("models/.lock/manifest.json", "models/.restore-incoming", "a\0b", "models/a\x1b[2J/x")
    for name in ("../x", "/etc/passwd", "models/../../x", ".hidden", "a/b/c/d", *odd):
        content = json.loads((saved / "backup.json").read_bytes())
        content["files"][name] = {"sha256": "0", "size": 0}
        forged = tmp_path / "forged"
        shutil.copytree(saved, forged)
        (forged / "backup.json").write_text(json.dumps(content))
        with pytest.raises(listing.BackupError, match="lies elsewhere"):
            put_back(tmp_path / "new", forged)
        shutil.rmtree(forged)


def test_a_link_in_a_backup_is_not_followed(saved: Path, tmp_path: Path) -> None:
    (saved / "mode.json").rename(tmp_path / "elsewhere")
    (saved / "mode.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(listing.BackupError):
        put_back(tmp_path / "new", saved)


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def without_end(path: Path) -> None:
    path.symlink_to("/dev/zero")


def of_a_tebibyte(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


@pytest.mark.parametrize("make_it", [a_pipe, without_end, of_a_tebibyte])
def test_a_manifest_that_is_none_holds_nobody_up(
    saved: Path, tmp_path: Path, make_it: Callable[[Path], None]
) -> None:
    (saved / "backup.json").unlink()
    make_it(saved / "backup.json")
    done = subprocess.run(
        ["sh", "-c", 'ulimit -v 4000000; exec "$0" -m service restore "$1"', sys.executable, saved],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"SIGNAL_SCORER_STATE_DIR": str(tmp_path / "new")},
    )
    assert done.returncode == exit_codes.NO_INPUT, done.stderr
    assert not (tmp_path / "new").exists()


def test_nothing_is_staged_through_a_link(saved: Path, tmp_path: Path) -> None:
    for folder in (tmp_path / "new", tmp_path / "new/models"):
        folder.mkdir()
        (folder / ".restore-incoming").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    put_back(tmp_path / "new", saved)
    assert (tmp_path / "new/journal.db").is_file()
    assert not any((tmp_path / "elsewhere").iterdir())
    assert not os.path.lexists(tmp_path / "new/.restore-incoming")


def test_a_folder_of_two_names_is_one_place(saved: Path, tmp_path: Path) -> None:
    write_event(tmp_path / "new", "there")
    (tmp_path / "link").symlink_to("new")
    config = sourced(tmp_path / "new", JOURNAL_PATH=str(tmp_path / "link/journal.db")).config
    done = restore(config, saved, force=True, now_s=NOW_S)
    assert kinds(tmp_path / "new/journal.db") == ["saved"]
    assert mode_file.read(tmp_path / "new")
    (aside,) = done.aside
    assert kinds(aside / "journal.db") == ["there"]


def test_a_file_with_holes_fills_no_disk(tmp_path: Path) -> None:
    version = a_state(tmp_path / "state", "saved", 0)
    os.truncate(tmp_path / "state/models" / version / FOREST_NAME, 1 << 40)
    with pytest.raises(listing.BackupError, match="move it away"):
        make(sourced(tmp_path / "state"), None, tmp_path / "saved", now_s=NOW_S)
    assert not list(tmp_path.glob("*saved*"))


def test_a_folder_of_an_odd_name_spoils_no_backup(tmp_path: Path) -> None:
    version = a_state(tmp_path / "state", "saved", 0)
    for name in (b"a\nb", b"\xff"):
        odd = tmp_path / "state/models" / os.fsdecode(name)
        odd.mkdir()
        (odd / "manifest.json").write_text("{}")
    make(sourced(tmp_path / "state"), None, tmp_path / "saved", now_s=NOW_S)
    put_back(tmp_path / "new", tmp_path / "saved")
    assert version_of(tmp_path / "new/models") == version


def test_what_is_there_is_replaced_only_by_force_and_kept(saved: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    newer = a_state(state, "there", 1)
    mode_file.write(state, mode_file.Command("off", "bert", NOW_S))
    with pytest.raises(listing.BackupError, match="--force") as caught:
        put_back(state, saved)
    assert caught.value.exit_code == 73
    assert kinds(state / "journal.db") == ["there"]
    done = put_back(state, saved, force=True)
    assert kinds(state / "journal.db") == ["saved"]
    assert version_of(state / "models") == version_of(saved / "models")
    command = mode_file.read(state)
    assert command is not None
    assert command.mode == "shadow"
    # Nothing is lost: it lies aside, and the newer model may be pointed at again.
    assert {path.parent for path in done.aside} == {state, state / "models"}
    aside = next(path for path in done.aside if path.parent == state)
    aside_models = next(path for path in done.aside if path.parent != state)
    assert kinds(aside / "journal.db") == ["there"]
    assert b"off" in (aside / "mode.json").read_bytes()
    assert newer.encode() in (aside_models / POINTER_NAME).read_bytes()
    assert (state / "models" / newer / FOREST_NAME).exists()


def test_two_restores_within_a_second_keep_what_each_found(saved: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    a_state(state, "there", 1)
    first = put_back(state, saved, force=True)
    write_event(state, "between")
    second = put_back(state, saved, force=True)
    assert set(first.aside).isdisjoint(second.aside)
    assert sorted(kinds(path / "journal.db") for path in (first.aside[0], second.aside[0])) == [
        ["saved", "between"],
        ["there"],
    ]


def test_what_is_only_in_the_wal_is_kept_too(saved: Path, tmp_path: Path) -> None:
    with running(tmp_path / "state") as service:
        with service.client() as client:
            known = client.score("EURUSD", 70.0).score_id
        service.kill()
    assert (tmp_path / "state" / "journal.db-wal").stat().st_size
    done = put_back(tmp_path / "state", saved, force=True)
    assert kinds(tmp_path / "state" / "journal.db") == ["saved"]
    kept = rows(done.aside[0] / "journal.db", "SELECT score_id FROM scores")
    assert [row["score_id"] for row in kept] == [known]


def test_a_link_in_the_spools_place_goes_aside_with_its_journal(
    saved: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    write_event(state, "there")
    spool = spool_path(state / "journal.db")
    spool.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").touch()
    done = put_back(state, saved, force=True)
    assert kinds(state / "journal.db") == ["saved"]
    assert kinds(done.aside[0] / "journal.db") == ["there"]
    assert (done.aside[0] / spool.name).is_symlink()


@pytest.mark.parametrize("mounted", [True, False])
def test_a_journal_that_is_a_link_is_not_replaced_by_a_file(
    saved: Path, tmp_path: Path, mounted: bool
) -> None:
    """The service would silently go on on the disk that the link was to spare."""
    state, disk = tmp_path / "state", tmp_path / "disk"
    state.mkdir()
    if mounted:
        write_event(disk, "there")
    (state / "journal.db").symlink_to(disk / "journal.db")
    for force in (True, False):
        with pytest.raises(listing.BackupError, match=r"is a link.*journal\.path") as caught:
            put_back(state, saved, force=force)
        assert caught.value.exit_code == 73
    assert (state / "journal.db").is_symlink()
    assert sorted(path.name for path in state.iterdir()) == ["journal.db"]
    assert not mounted or kinds(disk / "journal.db") == ["there"]


def test_over_a_running_service_nothing_is_restored(saved: Path, tmp_path: Path) -> None:
    small_model(tmp_path / "state" / "models", 1, now_s=NOW_S)
    with running(tmp_path / "state") as service:
        for force in (True, False):
            with pytest.raises(listing.BackupError, match="stop it first") as caught:
                put_back(tmp_path / "state", saved, force=force)
            assert "--force" not in str(caught.value)
            assert caught.value.exit_code == 75
        with service.client() as client:
            assert client.score("EURUSD", 70.0).journalled


def test_what_is_refused_has_made_no_folder(saved: Path, tmp_path: Path) -> None:
    write_event(tmp_path / "state", "there")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(listing.BackupError, match="--force") as caught:
        put_back(tmp_path / "state", saved)
    assert caught.value.exit_code == 73
    assert sorted(tmp_path.rglob("*")) == before


def test_a_link_in_the_locks_place_restores_nothing(saved: Path, tmp_path: Path) -> None:
    lock = tmp_path / "state" / "journal.db.lock"
    write_event(tmp_path / "state", "there")
    lock.unlink(missing_ok=True)
    lock.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(listing.BackupError, match=f"cannot lock {lock}: .*doctor") as caught:
        put_back(tmp_path / "state", saved, force=True)
    assert caught.value.exit_code == 73
    assert not (tmp_path / "elsewhere").exists()
    assert kinds(tmp_path / "state" / "journal.db") == ["there"]


def to_nobody(state: Path, *folders: Path) -> None:
    """Give away folders with all in them, and the state but for its models."""
    within = [path for folder in folders for path in folder.rglob("*")]
    for path in (state, *state.glob("journal.db*"), *folders, *within):
        os.chown(path, NOBODY, NOBODY)


@pytest.fixture
def passable(open_folder: Path) -> Both:
    """A state and a backup of it, where another user may look."""
    state, saved = open_folder / "state", open_folder / "saved"
    a_state(state, "there", 0)
    make(sourced(state), None, saved, now_s=NOW_S)
    return state, saved


@as_root
def test_nothing_is_staged_through_a_link_that_cannot_be_removed(passable: Both) -> None:
    state, saved = passable
    elsewhere = state.parent / "elsewhere"
    elsewhere.mkdir()
    (state / "journal.db.lock").touch()
    (state / "models" / ".restore-incoming").symlink_to(elsewhere)
    to_nobody(state, elsewhere, saved)
    os.chown(state / "models" / ".lock", NOBODY, NOBODY)
    with as_nobody(), pytest.raises(listing.BackupError) as caught:
        put_back(state, saved, force=True)
    assert str(caught.value).startswith("nothing was restored and nothing replaced: ")
    assert ".restore-incoming" in str(caught.value)
    assert "as root" in str(caught.value)
    assert not any(elsewhere.iterdir())
    assert not list(state.rglob("before-restore-*"))


def test_while_the_trainer_works_nothing_is_restored(saved: Path, tmp_path: Path) -> None:
    from service.files.durable import TrainerLock

    with TrainerLock(tmp_path / "state" / "models"), pytest.raises(listing.BackupError) as caught:
        put_back(tmp_path / "state", saved)
    assert caught.value.exit_code == 75


@as_root
def test_a_backup_that_may_not_be_read_is_not_called_a_bad_one(passable: Both) -> None:
    state, saved = passable
    for closed in (saved, saved / "backup.json", saved / "journal.db"):
        os.setresuid(NOBODY, NOBODY, 0)
        try:
            done = run("restore", "--check", str(saved), state=state)
        finally:
            os.setresuid(0, 0, 0)
        assert (done.returncode, "as root" in done.stderr) == (66, True), done.stderr
        assert "no backup" not in done.stderr
        assert "another backup" not in done.stderr
        closed.chmod(0o755)


@as_root
def test_who_may_not_write_to_the_models_is_told_that_nothing_was_restored(passable: Both) -> None:
    state, saved = passable
    to_nobody(state, saved)
    with as_nobody(), pytest.raises(listing.BackupError) as caught:
        put_back(state, saved, force=True)
    assert caught.value.exit_code == 73
    assert str(caught.value).startswith("nothing was restored and nothing replaced: ")
    assert str(state / "models" / ".lock") in str(caught.value)
    assert "as root" in str(caught.value)
    assert not list(state.rglob("before-restore-*"))
