"""Ctrl-C at several moments of a real run: what was there stays, or what is published is whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from builders import model_of
from scored_journal import write_journal

from service.files.durable import TrainerLock

MOMENTS = ("reading", "walk-forward, windows", "drawing", "writing")
WRITING = MOMENTS[-1]


def interrupted(place: Path, moment: str) -> tuple[int, str, Path]:
    """Run `train`, send SIGINT when it says `moment`; exit code, stderr, models."""
    models = place / moment.partition(",")[0]
    command = [sys.executable, "-m", "training", "train", "--jobs", "1"]
    command += ["--journal", str(place / "journal.db"), "--models", str(models)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ.copy()
    )
    assert process.stderr is not None
    said, sent = "", False
    for line in process.stderr:
        said += line
        if moment in line and not sent:
            process.send_signal(signal.SIGINT)
            sent = True
    process.wait(timeout=60)
    assert process.stdout is not None
    said += process.stdout.read()
    process.stdout.close()
    process.stderr.close()
    assert sent, said
    return process.returncode, said, models


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, Path]]:
    place = tmp_path_factory.mktemp("interrupted")
    write_journal(place / "journal.db", 260, edge=0.4)
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda moment: interrupted(place, moment), MOMENTS)
    return dict(zip(MOMENTS, found, strict=True))


@pytest.mark.parametrize("moment", MOMENTS[:-1])
def test_before_the_writing_nothing_is_left(
    runs: dict[str, tuple[int, str, Path]], moment: str
) -> None:
    code, said, models = runs[moment]
    assert code == 130, said
    assert "interrupted; nothing was written" in said
    assert "Traceback" not in said
    assert {path.name for path in models.iterdir()} <= {".lock"}


def test_once_the_writing_has_begun_it_is_finished(
    runs: dict[str, tuple[int, str, Path]],
) -> None:
    code, said, models = runs[WRITING]
    assert code == 0, said
    assert "published" in said
    assert model_of(models).version in said
    assert (models / "history.jsonl").read_text().count("\n") == 1
    assert not [path.name for path in models.iterdir() if path.name.endswith(".tmp")]


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_lock_is_free_afterwards(runs: dict[str, tuple[int, str, Path]], moment: str) -> None:
    with TrainerLock(runs[moment][2]):
        pass


def test_an_interruption_within_an_exec_ends_with_its_code_too(tmp_path: Path) -> None:
    # The interpreter remembers it, and at its end would kill itself by the signal.
    lines = (
        "from training.options import advice",
        "with advice():",
        "    exec('raise KeyboardInterrupt')",
    )
    (tmp_path / "interrupted_there.py").write_text("\n".join(lines))
    command = [sys.executable, "-m", "interrupted_there"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (
        130,
        "signal-scorer-train: interrupted; nothing was written\n",
    )
