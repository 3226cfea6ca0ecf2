"""Backups that are whole or not there, and restores that lose nothing of what was there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from builders import small_model
from command import Done, invoke
from doctored import NOBODY, as_root
from harness import running
from scored_journal import score_row, vectors
from serving import rows

from protocol.client import ScorerClient
from protocol.manifest import FOREST_NAME, POINTER_NAME
from service import backup_manifest as form
from service import exit_codes, mode_file
from service.backup import make
from service.bundle import load as load_model
from service.bundle import read_pointer
from service.config import Sourced, load
from service.journal import Journal
from service.journal_file import SCHEMA_VERSION
from service.keygen import keygen
from service.records import EventRow
from service.regular_file import open_regular
from service.restore import restore
from service.spool import spool_path

SCHEMAS = Path(__file__).resolve().parents[1] / "schemas"
NOW_S = 1_757_944_800.0


def sourced(state: Path, **values: str) -> Sourced:
    environ = {f"SIGNAL_SCORER_{key}": value for key, value in values.items()}
    return load(environ={"SIGNAL_SCORER_STATE_DIR": str(state)} | environ)


def write_event(state: Path, kind: str) -> None:
    journal = Journal(state / "journal.db")
    assert journal.open()
    journal.write([EventRow(at=NOW_S, kind=kind, detail={})])
    journal.close()


def kinds(journal: Path) -> list[str]:
    return [row["kind"] for row in rows(journal, "SELECT kind FROM events ORDER BY seq")]


def everywhere(state: Path) -> list[list[str]]:
    """What each journal holds that lies below a folder and is not on its way there."""
    return [kinds(path) for path in state.rglob("journal.db") if "incoming" not in str(path)]


def version_of(models: Path) -> str:
    """The current model, verified as the service does it."""
    found = read_pointer(models)
    assert found is not None
    return load_model(models, found[0]).version


def a_state(state: Path, kind: str, seed: int) -> str:
    """A state directory with an event and a model; returns the model's version."""
    write_event(state, kind)
    return small_model(state / "models", seed, now_s=NOW_S + seed)


def put_back(state: Path, backup: Path, *, force: bool = False, now_s: float = NOW_S) -> Any:
    return restore(sourced(state).config, backup, force=force, now_s=now_s)


def test_what_is_saved_while_it_serves_is_consistent_and_comes_back(tmp_path: Path) -> None:
    first = small_model(tmp_path / "a" / "models", now_s=time.time())
    with running(tmp_path / "a") as service:
        stop, scored = threading.Event(), []

        def ask() -> None:
            with ScorerClient(service.address, timeout_ms=5000) as client:
                while not stop.is_set():
                    scored.append(client.score("EURUSD", 70.0).score_id)

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            while len(scored) < 50:
                time.sleep(0.01)
            known = list(scored)
            manifest = make(sourced(tmp_path / "a"), None, tmp_path / "saved", now_s=time.time())
        finally:
            stop.set()
            thread.join()
    assert manifest.model == first
    assert not list(tmp_path.glob(".saved*"))
    put_back(tmp_path / "b", tmp_path / "saved")
    kept = [row["score_id"] for row in rows(tmp_path / "b" / "journal.db", "SELECT * FROM scores")]
    # All that was answered before it began, and no gap in what came while it copied.
    assert kept[: len(known)] == known
    assert kept == scored[: len(kept)]
    assert version_of(tmp_path / "b" / "models") == first
    with running(tmp_path / "b") as service, service.client() as client:
        assert client.health()["model"]["version"] == first


