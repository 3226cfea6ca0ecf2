"""The lines of a crontab that docs/operations.md gives: a backup a night, and a bound on them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from saved_state import a_state, write_event

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
FOLDER = "/var/backups/signal-scorer"
NIGHTS = [f"2025-01-{day:02}" for day in range(1, 10)]


def night(folder: Path, state: Path) -> None:
    """What cron has a shell do: a backslash before a percent sign is cron's."""
    lines = [line for line in DOCUMENT.read_text().splitlines() if " * * * " in line]
    saving, bounding = (line.split(" * * * ")[1] for line in lines if FOLDER in line)
    assert "backup" in saving
    scorer = folder.parent / "signal-scorer"
    scorer.write_text(f'#!/bin/sh\nexec {sys.executable} -m service "$@"\n')
    scorer.chmod(0o755)
    for command in (saving, bounding):
        ours = command.replace("/usr/local/bin/signal-scorer", str(scorer))
        script = ours.replace(FOLDER, str(folder)).replace("\\%", "%")
        environment = {"SIGNAL_SCORER_STATE_DIR": str(state), "PATH": "/usr/bin:/bin"}
        subprocess.run(["sh", "-c", script], env=environment, cwd=DOCUMENT.parents[1], check=False)


@pytest.mark.parametrize("missing", [False, True])
def test_of_whole_and_of_incomplete_backups_the_newest_seven_stay(
    tmp_path: Path, missing: bool
) -> None:
    state, folder = tmp_path / "state", tmp_path / "backups"
    if missing:
        write_event(state, "model_installed")
    else:
        a_state(state, "model_installed", 0)
    for name in NIGHTS:
        (folder / name).mkdir(parents=True)
        (folder / f"incomplete-{name}").mkdir()
    night(folder, state)
    names = sorted(path.name for path in folder.iterdir())
    whole = [name for name in names if not name.startswith("incomplete-")]
    incomplete = [name for name in names if name.startswith("incomplete-")]
    if missing:
        assert whole == NIGHTS
        assert incomplete[:-1] == [f"incomplete-{name}" for name in NIGHTS[-6:]]
        assert incomplete[-1] > f"incomplete-{NIGHTS[-1]}"
    else:
        assert whole[:-1] == NIGHTS[-6:]
        assert whole[-1] > NIGHTS[-1]
        assert incomplete == [f"incomplete-{name}" for name in NIGHTS[-7:]]
