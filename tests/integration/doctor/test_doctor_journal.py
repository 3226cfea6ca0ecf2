"""The journal, its WAL and the scores that wait beside it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from another_user import NOBODY, as_root
from command import invoke
from doctored import DAY_S, Setup, beside
from harness import Service, eventually, running
from msgspec.structs import astuple
from scored_journal import score_row
from wire import answering

from protocol.schema import FEATURE_COUNT
from service.console.words import amount
from service.doctor.finding import Finding
from service.journal.file import SCHEMA_VERSION, bytes_of, size_of
from service.journal.records import EventRow
from service.journal.spool import Spool, spool_path


def test_a_journal_that_is_no_database(setup: Setup) -> None:
    setup.journal.write_bytes(b"no database " * 1000)
    found = setup.fault("journal", "damaged")
    assert "move it away" in found.advice
    assert "doctor" not in found.text


def test_a_journal_with_a_page_of_nonsense(setup: Setup) -> None:
    setup.write_journal(*(EventRow(at=1.0, kind="x" * 500, detail={}) for _ in range(500)))
    with setup.journal.open("r+b") as file:
        file.seek(20 * 8192)
        file.write(os.urandom(8192 * 4))
    advice = setup.fault("journal", "damaged").advice
    # A restore would take back more; how rows are saved depends on the version of sqlite3.
    assert "while the service runs, as docs/runbook.md" in advice
    assert "Do not restore" in advice


def test_a_journal_of_a_newer_version(setup: Setup) -> None:
    setup.write_journal()
    with closing(sqlite3.connect(setup.journal)) as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    assert "newer" in setup.fault("journal", f"schema {SCHEMA_VERSION + 1}").text


def test_a_journal_that_a_full_disk_kept_empty_is_not_called_damaged(setup: Setup) -> None:
    setup.journal.touch()
    advice = setup.fault("journal", "is empty", level="warn").advice
    assert "start the service" in advice
    # `restore` refuses to replace even an empty one without --force.
    assert "restore" not in advice


def test_a_folder_where_the_journal_belongs(setup: Setup) -> None:
    setup.journal.mkdir()
    assert "move it away" in setup.fault("journal", "is no file").advice


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("part", ["-journal", "-wal", "-shm"])
def test_what_is_no_file_beside_the_journal_is_to_be_moved_away(
    setup: Setup, part: str, there: bool
) -> None:
    if there:
        setup.write_journal()
    beside_it = Path(f"{setup.journal}{part}")
    if part == "-shm":
        setup.journal.with_name("journal.db-wal").write_bytes(b"x")
    beside_it.mkdir()
    advice = setup.fault("journal", beside_it.name, "is no file").advice
    assert advice == f"move it away, then restart: {beside_it}"


def test_a_journal_that_the_disk_does_not_give(setup: Setup) -> None:
    setup.journal.symlink_to("/proc/self/mem")  # whose beginning is an I/O error to read
    assert "smartctl" in setup.fault("journal", "disk I/O error").advice


LOCKING = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_journal_that_another_program_locks(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        setup = Setup(tmp_path / "unused", STATE_DIR=str(tmp_path), SCORE_BIND=service.address)
        locking = subprocess.Popen(
            [sys.executable, "-c", LOCKING, str(service.journal_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            assert locking.stdout
            locking.stdout.readline()
            found = setup.fault("journal", "is locked by", str(locking.pid))
            assert f"kill {locking.pid}" in found.advice
            with service.client() as client:
                eventually(lambda: not client.score("EURUSD", 70.0).journalled, "the lock")
                eventually(lambda: not client.health()["ready"], "a warning")
            setup.fault("service", "not ready", "journal")
            assert "lost" in setup.fault("service", "not kept", level="warn").advice
        finally:
            locking.communicate()


def test_what_the_running_service_could_not_make_is_told_in_its_words(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_text("no folder")
    with running(state) as service:
        setup = Setup(tmp_path / "unused", STATE_DIR=str(state), SCORE_BIND=service.address)
        assert "ScorerJournalFailing" in setup.fault("journal", "journal.db", "File exists").advice
        (said,) = (line for line in service.log if line["event"].startswith("journal cannot be op"))
        assert "answers are not kept; signal-scorer doctor says what to do" in said["event"]


def told(setup: Setup, fault: str) -> list[Finding]:
    """What is wrong with the journal where a running service says that its fault is this."""
    stats = {"state_dir": str(setup.state), "journal": {"fault": fault}}
    with answering(lambda _: stats) as service:
        setup.values["SCORE_BIND"] = service.address
        return [found for found in setup.findings("journal") if found.level != "ok"]


def give_to_nobody(folder: Path) -> None:
    for path in (folder, *folder.iterdir()):
        os.chown(path, NOBODY, NOBODY)


READ_ONLY = "OperationalError: attempt to write a readonly database"


@as_root
def test_a_unit_is_not_blamed_for_a_journal_that_belongs_to_root(served_by_nobody: Setup) -> None:
    served_by_nobody.write_journal()
    give_to_nobody(served_by_nobody.state)
    os.chown(served_by_nobody.journal, 0, 0)
    (found,) = told(served_by_nobody, READ_ONLY)
    assert "chown" in found.advice


@as_root
@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        (READ_ONLY, "ReadWritePaths={} "),
        ("OSError: [Errno 30] Read-only file system: 'journal.db.lock'", "ReadWritePaths={} "),
        ("PermissionError: [Errno 13] Permission denied: 'journal.db.lock'", "ProtectHome="),
        ("OperationalError: database or disk is full", "ScorerJournalFailing"),
    ],
)
@pytest.mark.parametrize("there", ["nothing", "an empty file", "a journal", "a WAL without -shm"])
def test_what_a_running_service_says_of_a_journal_that_is_sound(
    served_by_nobody: Setup, there: str, fault: str, advice: str
) -> None:
    state, journal = served_by_nobody.state, served_by_nobody.journal
    if there in ("a journal", "a WAL without -shm"):
        served_by_nobody.write_journal()
    if there == "an empty file":
        journal.touch()
    if there == "a WAL without -shm":
        journal.with_name("journal.db-wal").write_bytes(b"x" * 100)
    give_to_nobody(state)
    *others, found = told(served_by_nobody, fault)
    assert advice.format(state) in found.advice
    assert fault in found.text
    assert not [other for other in others if other.level == "fail"]


@as_root
@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        ("OSError: [Errno 30] Read-only file system: 'journal.db-spool'", "ReadWritePaths={} {} "),
        ("PermissionError: [Errno 13] Permission denied: 'journal.db.lock'", "in {} and {};"),
    ],
)
def test_of_a_journal_behind_a_link_both_folders_are_named(
    served_by_nobody: Setup, fault: str, advice: str
) -> None:
    state = served_by_nobody.state
    links = state / "links"
    links.mkdir()
    served_by_nobody.write_journal()
    (links / "journal.db").symlink_to(served_by_nobody.journal)
    (state / "same").symlink_to(links)
    served_by_nobody.values["JOURNAL_PATH"] = str(state / "same" / "journal.db")
    give_to_nobody(state)
    (found,) = told(served_by_nobody, fault)
    assert advice.format(state, links) in found.advice


@as_root
def test_of_a_link_that_root_does_not_follow_no_disk_is_suspected(setup: Setup) -> None:
    setup.write_journal()
    link = setup.state / "link"
    link.symlink_to(setup.state)
    os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
    setup.values["JOURNAL_PATH"] = str(link / "journal.db")
    advice = setup.fault("journal", "a link leads there", level="warn").advice
    assert advice == "if it is right: chown -h root LINK"


SANDBOXED = """
import os, sys
folder, *rest = sys.argv[1:]
mounted = f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder}"
serving = f"{mounted} && exec {sys.executable} -m service {' '.join(rest)}"
os.execvp("unshare", ["unshare", "--mount", "sh", "-c", serving])
"""


@as_root
@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_the_unit_of_the_service_keeps_from_it(tmp_path: Path, there: bool) -> None:
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("no sandbox can be made here")
    setup = Setup(tmp_path / "unused")
    if there:
        setup.write_journal()
    service = Service(tmp_path / "run", JOURNAL_PATH=str(setup.journal))
    service.program = ("-c", SANDBOXED, str(setup.state))
    with closing(service):
        service.start()
        setup.values |= {"STATE_DIR": str(service.folder), "SCORE_BIND": service.address}
        setup.values["JOURNAL_PATH"] = str(setup.journal)
        advice = setup.fault("journal", "journal.db", "Read-only file system").advice
    assert f"ReadWritePaths={setup.state} " in advice


def test_a_wal_that_grows_since_a_reader_stays(setup: Setup) -> None:
    with closing(sqlite3.connect(setup.journal, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("PRAGMA wal_autocheckpoint=0")
        writer.execute("CREATE TABLE big(x)")
        for _ in range(9):
            writer.execute("INSERT INTO big VALUES(zeroblob(8000000))")
        assert "reader" in setup.fault("journal", "wait to be moved", level="warn").advice


def test_the_size_is_that_of_status_with_the_wal(setup: Setup) -> None:
    setup.write_journal()
    with closing(sqlite3.connect(setup.journal)) as writer, writer:
        writer.execute("CREATE TABLE big AS SELECT zeroblob(900000)")
        writer.commit()
        size = size_of(setup.journal)
        assert size > bytes_of(setup.journal) + 900_000
        (found,) = setup.findings("journal")
        status = invoke("status", "--timeout-ms", "50", **setup.values).stdout
    assert found.text.startswith(f"{amount(size)}, schema")
    assert f"{setup.journal}, {amount(size)}" in status.replace("\n", "")


def test_a_row_whose_time_is_damaged_is_no_fault_of_doctors(setup: Setup) -> None:
    setup.write_journal(score_row(0, np.full(FEATURE_COUNT, 50.0)))
    with closing(sqlite3.connect(setup.journal)) as connection, connection:
        connection.execute("UPDATE scores SET scored_at = x'00'")
    found = setup.findings("journal")
    assert any("no score yet" in finding.text for finding in found), found
    assert not any("could not look" in finding.text for finding in setup.findings("trainer"))


def test_promised_scores_that_are_damaged(setup: Setup) -> None:
    setup.write_journal()
    path = spool_path(setup.journal)
    spool = Spool(path)
    spool.open()
    spool.append([astuple(score_row(1, np.full(FEATURE_COUNT, 50.0)))])
    spool.close()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    assert "disk" in setup.fault("journal", path.name, "whole ones behind them").advice


@pytest.mark.parametrize("there", [True, False])
def test_a_link_where_promised_scores_belong(setup: Setup, there: bool) -> None:
    if there:
        setup.write_journal()
    path = spool_path(setup.journal)
    path.symlink_to(setup.state / "elsewhere")
    (setup.state / "elsewhere").touch()
    assert "move it away" in setup.fault("journal", path.name, "is a link").advice


@as_root
def test_a_journal_that_belongs_to_root(served_by_nobody: Setup) -> None:
    served_by_nobody.write_journal()
    served_by_nobody.journal.chmod(0o640)
    assert "chown" in served_by_nobody.fault("journal", "may not write it").advice


@as_root
def test_a_lock_that_belongs_to_root(served_by_nobody: Setup) -> None:
    lock = served_by_nobody.journal.with_name("journal.db.lock")
    lock.touch(0o600)
    assert f": {lock}" in served_by_nobody.fault("journal", lock.name, "may not open it").advice
    os.chown(lock, NOBODY, NOBODY)
    assert not [found for found in served_by_nobody.findings("journal") if found.level != "ok"]


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("elsewhere")])
def test_what_is_no_file_where_the_lock_belongs(setup: Setup, make: Callable[[Path], None]) -> None:
    setup.write_journal()
    lock = setup.journal.with_name("journal.db.lock")
    lock.unlink(missing_ok=True)
    make(lock)
    assert "move it away" in setup.fault("journal", lock.name, "is no file").advice


def test_a_clock_that_was_ahead_when_the_last_score_was_written(
    lone: Service, tmp_path: Path
) -> None:
    yesterday_s = time.time() - DAY_S
    found = beside(lone, tmp_path).fault("journal", "yet to come", now_s=yesterday_s)
    assert "date -u" in found.advice


def test_a_service_that_starts_again_and_again(setup: Setup) -> None:
    now_s = time.time()
    starts = [EventRow(at=now_s - 60 * n, kind="started", detail={}) for n in range(7)]
    setup.write_journal(*starts)
    found = setup.fault("journal", "started 7 times", level="warn", now_s=now_s)
    assert "journalctl" in found.advice