def test_a_backup_is_for_its_owner_alone(tmp_path: Path) -> None:
    a_state(tmp_path / "state", "x", 0)
    make(sourced(tmp_path / "state"), None, tmp_path / "saved", now_s=NOW_S)
    for path in [tmp_path / "saved", *(tmp_path / "saved").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_the_configuration_is_in_it_and_secret_keys_are_not(tmp_path: Path) -> None:
    made = keygen(tmp_path / "state", "elite_guard")
    config = tmp_path / "config.toml"
    config.write_text(f'[curve]\nserver_secret_file = "{made.server_secret}"\n')
    manifest = make(
        load(str(config), environ={"SIGNAL_SCORER_STATE_DIR": str(tmp_path / "state")}),
        config,
        tmp_path / "saved",
        now_s=NOW_S,
    )
    assert (tmp_path / "saved" / "config.toml").read_text() == config.read_text()
    secret = made.server_secret.read_text().splitlines()[-1]
    for path in (tmp_path / "saved").rglob("*"):
        assert not path.is_file() or secret not in path.read_text()
    assert "secret keys" in manifest.problems[0]


def test_a_configuration_behind_a_link_is_saved(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "real.toml").write_text("[score]\n")
    config = tmp_path / "config.toml"
    config.symlink_to("real.toml")
    make(sourced(tmp_path / "state"), config, tmp_path / "saved", now_s=NOW_S)
    assert (tmp_path / "saved" / "config.toml").read_text() == "[score]\n"


def test_a_folder_that_is_there_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "mine").touch()
    with pytest.raises(form.BackupError, match="not touched") as caught:
        make(sourced(tmp_path / "state"), None, tmp_path / "saved", now_s=NOW_S)
    assert caught.value.exit_code == 73
    assert [path.name for path in (tmp_path / "saved").iterdir()] == ["mine"]


def test_a_model_that_is_damaged_is_saved_and_said(tmp_path: Path) -> None:
    version = a_state(tmp_path / "state", "x", 0)
    (tmp_path / "state" / "models" / version / FOREST_NAME).write_bytes(b"no forest")
    manifest = make(sourced(tmp_path / "state"), None, tmp_path / "saved", now_s=NOW_S)
    assert "would refuse" in manifest.problems[0]
    (tmp_path / "state" / "models" / version / FOREST_NAME).unlink()
    manifest = make(sourced(tmp_path / "state"), None, tmp_path / "again", now_s=NOW_S)
    assert "would refuse" in manifest.problems[0]
    (tmp_path / "state" / "models" / version / FOREST_NAME).mkdir()
    manifest = make(sourced(tmp_path / "state"), None, tmp_path / "third", now_s=NOW_S)
    assert "would refuse" in manifest.problems[0]


def test_models_that_are_removed_meanwhile_keep_nothing_from_being_saved(tmp_path: Path) -> None:
    models = tmp_path / "state" / "models"
    versions = [small_model(models, seed, now_s=NOW_S + seed) for seed in range(3)]
    leaving = [models / version for version in versions[:2]]

    def step(name: str) -> None:
        if name.startswith(f"write models/{versions[0]}/"):
            while leaving:
                shutil.rmtree(leaving.pop())

    manifest = make(sourced(tmp_path / "state"), None, tmp_path / "saved", now_s=NOW_S, step=step)
    assert manifest.model == versions[2]
    assert {path.name for path in (tmp_path / "saved/models").glob("*Z-*")} == {versions[2]}


@pytest.mark.parametrize("instead", ["a folder", "half of it"])
def test_what_is_no_pointer_keeps_nothing_else_from_being_saved(
    tmp_path: Path, instead: str
) -> None:
    version = a_state(tmp_path / "state", "x", 0)
    pointer = tmp_path / "state/models" / POINTER_NAME
    half = pointer.read_bytes()[:40]
    pointer.unlink()
    if instead == "a folder":
        pointer.mkdir()
    else:
        pointer.write_bytes(half)
    manifest = make(sourced(tmp_path / "state"), None, tmp_path / "saved", now_s=NOW_S)
    assert "pointer cannot be used" in manifest.problems[0]
    assert {form.JOURNAL, f"models/{version}/{FOREST_NAME}"} < manifest.files.keys()


