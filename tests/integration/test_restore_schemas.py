"""Restores of backups that older programs made, and newer ones."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from harness import running
from saved_state import (
    NOW_S,
    SCHEMAS,
    a_state,
    put_back,
    sourced,
)
from serving import rows

from service.backup import listing
from service.backup.save import make
from service.files.regular import open_regular
from service.journal.file import SCHEMA_VERSION


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    a_state(tmp_path / "original", "saved", 0)
    make(sourced(tmp_path / "original"), None, tmp_path / "saved", now_s=NOW_S)
    return tmp_path / "saved"


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
    manifest = make(sourced(tmp_path / "old"), None, tmp_path / "saved", now_s=NOW_S).manifest
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
        entry = listing.copy(file, lambda _chunk: None)
    content["files"]["journal.db"] = {"sha256": entry.sha256, "size": entry.size}
    (saved / "backup.json").write_text(json.dumps(content))
    with pytest.raises(listing.BackupError, match="install the version"):
        put_back(tmp_path / "new", saved)
