"""Backs up, then restores, once for every step, killed just before that step.

Run as `python killed_keeper.py ORIGINAL BACKUP WORK`: ORIGINAL is a state directory and BACKUP a
backup of another state. `WORK/backup/<k>` is what a backup of ORIGINAL that was killed at step k
left, `WORK/restore/<k>` a copy of ORIGINAL in which a restore of BACKUP was killed at step k;
`WORK/steps.json` names the steps of each.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from killed import killed_at_each

from service.backup.restore import restore
from service.backup.save import make
from service.config.load import Sourced, load
from service.files.durable import Step

NOW_S = 1_757_944_800.0


def sourced(state: Path) -> Sourced:
    return load(environ={"SIGNAL_SCORER_STATE_DIR": str(state)})


def back_up(state: Path, folder: Path, step: Step) -> None:
    make(sourced(state), None, folder / "saved", now_s=NOW_S, step=step)


def put_back(state: Path, backup: Path, step: Step) -> None:
    restore(sourced(state).config, backup, force=True, now_s=NOW_S, step=step)


def copy_of(original: Path, target: Path) -> Path:
    return Path(shutil.copytree(original, target))


def main(original: Path, backup: Path, work: Path) -> None:
    steps: dict[str, list[str]] = {"backup": [], "restore": []}
    back_up(original, work / "whole", steps["backup"].append)
    put_back(copy_of(original, work / "restored"), backup, steps["restore"].append)
    for k in range(len(steps["restore"])):
        copy_of(original, work / "restore" / str(k))
    killed_at_each(
        len(steps["backup"]), lambda k, step: back_up(original, work / "backup" / str(k), step)
    )
    killed_at_each(
        len(steps["restore"]), lambda k, step: put_back(work / "restore" / str(k), backup, step)
    )
    (work / "steps.json").write_text(json.dumps(steps))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
