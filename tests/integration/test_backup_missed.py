"""Backups without what the service had, as while a disk is not mounted: they end with 66."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from builders import small_model
from command import Done, invoke
from saved_state import NOW_S, a_state, run, sourced, version_of, write_event
from seals import seal_manifest

from protocol.manifest import FOREST_NAME, MANIFEST_NAME, POINTER_NAME
from service.backup import listing
from service.backup.save import make
from service.model.history import HISTORY_NAME
from training.models.registry import rollback


def saved_from(state: Path, place: str, path: Path) -> Done:
    saved = str(state.with_name("saved"))
    return invoke("backup", saved, STATE_DIR=str(state), **{place: str(path)})


@pytest.mark.parametrize("away", ["journal.db", "models"])
def test_what_lies_on_a_disk_that_is_not_mounted_is_missed(tmp_path: Path, away: str) -> None:
    """The rest is saved, and the nightly line removes none of the backups that hold it."""
    state, disk = tmp_path / "state", tmp_path / "disk"
    a_state(state, "model_installed", 0)
    (state / away).rename(disk)
    (state / away).symlink_to(disk)
    assert run("backup", str(tmp_path / "before"), state=state).returncode == 0
    disk.rename(tmp_path / "unmounted")
    done = run("backup", str(tmp_path / "saved"), state=state)
    assert done.returncode == 66
    assert f" {state / away}" in done.stderr
    assert listing.read(tmp_path / "incomplete-saved").files


def test_none_of_them_has_the_name_of_one_that_lacks_nothing(tmp_path: Path) -> None:
    """Nights of them displace no good one, and with the disk mounted the same line succeeds."""
    state, saved = tmp_path / "state", tmp_path / "saved"
    write_event(state, "model_installed")
    told = [run("backup", str(saved), state=state) for _ in range(3)]
    small_model(state / "models")
    assert run("backup", str(saved), state=state).returncode == 0
    names = ["incomplete-saved", "incomplete-saved-2", "incomplete-saved-3"]
    assert sorted(path.name for path in tmp_path.glob("*saved*")) == [*names, "saved"]
    for name, done in zip(names, told, strict=True):
        folder = tmp_path / name
        listing.verify(folder, listing.read(folder))
        assert done.returncode == 66
        assert done.stdout.startswith(f"{folder}: ")
        assert f"signal-scorer: {folder} is without models" in done.stderr
        assert "removed on purpose: docs/operations.md, Backup and restore" in done.stderr


def test_an_empty_folder_that_was_to_be_one_is_not_left_beside_it(tmp_path: Path) -> None:
    """Else the nightly line would count it for a backup."""
    write_event(tmp_path / "state", "model_installed")
    (tmp_path / "saved").mkdir()
    assert run("backup", str(tmp_path / "saved"), state=tmp_path / "state").returncode == 66
    assert sorted(path.name for path in tmp_path.iterdir()) == ["incomplete-saved", "state"]


def test_none_of_them_ever_has_it(tmp_path: Path) -> None:
    """Killed in between it would keep it."""
    state, saved = tmp_path / "state", tmp_path / "saved"
    write_event(state, "model_installed")
    seen: list[bool] = []

    def step(_name: str) -> None:
        seen.append(saved.exists())

    make(sourced(state), None, saved, now_s=NOW_S, step=step)
    assert len(seen) > 5
    assert not any(seen)


@pytest.mark.parametrize("place", ["JOURNAL_PATH", "MODEL_DIRECTORY"])
@pytest.mark.parametrize("away", ["empty/here", "not/there/here"])
def test_so_it_is_where_its_path_tells_nothing(tmp_path: Path, place: str, away: str) -> None:
    state = tmp_path / "state"
    a_state(state, "model_installed", 0)
    (tmp_path / "empty").mkdir()
    done = saved_from(state, place, tmp_path / away)
    assert done.returncode == 66
    assert f" {tmp_path / away}" in done.stderr


def test_so_are_models_whose_folder_is_the_mount_point(tmp_path: Path) -> None:
    write_event(tmp_path / "state", "model_installed")
    (tmp_path / "empty").mkdir()
    done = saved_from(tmp_path / "state", "MODEL_DIRECTORY", tmp_path / "empty")
    assert done.returncode == 66
    assert f" {tmp_path / 'empty'}" in done.stderr


def test_neither_a_history_nor_a_pointer_is_a_model(tmp_path: Path) -> None:
    """A rejected candidate leaves a line in the mount point of a disk that is away."""
    version = a_state(tmp_path / "state", "model_installed", 0)
    models = tmp_path / "state/models"
    (models / HISTORY_NAME).write_text('{"event": "rejected"}\n')
    (models / version).rename(tmp_path / "unmounted")
    done = run("backup", str(tmp_path / "saved"), state=tmp_path / "state")
    assert done.returncode == 66
    assert f" {models}" in done.stderr


def test_so_is_the_current_model_where_others_are_there(tmp_path: Path) -> None:
    state = tmp_path / "state"
    write_event(state, "model_installed")
    other, current = (small_model(state / "models", seed, now_s=NOW_S + seed) for seed in range(2))
    (state / "models" / current).rename(tmp_path / "unmounted")
    done = run("backup", str(tmp_path / "saved"), state=state)
    assert done.returncode == 66
    assert f"without the current model: {current} is not in {state / 'models'}" in done.stderr
    assert f"models/{other}/{MANIFEST_NAME}" in listing.read(tmp_path / "incomplete-saved").files


@pytest.mark.parametrize("others", [0, 1])
def test_of_a_model_that_is_a_link_it_is_said_that_it_is_not_saved(
    tmp_path: Path, others: int
) -> None:
    state, models = tmp_path / "state", tmp_path / "state/models"
    for seed in range(others):
        small_model(models, seed + 1, now_s=NOW_S)
    version = a_state(state, "model_installed", others)
    (models / version).rename(tmp_path / "elsewhere")
    (models / version).symlink_to(tmp_path / "elsewhere")
    done = run("backup", str(tmp_path / "saved"), state=state)
    assert done.returncode == 66
    assert " (a link to one is not saved; " in done.stderr


@pytest.mark.parametrize(
    "damaged", [FOREST_NAME, MANIFEST_NAME, POINTER_NAME, f"no {FOREST_NAME}", f"no {POINTER_NAME}"]
)
def test_so_is_a_current_model_that_is_damaged(tmp_path: Path, damaged: str) -> None:
    """It is saved as it is: of the backups that hold it sound none may go for that."""
    state, models = tmp_path / "state", tmp_path / "state/models"
    version = a_state(state, "model_installed", 0)
    gone, name = damaged.startswith("no "), damaged.removeprefix("no ")
    path = models / name if name == POINTER_NAME else models / version / name
    path.unlink() if gone else path.write_bytes(b"{")
    done = run("backup", str(tmp_path / "saved"), state=state)
    assert done.returncode == 66
    told = f"in {models} a file of it, or {POINTER_NAME}, is damaged or missing; "
    assert f"incomplete-saved is without a sound current model: {told}" in done.stderr
    listing.verify(tmp_path / "incomplete-saved", listing.read(tmp_path / "incomplete-saved"))


@pytest.mark.parametrize("changed", [{"fingerprint": "0" * 16}, {"of_a_later_version": 1}, {}])
def test_a_current_model_that_is_whole_is_not_missed(
    tmp_path: Path, changed: dict[str, object]
) -> None:
    """Also where the service does not use it: the backups before it hold no other."""
    state, models = tmp_path / "state", tmp_path / "state/models"
    version = a_state(state, "model_installed", 0)
    manifest = json.loads((models / version / MANIFEST_NAME).read_bytes())
    seal_manifest(models, json.dumps(manifest | changed).encode())
    done = run("backup", str(tmp_path / "saved"), state=state)
    assert (done.returncode, "would refuse" in done.stdout) == (0, bool(changed))


@pytest.mark.parametrize("how", ["published", "gone back to"])
def test_beside_a_trainer_no_model_is_missed(tmp_path: Path, how: str) -> None:
    """The pointer moves while each model is copied, and what it named before may be removed."""
    state, models = tmp_path / "state", tmp_path / "state/models"
    write_event(state, "model_installed")
    versions = [small_model(models, seed, now_s=NOW_S + seed) for seed in range(3)]

    def step(name: str) -> None:
        if not name.endswith(MANIFEST_NAME) or len(versions) == 6:
            return
        if how == "published":
            versions.append(small_model(models, len(versions), now_s=NOW_S + len(versions)))
            shutil.rmtree(models / versions[-2])
        else:
            versions.append(rollback(models, now_s=NOW_S, why="x"))

    made = make(sourced(state), None, tmp_path / "saved", now_s=NOW_S, step=step)
    assert made == (tmp_path / "saved", listing.read(tmp_path / "saved"), None)
    assert made.manifest.model == version_of(models) == versions[-1]
    assert version_of(tmp_path / "saved/models") == versions[-1]


@pytest.mark.parametrize("models", ["state/models", "not/there/models"])
def test_where_nothing_was_ever_published_no_models_are_missed(tmp_path: Path, models: str) -> None:
    write_event(tmp_path / "state", "x")
    done = saved_from(tmp_path / "state", "MODEL_DIRECTORY", tmp_path / models)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_backup_of_nothing_is_none(tmp_path: Path) -> None:
    """A week of them would displace the last that hold something."""
    (tmp_path / "state").mkdir()
    done = run("backup", str(tmp_path / "saved"), state=tmp_path / "state")
    assert done.returncode == 66
    assert f"neither a journal at {tmp_path / 'state/journal.db'} nor a model in " in done.stderr
    assert f" {tmp_path / 'state/models'}: nothing to save" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
