"""What is put in the place of a journal's file, or into it, keeps nobody waiting who reads it."""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from forked import PATIENCE_S, Forks
from journals import Journal
from saved_state import NOW_S, a_state, kinds, sourced, write_event
from scored_journal import score_row, vectors

from service.backup.listing import BackupError
from service.backup.save import make
from service.files.locks import lock_of
from service.journal.file import NOT_OURS, open_writer
from service.journal.spool import spool_path

COMMANDS = [
    ("service", "backup", "saved"),
    ("service", "doctor", "--listen-s", "0"),
    ("service", "status", "--timeout-ms", "50"),
    ("service", "journal", "stats"),
    ("training", "status", "--journal", "journal.db", "--models", "models"),
]


def ended(forks: Forks, folder: Path, command: tuple[str, ...]) -> str:
    """What a command said by the time that it ended, which it did by itself."""
    environ = {
        "SIGNAL_SCORER_STATE_DIR": str(folder),
        "SIGNAL_SCORER_SCORE_BIND": "tcp://127.0.0.1:9",
    }
    done = forks.run(*command, cwd=folder, **environ)
    assert done.returncode >= 0, done
    return done.stdout + done.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: "-".join(command[:2]))
@pytest.mark.parametrize("part", ["", "-wal", "-shm", "-journal"])
def test_a_pipe_is_said_to_be_none(
    forks: Forks, tmp_path: Path, command: tuple[str, ...], part: str
) -> None:
    journal = Journal(tmp_path / "journal.db")
    if part:
        assert journal.open()
        journal.close()
        # With something in the WAL it is read beside its -shm.
        (tmp_path / "journal.db-wal").write_bytes(b"x" * 64)
        (tmp_path / "journal.db-shm").touch()
        (tmp_path / f"journal.db{part}").unlink(missing_ok=True)
    os.mkfifo(tmp_path / f"journal.db{part}")
    said = ended(forks, tmp_path, command)
    assert re.search(rf"journal\.db{part}:? is no (regular )?file", " ".join(said.split()))
    assert "Traceback" not in said


OPENING = (
    "import sys; from service.journal.writer import *; j = Journal(Path(sys.argv[1])); j.open();"
)


@pytest.mark.parametrize("part", ["", "-journal"])
def test_who_writes_waits_for_no_pipe_either(tmp_path: Path, part: str) -> None:
    path = tmp_path / "journal.db"
    if part:
        assert Journal(path).open()
    os.mkfifo(f"{path}{part}")
    done = subprocess.run(
        [sys.executable, "-c", f"{OPENING} print(j.fault)", str(path)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.stdout == f"DatabaseError: {path}{part} is no regular file\n"


ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT"
TRIGGER = f"""CREATE TRIGGER t BEFORE INSERT ON scores BEGIN
SELECT count(*) FROM ({ENDLESS} x FROM c); END"""
VIEW = f"""DROP VIEW scored; DROP TABLE scores;
CREATE VIEW scores AS {ENDLESS} x AS seq, x AS scored_at, x AS status FROM c"""
VIRTUAL = "DROP VIEW scored; DROP TABLE scores; CREATE VIRTUAL TABLE scores USING fts5(seq, status)"


def alter(journal: Path, statements: str) -> None:
    with closing(sqlite3.connect(journal)) as connection:
        connection.executescript(statements)


def altered(state: Path, statements: str) -> None:
    """A journal with another schema than ours, beside which a score waits."""
    waiting = Journal(state / "waiting" / "journal.db")
    waiting.write([score_row(0, vectors(1)[0])])
    spool = spool_path(waiting.path).read_bytes()
    waiting.close()
    write_event(state, "there")
    spool_path(state / "journal.db").write_bytes(spool)
    alter(state / "journal.db", statements)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: "-".join(command[:2]))
@pytest.mark.parametrize(
    "statements", [TRIGGER, VIEW, VIRTUAL], ids=["trigger", "view", "virtual table"]
)
def test_a_schema_that_runs_something_is_refused(
    forks: Forks, tmp_path: Path, command: tuple[str, ...], statements: str
) -> None:
    altered(tmp_path, statements)
    said = " ".join(ended(forks, tmp_path, command).split())
    assert NOT_OURS in said
    assert "Traceback" not in said
    assert not list(tmp_path.glob("*saved*"))


def test_a_trigger_that_comes_while_it_is_copied_makes_no_backup(tmp_path: Path) -> None:
    state = tmp_path / "state"
    altered(state, "")
    trigger = "CREATE TRIGGER t BEFORE INSERT ON scores BEGIN SELECT 1; END"
    with closing(open_writer(state / "journal.db")) as service:

        def step(name: str) -> None:
            if name == "copy journal.db":
                service.execute(trigger)

        with pytest.raises(BackupError, match=NOT_OURS):
            make(sourced(state), None, tmp_path / "saved", now_s=NOW_S, step=step)


def test_a_restore_waits_for_no_trigger_of_what_it_replaces(forks: Forks, tmp_path: Path) -> None:
    state, saved = tmp_path / "state", tmp_path / "saved"
    a_state(state, "saved", 0)
    make(sourced(state), None, saved, now_s=NOW_S)
    altered(state, TRIGGER)
    assert "restored the backup" in ended(
        forks, state, ("service", "restore", "--force", str(saved))
    )
    assert kinds(state / "journal.db") == ["saved"]


def test_a_restore_waits_for_no_pipe_beside_the_journal(forks: Forks, tmp_path: Path) -> None:
    state, saved = tmp_path / "state", tmp_path / "saved"
    a_state(state, "saved", 0)
    make(sourced(state), None, saved, now_s=NOW_S)
    with closing(sqlite3.connect(state / "journal.db")) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    os.mkfifo(state / "journal.db-journal")
    assert "restored the backup" in ended(
        forks, state, ("service", "restore", "--force", str(saved))
    )


def test_a_restore_waits_for_no_pipe_in_the_locks_place(forks: Forks, tmp_path: Path) -> None:
    state, saved = tmp_path / "state", tmp_path / "saved"
    a_state(state, "saved", 0)
    make(sourced(state), None, saved, now_s=NOW_S)
    lock = lock_of(state / "journal.db")
    lock.unlink(missing_ok=True)
    os.mkfifo(lock)
    with lock.open("r+b", buffering=0) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        said = ended(forks, state, ("service", "restore", "--force", str(saved)))
    assert f"cannot lock {lock}: is no regular file" in " ".join(said.split())


def test_a_pipe_beside_what_a_link_leads_to_is_found(forks: Forks, tmp_path: Path) -> None:
    real = tmp_path / "real"
    assert Journal(real / "journal.db").open()
    (tmp_path / "journal.db").symlink_to(real / "journal.db")
    os.mkfifo(real / "journal.db-journal")
    said = " ".join(ended(forks, tmp_path, ("service", "journal", "stats")).split())
    assert f"{real}/journal.db-journal is no regular file" in said


def test_what_lies_beside_a_link_to_the_journal_is_nothing_of_it(tmp_path: Path) -> None:
    write_event(tmp_path / "real", "saved")
    (tmp_path / "journal.db").symlink_to(tmp_path / "real" / "journal.db")
    (tmp_path / "journal.db-journal").mkdir()
    assert kinds(tmp_path / "journal.db") == ["saved"]
