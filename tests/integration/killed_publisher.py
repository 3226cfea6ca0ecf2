"""Publishes once for every step, in a process of its own that is killed just before that step.

Run as `python killed_publisher.py ORIGINAL WORK`: each `WORK/<k>` is a copy of ORIGINAL in
which a publication was killed at step k; `WORK/steps` names the steps of a whole one.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from builders import NOW_S, small_draft

from training.publish import TrainerLock, publish

KEEP = 2


def publish_another(models: Path, step) -> None:
    forest, draft = small_draft(1)
    with TrainerLock(models):
        publish(models, forest, draft, b"<p>", now_s=NOW_S + 900, why="w", keep=KEEP, step=step)


def killed_at(models: Path, k: int) -> None:
    left = k

    def step(name: str) -> None:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    publish_another(models, step)


def main(original: Path, work: Path) -> None:
    names: list[str] = []
    publish_another(Path(shutil.copytree(original, work / "whole")), names.append)
    for k in range(len(names)):
        models = Path(shutil.copytree(original, work / str(k)))
        child = os.fork()
        if child == 0:
            killed_at(models, k)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"step {k} was not reached"
    (work / "steps").write_text("\n".join(names))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
