"""What the runbook has an operator do to files of a running service, given as it stands there."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import documents
import pytest
from another_user import NOBODY, as_root
from harness import Service, eventually, running
from saved_state import NOW_S, a_state, sourced, version_of

from protocol.client import ScorerClient
from protocol.manifest import MANIFEST_NAME
from service.backup.save import make

STATE = "/var/lib/signal-scorer"


def given(begins: str, places: dict[str, str]) -> None:
    """Run the runbook's command that begins so, with other places than an installation's."""
    spans = documents.document("docs/runbook.md").spans
    (command,) = (span.text for span in spans if span.text.startswith(f"cd {STATE} && {begins}"))
    for place, instead in places.items():
        assert place in command
        command = command.replace(place, instead)
    subprocess.run(command, shell=True, check=True)


def scored(client: ScorerClient, number: int) -> str:
    """A score that was journalled; its id."""
    reply = client.score("EURUSD", 70.0, signal_id=f"S{number}")
    assert reply.journalled
    return reply.score_id


def moved_away(service: Service, client: ScorerClient) -> None:
    """The damaged journal is moved as the runbook says, and the service goes on with another."""
    old = service.journal_path.stat().st_ino
    given("d=damaged-", {STATE: str(service.folder)})
    path = service.journal_path
    eventually(lambda: path.exists() and path.stat().st_ino != old, "another journal")
    eventually(lambda: client.health()["ready"], "the journal to work again")


def test_a_journal_that_cannot_be_opened_is_moved_away_while_the_service_runs(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as service:
        with service.client() as client:
            scored(client, 1)
        service.terminate()
        with service.journal_path.open("r+b") as file:
            file.write(b"no database " * 10)
        # As one that is at work leaves them; by itself the service makes them no more.
        for rest in ("-wal", "-shm"):
            service.journal_path.with_name(f"journal.db{rest}").touch()
        service.start()
        with service.client() as client:
            assert not client.score("EURUSD", 70.0).journalled
            moved_away(service, client)
            kept = scored(client, 2)
        assert kept in {row["score_id"] for row in service.scores()}


def test_what_was_answered_before_a_damaged_journal_was_moved_away_lies_in_one_of_the_two(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as service, service.client() as client:
        answered = [scored(client, number) for number in range(50)]
        moved_away(service, client)
        answered.append(scored(client, 50))
        found = {row["score_id"] for row in service.scores()}
        assert answered[-1] in found
        # With its WAL, in which all of them may be.
        (place,) = tmp_path.glob("damaged-*")
        with closing(sqlite3.connect(place / "journal.db")) as moved:
            found |= {row[0] for row in moved.execute("SELECT score_id FROM scores")}
        assert found == set(answered)


def models_back(state: Path, saved: Path) -> None:
    """The models alone come out of the backup, for a trainer who is nobody."""
    places = {
        STATE: str(state),
        "/var/backups/signal-scorer/2026-11-25": str(saved),
        "scorer-trainer:scorer": f"{NOBODY}:{NOBODY}",
        "-u scorer-trainer": "-u nobody",
    }
    given("mkdir", places)


@as_root
@pytest.mark.parametrize("left", [True, False], ids=["models folder", "nothing"])
def test_models_that_are_gone_come_back_out_of_a_backup_for_the_service_to_read(
    open_folder: Path, left: bool
) -> None:
    state, saved = open_folder / "state", open_folder / "saved"
    version = a_state(state, "there", 0)
    make(sourced(state), None, saved, now_s=NOW_S)
    shutil.rmtree(state / "models")
    if left:
        (state / "models").mkdir()
    models_back(state, saved)
    assert version_of(state / "models") == version
    for path in (state / "models", *(state / "models").rglob("*")):
        status = path.stat()
        assert (status.st_uid, status.st_gid) == (NOBODY, NOBODY)
        needed = 0o050 if path.is_dir() else 0o040
        assert status.st_mode & needed == needed, path


@as_root
def test_models_that_come_back_are_written_through_no_link_of_their_owner(
    open_folder: Path,
) -> None:
    state, saved, of_root = open_folder / "state", open_folder / "saved", open_folder / "crontab"
    version = a_state(state, "there", 0)
    make(sourced(state), None, saved, now_s=NOW_S)
    of_root.write_text("of root")
    os.utime(of_root, (0, 0))  # what is newer than the backup stays
    manifest = state / "models" / version / MANIFEST_NAME
    os.chown(manifest.parent, NOBODY, NOBODY)
    manifest.unlink()
    manifest.symlink_to(of_root)
    os.utime(manifest, (0, 0), follow_symlinks=False)
    models_back(state, saved)
    assert of_root.read_text() == "of root"
    assert of_root.stat().st_uid == 0
    assert version_of(state / "models") == version
