"""Backups: what is in one, what is said of what is not, and what keeps one from being made."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from another_user import as_nobody, as_root
from background import meanwhile
from builders import small_model
from harness import running
from journals import Journal
from saved_state import (
    NOW_S,
    a_state,
    put_back,
    run,
    sourced,
    turned,
    version_of,
    write_event,
)
from scored_journal import score_row, vectors
from serving import rows

from protocol.client import ScorerClient
from protocol.manifest import FOREST_NAME, MANIFEST_NAME, POINTER_NAME, REPORT_NAME
from service.backup import listing
from service.backup.save import make
from service.config.load import load
from service.journal.file import SCHEMA_VERSION
from service.journal.spool import Spool, spool_path
from service.keygen import keygen


def test_what_is_saved_while_it_serves_is_consistent_and_comes_back(tmp_path: Path) -> None:
    first = small_model(tmp_path / "a" / "models", now_s=time.time())
    with running(tmp_path / "a") as service:
        scored: list[str] = []

        def ask(stop: threading.Event) -> None:
            with ScorerClient(service.address, timeout_ms=5000) as client:
                while not stop.is_set():
                    scored.append(client.score("EURUSD", 70.0).score_id)

        with meanwhile(ask):
            while len(scored) < 50:
                time.sleep(0.01)
            known = list(scored)
            made = make(sourced(tmp_path / "a"), None, tmp_path / "saved", now_s=time.time())
    assert made.manifest.model == first
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
    small_model(tmp_path / "state" / "models")
    keys = keygen(tmp_path / "state", "elite_guard")
    config = tmp_path / "config.toml"
    config.write_text(f'[curve]\nserver_secret_file = "{keys.server_secret}"\n')
    made = make(
        load(str(config), environ={"SIGNAL_SCORER_STATE_DIR": str(tmp_path / "state")}),
        config,
        tmp_path / "saved",
        now_s=NOW_S,
    )
    assert (made.folder / "config.toml").read_text() == config.read_text()
    secret = keys.server_secret.read_text().splitlines()[-1]
    for path in made.folder.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes()
    assert "secret keys" in made.manifest.problems[0]


def test_what_else_the_trainer_reads_is_said_not_to_be_saved(tmp_path: Path) -> None:
    small_model(tmp_path / "state" / "models")
    config = tmp_path / "config.toml"
    config.write_text('[training]\nbackfills = ["models/b.db"]\njournals = ["/b/j.db"]\n')
    where = load(str(config), environ={"SIGNAL_SCORER_STATE_DIR": str(tmp_path / "state")})
    said = make(where, config, tmp_path / "saved", now_s=NOW_S).manifest.problems[-1]
    assert "models/b.db" in said
    assert "/b/j.db" in said


def test_a_configuration_behind_a_link_is_saved(tmp_path: Path) -> None:
    small_model(tmp_path / "state" / "models")
    (tmp_path / "real.toml").write_text("[score]\n")
    config = tmp_path / "config.toml"
    config.symlink_to("real.toml")
    made = make(sourced(tmp_path / "state"), config, tmp_path / "saved", now_s=NOW_S)
    assert (made.folder / "config.toml").read_text() == "[score]\n"


def test_a_folder_that_is_there_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "mine").touch()
    with pytest.raises(listing.BackupError, match="not touched") as caught:
        make(sourced(tmp_path / "state"), None, tmp_path / "saved", now_s=NOW_S)
    assert caught.value.exit_code == 73
    assert [path.name for path in (tmp_path / "saved").iterdir()] == ["mine"]


@as_root
def test_a_folder_that_may_not_be_looked_into_is_not_written_into(open_folder: Path) -> None:
    (open_folder / "state").mkdir()
    (open_folder / "saved").mkdir(mode=0o700)
    with (
        as_nobody(),
        pytest.raises(listing.BackupError, match="saved: Permission denied") as caught,
    ):
        make(sourced(open_folder / "state"), None, open_folder / "saved", now_s=NOW_S)
    assert caught.value.exit_code in (66, 73)


def test_a_model_that_is_damaged_is_saved_and_said(tmp_path: Path) -> None:
    version = a_state(tmp_path / "state", "x", 0)
    (tmp_path / "state" / "models" / version / FOREST_NAME).write_bytes(b"no forest")
    manifest = make(sourced(tmp_path / "state"), None, tmp_path / "saved", now_s=NOW_S).manifest
    assert "would refuse" in manifest.problems[0]
    (tmp_path / "state" / "models" / version / FOREST_NAME).unlink()
    manifest = make(sourced(tmp_path / "state"), None, tmp_path / "again", now_s=NOW_S).manifest
    assert "would refuse" in manifest.problems[0]
    (tmp_path / "state" / "models" / version / FOREST_NAME).mkdir()
    manifest = make(sourced(tmp_path / "state"), None, tmp_path / "third", now_s=NOW_S).manifest
    assert "would refuse" in manifest.problems[0]


def test_of_a_models_folder_what_its_manifest_names_is_saved(tmp_path: Path) -> None:
    version = a_state(tmp_path / "state", "x", 0)
    bundle = tmp_path / "state/models" / version
    (bundle / "crontab").write_text("of no model")
    published = set(json.loads((bundle / MANIFEST_NAME).read_text())["files"])
    make(sourced(tmp_path / "state"), None, tmp_path / "saved", now_s=NOW_S)
    saved = {path.name for path in (tmp_path / "saved/models" / version).iterdir()}
    assert saved == {MANIFEST_NAME, *published}


@pytest.mark.parametrize("content", [b"half of i", b'{"files": {"forest.\xe2in": {}}}'])
def test_of_a_manifest_that_cannot_be_read_all_of_a_models_names_are_saved(
    tmp_path: Path, content: bytes
) -> None:
    version = a_state(tmp_path / "state", "x", 0)
    bundle = tmp_path / "state/models" / version
    (bundle / MANIFEST_NAME).write_bytes(content)
    made = make(sourced(tmp_path / "state"), None, tmp_path / "saved", now_s=NOW_S)
    saved = {path.name for path in (made.folder / "models" / version).iterdir()}
    assert saved == {MANIFEST_NAME, FOREST_NAME, REPORT_NAME}


def test_models_that_are_removed_meanwhile_keep_nothing_from_being_saved(tmp_path: Path) -> None:
    models = tmp_path / "state" / "models"
    versions = [small_model(models, seed, now_s=NOW_S + seed) for seed in range(3)]
    leaving = [models / version for version in versions[:2]]

    def step(name: str) -> None:
        if name.startswith(f"write models/{versions[0]}/"):
            while leaving:
                shutil.rmtree(leaving.pop())

    made = make(sourced(tmp_path / "state"), None, tmp_path / "saved", now_s=NOW_S, step=step)
    assert made.manifest.model == versions[2]
    assert {path.name for path in (made.folder / "models").glob("*Z-*")} == {versions[2]}


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
    manifest = make(sourced(tmp_path / "state"), None, tmp_path / "saved", now_s=NOW_S).manifest
    assert "pointer cannot be used" in manifest.problems[0]
    assert {listing.JOURNAL, f"models/{version}/{FOREST_NAME}"} < manifest.files.keys()
    (tmp_path / "state/journal.db").unlink()
    manifest = make(
        sourced(tmp_path / "state"), None, tmp_path / "models alone", now_s=NOW_S
    ).manifest
    assert f"models/{version}/{FOREST_NAME}" in manifest.files


def test_a_backup_without_a_journal_says_so(tmp_path: Path) -> None:
    small_model(tmp_path / "state" / "models")
    manifest = make(sourced(tmp_path / "state"), None, tmp_path / "saved", now_s=NOW_S).manifest
    assert manifest.problems == (f"there is no journal at {tmp_path / 'state' / 'journal.db'}",)


@as_root
def test_what_may_not_be_read_is_not_taken_for_what_cannot_be_written(open_folder: Path) -> None:
    open_folder.chmod(0o777)
    a_state(open_folder / "state", "x", 0)
    (open_folder / "state").chmod(0o700)
    unreadable = pytest.raises(listing.BackupError, match=r"cannot read .*journal\.db")
    with as_nobody(), unreadable as caught:
        make(sourced(open_folder / "state"), None, open_folder / "saved", now_s=NOW_S)
    assert "as root" in str(caught.value)
    assert caught.value.exit_code == 66


def test_a_damaged_journal_makes_no_backup(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "journal.db").write_bytes(b"no database " * 1000)
    with pytest.raises(listing.BackupError, match="doctor"):
        make(sourced(tmp_path / "state"), None, tmp_path / "saved", now_s=NOW_S)
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_beside_a_newer_versions_journal_that_version_is_advised(tmp_path: Path) -> None:
    write_event(tmp_path / "state", "x")
    journal = tmp_path / "state" / "journal.db"
    with closing(sqlite3.connect(journal)) as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    said = f"^{journal} has schema {SCHEMA_VERSION + 1}, .* newer version; install that"
    with pytest.raises(listing.BackupError, match=said) as caught:
        make(sourced(tmp_path / "state"), None, tmp_path / "saved", now_s=NOW_S)
    assert "doctor" not in str(caught.value)
    assert caught.value.exit_code == 66
    assert not (tmp_path / "saved").exists()


def test_of_a_journal_that_is_damaged_within_no_other_backup_is_advised(tmp_path: Path) -> None:
    write_event(tmp_path / "state", "x")
    journal = tmp_path / "state" / "journal.db"
    content = journal.read_bytes()
    journal.write_bytes(content[:8192] + b"\xff" * (len(content) - 8192))
    with pytest.raises(
        listing.BackupError, match=f"^the copy of {journal} is damaged: .*doctor"
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
    with pytest.raises(listing.BackupError, match=f"{spool} cannot be read: is a link"):
        make(sourced(tmp_path / "state"), None, tmp_path / "saved", now_s=NOW_S)
    assert not (tmp_path / "saved").exists()


@pytest.mark.parametrize("why", ["damaged", "another version's"])
def test_scores_that_wait_and_cannot_be_read_are_named(tmp_path: Path, why: str) -> None:
    write_event(tmp_path / "state", "there")
    spool = Spool(spool_path(tmp_path / "state" / "journal.db"))
    spool.open()
    x = vectors(2)
    spool.append([msgspec.structs.astuple(score_row(i, x[i])) for i in range(2)])
    if why == "damaged":
        turned(spool.path)
    else:
        spool.append([["of", "other", "columns"]])
    spool.close()
    made = make(sourced(tmp_path / "state"), None, tmp_path / "saved", now_s=NOW_S)
    (said,) = made.manifest.problems
    assert said.startswith(f"scores in {spool.path} are damaged or another version's and not in")
    saved = rows(tmp_path / "saved/journal.db", "SELECT * FROM scores")
    assert len(saved) == (1 if why == "damaged" else 2)


# The commands


def test_a_backup_without_a_journal_is_not_said_to_have_brought_one(tmp_path: Path) -> None:
    version = small_model(tmp_path / "state" / "models")
    saved = make(sourced(tmp_path / "state"), None, tmp_path / "saved", now_s=NOW_S).folder
    done = run("restore", str(saved), state=tmp_path / "new")
    assert done.returncode == 0
    assert f"UTC: no journal, model {version}" in done.stdout


def test_a_time_that_no_calendar_has_is_told_by_no_fault(tmp_path: Path) -> None:
    small_model(tmp_path / "state" / "models")
    saved = make(sourced(tmp_path / "state"), None, tmp_path / "saved", now_s=1e18).folder
    done = run("restore", str(saved), state=tmp_path / "new")
    assert (done.returncode, done.stderr) == (0, "")
    assert "restored the backup of ? UTC: " in done.stdout


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
