"""Backups and restores that are killed at each step, or told to end: whole, or not there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from saved_state import (
    NOW_S,
    a_state,
    everywhere,
    kinds,
    put_back,
    sourced,
    version_of,
    write_event,
)

from service.backup import listing
from service.backup.save import make


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
            listing.verify(target, listing.read(target))
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
import sys, time
from pathlib import Path
from service.backup.save import make
from service.config.load import load
from service.files.unfinished import undone_on_sigterm

def wait(name):
    if name == "rename":
        print(name, flush=True)
        while True:  # the signal may come before the first pause
            time.sleep(1.0)

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
