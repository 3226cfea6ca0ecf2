"""Disks that are full or read-only, real ones: answers go on, health tells, and it mends itself.

They mount a small tmpfs and so take root; elsewhere they skip, saying so.
"""

from __future__ import annotations

import errno
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from command import invoke
from harness import Service, eventually, running
from journals import Journal

from protocol.client import ScorerClient
from service import mode_file
from service.journal.records import EventRow


def mount(*arguments: str) -> bool:
    """Whether mount(8) did it."""
    try:
        return subprocess.run(["mount", *arguments], check=False).returncode == 0
    except OSError:
        return False


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of 3 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=3m", "scorer-test", str(place)):
        pytest.skip("mounting a tmpfs takes root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path) -> Path:
    """A file that leaves no room."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            if error.errno == errno.ENOSPC:
                return filler
            raise


def score(client: ScorerClient, number: int) -> tuple[bool, str]:
    """One score, which is given in any case; (journalled, id)."""
    reply = client.score("EURUSD", number % 100, signal_id=f"S{number}", direction="BUY")
    assert reply.status == "unknown_symbol"
    assert reply.final_score == number % 100
    return reply.journalled, reply.score_id


def the_journal_holds(service: Service, score_ids: list[str]) -> None:
    """An intact file with exactly what was said to be in it, as far as `score_ids` go."""
    kept = {row["score_id"] for row in service.scores()}
    assert kept.issuperset(score_ids)
    with sqlite3.connect(service.journal_path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def it_recovers(service: Service, client: ScorerClient, kept: list[str]) -> None:
    """Ready again, it keeps what is asked next beside what it kept before."""
    eventually(lambda: client.health()["ready"], "recovery")
    journalled, score_id = score(client, 10_000)
    assert journalled
    the_journal_holds(service, [*kept, score_id])


def test_a_full_disk_costs_the_journal_and_no_answer_until_there_is_room(disk: Path) -> None:
    with running(disk) as service, service.client() as client:
        kept = [score_id for journalled, score_id in [score(client, 0)] if journalled]
        filler = fill(disk)
        number = 0

        def one_that_is_not_journalled() -> bool:
            nonlocal number
            number += 1
            journalled, score_id = score(client, number)
            if journalled:
                kept.append(score_id)
            return not journalled

        eventually(one_that_is_not_journalled, "the disk to be full")
        eventually(lambda: not client.health()["ready"], "a warning")
        # As SQLite says it, or as the system does, whoever met it first.
        assert re.search("full|No space left", client.health()["reasons"][0])
        filler.unlink()
        it_recovers(service, client, kept)
        assert service.terminate()[0] == 0


def test_it_starts_on_a_full_disk_and_keeps_a_journal_once_there_is_room(disk: Path) -> None:
    filler = fill(disk)
    with running(disk) as service, service.client() as client:
        assert score(client, 1)[0] is False
        assert client.health()["ready"] is False
        filler.unlink()
        it_recovers(service, client, [])


def test_it_starts_on_a_read_only_disk_and_keeps_a_journal_once_it_may(disk: Path) -> None:
    assert mount("-o", "remount,ro", str(disk))
    with running(disk) as service, service.client() as client:
        assert score(client, 1)[0] is False
        health = client.health()
        assert health["ready"] is False
        assert "journal" in health["reasons"][0]
        assert mount("-o", "remount,rw", str(disk))
        it_recovers(service, client, [])
        # What could not be locked at the start is held from now on.
        with closing(Service(disk)) as second:
            second.launch()
            assert second.wait() == 75
        assert score(client, 3)[0] is True


def test_it_starts_beside_a_journal_on_a_disk_that_became_read_only(disk: Path) -> None:
    with running(disk) as service:
        with service.client() as client:
            kept, score_id = score(client, 1)
            assert kept
        assert service.terminate()[0] == 0
        assert mount("-o", "remount,ro", str(disk))
        service.start()
        with service.client() as client:
            assert score(client, 2)[0] is False
            assert client.health()["ready"] is False
            assert mount("-o", "remount,rw", str(disk))
            eventually(lambda: client.health()["ready"], "recovery")
            assert score(client, 3)[0] is True
        the_journal_holds(service, [score_id])
        assert service.terminate()[0] == 0


def test_a_backup_onto_a_full_disk_blames_the_disk(disk: Path, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "state" / "journal.db")
    assert journal.open()
    journal.write([EventRow(at=0.0, kind="long", detail={"text": "x" * (4 << 20)})])
    journal.close()
    done = invoke("backup", str(disk / "saved"), STATE_DIR=str(tmp_path / "state"))
    assert done.returncode == 73
    assert f"cannot write {disk / 'saved'}: no space left" in done.stderr
    assert list(disk.iterdir()) == []


def test_a_mode_that_finds_no_room_leaves_nothing_and_says_so(disk: Path) -> None:
    mode_file.write(disk, mode_file.Command("shadow"))
    fill(disk)
    done = invoke("mode", "off", "--timeout-ms", "50", STATE_DIR=str(disk))
    assert done.returncode == 73
    assert "make room" in done.stderr
    assert "as root" not in done.stderr
    assert {path.name for path in disk.iterdir()} == {"filler", mode_file.FILE_NAME}
    standing = mode_file.read(disk)
    assert standing is not None
    assert standing.mode == "shadow"


def test_a_log_on_a_full_disk_costs_its_lines_and_no_answer(tmp_path: Path) -> None:
    address = f"ipc://{tmp_path / 'score.sock'}"
    with closing(Service(tmp_path, SCORE_BIND=address)) as service:
        with Path("/dev/full").open("wb") as full:
            process = service.launch(stderr=full)
        with ScorerClient(address, 20_000) as client:
            assert score(client, 1)[0] is True
            # Said in the log, and never written.
            service.journal_path.rename(tmp_path / "moved.db")
            eventually(service.journal_path.exists, "another journal")
            assert score(client, 2)[0] is True
        process.terminate()
        assert process.wait(30.0) == 0


def test_commands_name_the_disk_that_is_full_and_what_to_do(disk: Path, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    assert journal.open()
    journal.write([EventRow(at=0.0, kind="x", detail={})])
    journal.close()
    saved = str(tmp_path / "saved")
    assert invoke("backup", saved, STATE_DIR=str(tmp_path)).returncode == 0
    fill(disk)
    for done in (
        invoke("restore", saved, STATE_DIR=str(disk / "state")),
        invoke("keygen", str(disk / "keys")),
    ):
        assert done.returncode == 73
        (line,) = done.stderr.splitlines()
        assert str(disk) in line
        assert "make room" in line