def test_a_backup_without_a_journal_says_so(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    manifest = make(sourced(tmp_path / "state"), None, tmp_path / "saved", now_s=NOW_S)
    assert manifest.problems == (f"there is no journal at {tmp_path / 'state' / 'journal.db'}",)


@as_root
def test_what_may_not_be_read_is_not_taken_for_what_cannot_be_written() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        a_state(folder / "state", "x", 0)
        (folder / "state").chmod(0o700)
        os.seteuid(NOBODY)
        try:
            with pytest.raises(form.BackupError, match=r"cannot read .*journal\.db") as caught:
                make(sourced(folder / "state"), None, folder / "saved", now_s=NOW_S)
        finally:
            os.seteuid(0)
    assert "as root" in str(caught.value)
    assert caught.value.exit_code == 66


def test_a_damaged_journal_makes_no_backup(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "journal.db").write_bytes(b"no database " * 1000)
    with pytest.raises(form.BackupError, match="doctor"):
        make(sourced(tmp_path / "state"), None, tmp_path / "saved", now_s=NOW_S)
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_of_a_journal_that_is_damaged_within_no_other_backup_is_advised(tmp_path: Path) -> None:
    write_event(tmp_path / "state", "x")
    journal = tmp_path / "state" / "journal.db"
    content = journal.read_bytes()
    journal.write_bytes(content[:8192] + b"\xff" * (len(content) - 8192))
    with pytest.raises(
        form.BackupError, match=f"^the copy of {journal} is damaged: .*doctor"
    ) as caught:
        make(sourced(tmp_path / "state"), None, tmp_path / "saved", now_s=NOW_S)
    assert "another backup" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.exit_code == 66
    assert not (tmp_path / "saved").exists()


def test_scores_that_wait_are_taken_in_by_one_commit(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "state" / "journal.db")
    x = vectors(20)
    journal.write([score_row(i, x[i]) for i in range(20)])
    assert journal.spooled == 20
    commits = []

    def step(name: str) -> None:
        if name == "close journal.db":
            (wal,) = tmp_path.glob(".saved.*/journal.db-wal")
            commits.append(commits_in(wal.read_bytes()))

    make(sourced(tmp_path / "state"), None, tmp_path / "saved", now_s=NOW_S, step=step)
    assert commits == [1]
    assert len(rows(tmp_path / "saved" / "journal.db", "SELECT * FROM scores")) == 20
    journal.close()


def commits_in(wal: bytes) -> int:
    """Frames that end a transaction: they say how large the file is (sqlite.org/fileformat)."""
    page = int.from_bytes(wal[8:12], "big")
    return sum(any(wal[at + 4 : at + 8]) for at in range(32, len(wal), 24 + page))


def test_a_link_in_the_spools_place_makes_no_backup(tmp_path: Path) -> None:
    write_event(tmp_path / "state", "there")
    spool = spool_path(tmp_path / "state" / "journal.db")
    spool.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").touch()
    with pytest.raises(form.BackupError, match=f"{spool} cannot be read: is a link"):
        make(sourced(tmp_path / "state"), None, tmp_path / "saved", now_s=NOW_S)
    assert not (tmp_path / "saved").exists()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    a_state(tmp_path / "original", "saved", 0)
    mode_file.write(tmp_path / "original", mode_file.Command("shadow", "anna", NOW_S))
    make(sourced(tmp_path / "original"), None, tmp_path / "saved", now_s=NOW_S)
    return tmp_path / "saved"


def turned(path: Path) -> None:
    """One bit of a file is another one."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


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
    with pytest.raises(form.BackupError) as caught:
        put_back(tmp_path / "new", saved)
    assert "backup" in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_a_manifest_cannot_write_elsewhere(saved: Path, tmp_path: Path) -> None:
    odd = ("models/.lock/manifest.json", "models/.restore-incoming", "a\0b", "models/a\x1b[2J/x")
    for name in ("../x", "/etc/passwd", "models/../../x", ".hidden", "a/b/c/d", *odd):
        content = json.loads((saved / "backup.json").read_bytes())
        content["files"][name] = {"sha256": "0", "size": 0}
        forged = tmp_path / "forged"
        shutil.copytree(saved, forged)
        (forged / "backup.json").write_text(json.dumps(content))
        with pytest.raises(form.BackupError, match="lies elsewhere"):
            put_back(tmp_path / "new", forged)
        shutil.rmtree(forged)


def test_a_link_in_a_backup_is_not_followed(saved: Path, tmp_path: Path) -> None:
    (saved / "mode.json").rename(tmp_path / "elsewhere")
    (saved / "mode.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(form.BackupError):
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


def test_a_file_with_holes_fills_no_disk(tmp_path: Path) -> None:
    version = a_state(tmp_path / "state", "saved", 0)
    os.truncate(tmp_path / "state/models" / version / FOREST_NAME, 1 << 40)
    with pytest.raises(form.BackupError, match="move it away"):
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
    with pytest.raises(form.BackupError, match="--force") as caught:
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


def test_over_a_running_service_nothing_is_restored(saved: Path, tmp_path: Path) -> None:
    with running(tmp_path / "state") as service:
        with pytest.raises(form.BackupError, match="stop it first") as caught:
            put_back(tmp_path / "state", saved, force=True)
        assert caught.value.exit_code == 75
        with service.client() as client:
            assert client.score("EURUSD", 70.0).journalled


def test_whoever_has_to_stop_the_service_first_is_not_told_to_force(
    saved: Path, tmp_path: Path
) -> None:
    small_model(tmp_path / "state" / "models", 1, now_s=NOW_S)
    with running(tmp_path / "state"), pytest.raises(form.BackupError, match="stop it first") as at:
        put_back(tmp_path / "state", saved)
    assert "--force" not in str(at.value)
    assert at.value.exit_code == 75


def test_what_is_refused_has_made_no_folder(saved: Path, tmp_path: Path) -> None:
    write_event(tmp_path / "state", "there")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(form.BackupError, match="--force") as caught:
        put_back(tmp_path / "state", saved)
    assert caught.value.exit_code == 73
    assert sorted(tmp_path.rglob("*")) == before


def test_a_link_in_the_locks_place_restores_nothing(saved: Path, tmp_path: Path) -> None:
    lock = tmp_path / "state" / "journal.db.lock"
    write_event(tmp_path / "state", "there")
    lock.unlink(missing_ok=True)
    lock.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(form.BackupError, match=f"cannot lock {lock}: .*doctor") as caught:
        put_back(tmp_path / "state", saved, force=True)
    assert caught.value.exit_code == 73
    assert not (tmp_path / "elsewhere").exists()
    assert kinds(tmp_path / "state" / "journal.db") == ["there"]


@as_root
def test_nothing_is_staged_through_a_link_that_cannot_be_removed() -> None:
    with tempfile.TemporaryDirectory() as folder:
        state, saved, elsewhere = (Path(folder) / name for name in ("state", "saved", "elsewhere"))
        Path(folder).chmod(0o755)
        a_state(state, "there", 0)
        make(sourced(state), None, saved, now_s=NOW_S)
        elsewhere.mkdir()
        (state / "journal.db.lock").touch()
        (state / "models" / ".restore-incoming").symlink_to(elsewhere)
        for path in (state, *state.glob("journal.db*"), elsewhere, saved, *saved.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        os.chown(state / "models" / ".lock", NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            with pytest.raises(form.BackupError) as caught:
                put_back(state, saved, force=True)
        finally:
            os.seteuid(0)
        assert str(caught.value).startswith("nothing was restored and nothing replaced: ")
        assert ".restore-incoming" in str(caught.value)
        assert "as root" in str(caught.value)
        assert not any(elsewhere.iterdir())
        assert not list(state.rglob("before-restore-*"))


def test_while_the_trainer_works_nothing_is_restored(saved: Path, tmp_path: Path) -> None:
    from service.durable import TrainerLock

    with TrainerLock(tmp_path / "state" / "models"), pytest.raises(form.BackupError) as caught:
        put_back(tmp_path / "state", saved)
    assert caught.value.exit_code == 75


@pytest.mark.skipif(os.geteuid() != 0, reason="files of another user take root")
def test_root_restores_for_the_users_that_own_the_folders(saved: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    (state / "models").mkdir(parents=True)
    os.chown(state, 1234, 1234)
    os.chown(state / "models", 1235, 1235)
    put_back(state, saved)
    for path in state.rglob("*"):
        owner = 1235 if path.is_relative_to(state / "models") else 1234
        assert path.stat().st_uid == owner, path


@as_root
def test_a_folder_that_root_has_to_make_belongs_to_the_owner_of_the_place(
    saved: Path, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    os.chown(place, 1234, 1234)
    done = put_back(place / "in" / "state", saved)
    assert {path.stat().st_uid for path in place.rglob("*")} == {1234}
    assert done.made == (place / "in" / "state", place / "in" / "state" / "models")


@as_root
def test_a_backup_that_may_not_be_read_is_not_called_a_bad_one() -> None:
    with tempfile.TemporaryDirectory() as folder:
        state, saved = Path(folder) / "state", Path(folder) / "saved"
        Path(folder).chmod(0o755)
        a_state(state, "x", 0)
        make(sourced(state), None, saved, now_s=NOW_S)
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
def test_who_may_not_write_to_the_models_is_told_that_nothing_was_restored() -> None:
    with tempfile.TemporaryDirectory() as folder:  # below which another user may look
        state, saved = Path(folder) / "state", Path(folder) / "saved"
        Path(folder).chmod(0o755)
        a_state(state, "x", 0)
        make(sourced(state), None, saved, now_s=NOW_S)
        for path in (state, *state.glob("journal.db*"), saved, *saved.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            with pytest.raises(form.BackupError) as caught:
                put_back(state, saved, force=True)
        finally:
            os.seteuid(0)
        assert caught.value.exit_code == 73
        assert str(caught.value).startswith("nothing was restored and nothing replaced: ")
        assert str(state / "models" / ".lock") in str(caught.value)
        assert "as root" in str(caught.value)
        assert not list(state.rglob("before-restore-*"))


# Across versions


def of_schema(dump: Path, journal: Path) -> None:
    """A journal as a program of that schema left it."""
    journal.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(journal)) as connection:
        connection.executescript(dump.read_text())


def test_there_is_a_journal_of_every_schema() -> None:
    names = {path.name for path in SCHEMAS.glob("*.sql")}
    assert names == {f"journal_{version}.sql" for version in range(1, SCHEMA_VERSION + 1)}


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_a_backup_of_any_schema_comes_back_and_is_brought_forward(
    tmp_path: Path, version: int
) -> None:
    of_schema(SCHEMAS / f"journal_{version}.sql", tmp_path / "old" / "journal.db")
    manifest = make(sourced(tmp_path / "old"), None, tmp_path / "saved", now_s=NOW_S)
    assert manifest.schema == version
    state = tmp_path / "new"
    put_back(state, tmp_path / "saved")
    with running(state) as service, service.client() as client:
        assert client.health()["ready"] is True
        assert client.score("EURUSD", 70.0, signal_id="new").journalled is True
        # A score from before is found by what it was called.
        assert client.outcome("WIN", signal_id="OLD_1")["matched"] is True
    (found,) = rows(state / "journal.db", "PRAGMA user_version")
    assert found["user_version"] == SCHEMA_VERSION
    kept = rows(state / "journal.db", "SELECT signal_id, final_score, win_probability FROM scores")
    assert kept[0] == {"signal_id": "OLD_1", "final_score": 71.5, "win_probability": 0.625}
    assert kept[-1]["signal_id"] == "new"
    (outcome,) = rows(state / "journal.db", "SELECT * FROM outcomes WHERE source = 'paper'")
    assert (outcome["signal_id"], outcome["realised_r"]) == ("OLD_0", -1.0)


def test_a_backup_of_a_newer_program_is_refused(saved: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(saved / "journal.db")) as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    content = json.loads((saved / "backup.json").read_bytes())
    with open_regular(saved / "journal.db") as file:
        entry = form.copy(file, lambda _chunk: None)
    content["files"]["journal.db"] = {"sha256": entry.sha256, "size": entry.size}
    (saved / "backup.json").write_text(json.dumps(content))
    with pytest.raises(form.BackupError, match="install the version"):
        put_back(tmp_path / "new", saved)


# Killed


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[str]]]:
    work = tmp_path_factory.mktemp("killed")
    a_state(work / "original", "there", 1)
    a_state(work / "other", "saved", 0)
    make(sourced(work / "other"), None, work / "saved", now_s=NOW_S)
    script = Path(__file__).with_name("killed_keeper.py")
    subprocess.run(
        [sys.executable, script, work / "original", work / "saved", work],
        check=True,
        timeout=120,
        cwd=Path(__file__).resolve().parents[2],
    )
    return work, json.loads((work / "steps.json").read_text())


def test_a_backup_that_is_killed_is_no_backup(killed: tuple[Path, dict[str, list[str]]]) -> None:
    work, steps = killed
    assert len(steps["backup"]) > 8
    for k, name in enumerate(steps["backup"]):
        folder = work / "backup" / str(k)
        target = folder / "saved"
        if target.exists():
            # Renamed is whole: only flushing the name was left to do.
            assert k > steps["backup"].index("rename"), name
            form.verify(target, form.read(target))
        for path in folder.rglob("backup.json"):
            assert path.parent == target or path.parent.name.startswith(".saved.incoming-"), name
    # The next one removes what was left, whatever its own name is, and succeeds.
    folder = work / "backup" / "3"
    assert [path for path in folder.iterdir() if path.name.startswith(".")]
    at_work = folder / f".other.incoming-{os.getppid()}"
    at_work.mkdir()
    make(sourced(work / "original"), None, folder / "next", now_s=NOW_S)
    assert {path.name for path in folder.iterdir()} == {"next", at_work.name}


UNTIL_THE_LAST_STEP = """
import signal, sys
from pathlib import Path
from service.backup import make
from service.config import load
from service.unfinished import undone_on_sigterm

def wait(name):
    if name == "rename":
        print(name, flush=True)
        signal.pause()

with undone_on_sigterm():
    make(load(), None, Path(sys.argv[1]), now_s=0.0, step=wait)
"""


def test_a_backup_that_is_told_to_end_leaves_nothing(tmp_path: Path) -> None:
    write_event(tmp_path / "state", "x")
    folder = tmp_path / "backups"
    with subprocess.Popen(
        [sys.executable, "-c", UNTIL_THE_LAST_STEP, folder / "saved"],
        stdout=subprocess.PIPE,
        env=os.environ | {"SIGNAL_SCORER_STATE_DIR": str(tmp_path / "state")},
        cwd=Path(__file__).resolve().parents[2],
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"rename\n"
        assert [path.name for path in folder.iterdir()] == [f".saved.incoming-{process.pid}"]
        process.terminate()
        assert process.wait(30) == -signal.SIGTERM
    assert list(folder.iterdir()) == []


def test_a_restore_that_is_killed_loses_nothing_and_can_be_repeated(
    killed: tuple[Path, dict[str, list[str]]],
) -> None:
    work, steps = killed
    assert len(steps["restore"]) > 8
    before = {version_of(work / "original" / "models"), version_of(work / "saved" / "models")}
    for k, name in enumerate(steps["restore"]):
        state = work / "restore" / str(k)
        # There is always a journal, the old or the new one, and a model that can be served.
        now = kinds(state / "journal.db")
        assert now in (["there"], ["saved"]), name
        assert version_of(state / "models") in before, name
        assert ["there"] in everywhere(state), name
    for k in range(0, len(steps["restore"]), 4):
        state = work / "restore" / str(k)
        put_back(state, work / "saved", force=True, now_s=NOW_S + 60)
        assert kinds(state / "journal.db") == ["saved"]
        assert version_of(state / "models") == version_of(work / "saved" / "models")
        assert ["there"] in everywhere(state)


# The commands


def run(*arguments: str, state: Path) -> Done:
    return invoke(*arguments, STATE_DIR=str(state))


def test_a_backup_without_a_journal_is_not_said_to_have_brought_one(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    assert run("backup", str(tmp_path / "saved"), state=tmp_path / "state").returncode == 0
    done = run("restore", str(tmp_path / "saved"), state=tmp_path / "new")
    assert done.returncode == 0
    assert "UTC: no journal, model none" in done.stdout


def test_the_commands_say_what_they_did(tmp_path: Path) -> None:
    version = a_state(tmp_path / "state", "x", 0)
    saved = tmp_path / "saved"
    done = run("backup", str(saved), state=tmp_path / "state")
    assert done.returncode == 0
    assert f"model {version}" in done.stdout
    files = sum(path.is_file() for path in saved.rglob("*")) - 1  # without the list itself
    assert f"{files} files" in done.stdout
    assert run("backup", str(saved), state=tmp_path / "state").returncode == 73
    assert run("restore", "--check", str(saved), state=tmp_path / "state").returncode == 0
    refused = run("restore", str(saved), state=tmp_path / "state")
    assert (refused.returncode, "--force" in refused.stderr) == (73, True)
    done = run("restore", "--force", str(saved), state=tmp_path / "state")
    assert done.returncode == 0
    assert "before-restore-" in done.stdout
    turned(saved / "journal.db")
    assert run("restore", "--check", str(saved), state=tmp_path / "state").returncode == 66
    assert run("restore", str(tmp_path), state=tmp_path / "state").returncode == 66
