"""Does something to models once for every step, in a process that is killed just before that step.

Run as `python killed_publisher.py DRAFT LATER_S ORIGINAL WORK ACTION...`: each `WORK/<action>/<k>`
is a copy of ORIGINAL in which the action was killed at step k, `WORK/<action>/whole` one in which
it was not; `WORK/<action>/steps` names the steps. DRAFT is the pickled model to publish at LATER_S
(UTC seconds): to fit it here would take longer than all the rest.
"""

from __future__ import annotations

import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from killed import killed_at_each

from service.files.durable import Step, TrainerLock, no_step
from training.models.publish import publish
from training.models.registry import list_models, pin, revalidate, rollback, unpin

KEEP = 2
LATER_S = float(sys.argv[2])


def publish_another(models: Path, step: Step) -> None:
    forest, draft = pickle.loads(Path(sys.argv[1]).read_bytes())
    publish(models, forest, draft, b"<p>", now_s=LATER_S, why="w", keep=KEEP, step=step)


def pin_current(models: Path, step: Step) -> None:
    pin(models, list_models(models)[0].version, now_s=LATER_S, step=step)


def pin_oldest(models: Path, step: Step) -> None:
    pin(models, list_models(models)[-1].version, now_s=LATER_S, step=step)


def point_back(models: Path, step: Step) -> None:
    rollback(models, now_s=LATER_S, why="w", step=step)


def review(models: Path, step: Step) -> None:
    revalidate(models, now_s=LATER_S, why="w", step=step)


def release(models: Path, step: Step) -> None:
    pin_current(models, no_step)
    unpin(models, now_s=LATER_S, step=step)


ACTIONS: dict[str, Callable[[Path, Step], None]] = {
    "publish": publish_another,
    "rollback": point_back,
    "pin": pin_current,
    "pin-other": pin_oldest,
    "unpin": release,
    "revalidate": review,
}


def kill_everywhere(act: Callable[[Path, Step], None], original: Path, work: Path) -> None:
    names: list[str] = []
    with TrainerLock(whole := Path(shutil.copytree(original, work / "whole"))):
        act(whole, names.append)

    def run(k: int, step: Step) -> None:
        with TrainerLock(models := Path(shutil.copytree(original, work / str(k)))):
            act(models, step)

    killed_at_each(len(names), run)
    (work / "steps").write_text("\n".join(names))


def main(original: Path, work: Path, *actions: str) -> None:
    for action in actions:
        kill_everywhere(ACTIONS[action], original, work / action)


if __name__ == "__main__":
    main(Path(sys.argv[3]), Path(sys.argv[4]), *sys.argv[5:])
