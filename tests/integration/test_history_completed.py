"""What a kill or a full disk kept out of the history is written down by whoever comes next."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from builders import NOW_S, pointer_of, small_draft, small_model
from test_monitor_command import ALLOWED, monitor, two_models
from trained import history, run

from service.files.durable import TrainerLock
from training.models.publish import publish
from training.models.registry import complete_history, revalidate, rollback, too_old

DAY_S = 86_400.0


class Killed(BaseException):
    """The process ends here."""


def before_the_history(step: str) -> None:
    if step.startswith("append"):
        raise Killed


@pytest.fixture
def untold(tmp_path: Path) -> tuple[str, str]:
    """A model, and one that was published after it, of which the history says nothing."""
    older = small_model(tmp_path / "models", now_s=NOW_S)
    forest, draft = small_draft(1)
    with TrainerLock(tmp_path / "models"), pytest.raises(Killed):
        publish(
            tmp_path / "models", forest, draft, b"", now_s=NOW_S + 60, why="x",
            step=before_the_history,
        )  # fmt: skip
    return older, pointer_of(tmp_path / "models").version


def told(models: Path) -> list[tuple[object, object]]:
    return [(event["event"], event["version"]) for event in history(models)]


@pytest.mark.parametrize("command", ["rollback", "pin"])
def test_a_publication_is_told_before_what_an_operator_does_then(
    tmp_path: Path, untold: tuple[str, str], command: str
) -> None:
    older, newer = untold
    version, event = {"rollback": (older, "rolled back"), "pin": (newer, "pinned")}[command]
    assert run(tmp_path, command, version, journal=False).exit_code == 0
    assert told(tmp_path / "models") == [
        ("published", older),
        ("published", newer),
        (event, version),
    ]


def test_a_review_is_told_before_the_monitor_takes_its_model_back(tmp_path: Path) -> None:
    older, newer = two_models(tmp_path)
    models = tmp_path / "models"
    with TrainerLock(models), pytest.raises(Killed):
        revalidate(models, now_s=NOW_S + 7200, why="still good", step=before_the_history)
    assert f"rolled back to {older}" in monitor(tmp_path, config=ALLOWED).output
    assert told(models)[2:] == [("re-validated", newer), ("rolled back", older)]


def test_a_review_is_told_once_and_counts_after_a_rollback(tmp_path: Path) -> None:
    now_s = time.time()
    version = small_model(tmp_path, now_s=now_s - 40 * DAY_S)
    with TrainerLock(tmp_path), pytest.raises(Killed):
        revalidate(tmp_path, now_s=now_s - 12 * DAY_S, why="still good", step=before_the_history)
    with TrainerLock(tmp_path):
        assert complete_history(tmp_path) == version
        assert complete_history(tmp_path) is None
    event = history(tmp_path)[-1]
    assert (event["event"], event["why"]) == ("re-validated", "still good")
    small_model(tmp_path, 1, now_s=now_s - 5 * DAY_S)
    rollback(tmp_path, now_s=now_s, why="test")
    assert not too_old(pointer_of(tmp_path).reviewed_at, 35.0, now_s=now_s)
    assert complete_history(tmp_path) is None


def test_a_model_that_was_rolled_back_to_is_not_told_as_a_new_one(tmp_path: Path) -> None:
    older, _ = (small_model(tmp_path, seed, now_s=NOW_S + 60 * seed) for seed in (0, 1))
    (tmp_path / "history.jsonl").unlink()
    rollback(tmp_path, now_s=NOW_S + 120, why="test")
    with TrainerLock(tmp_path):
        assert complete_history(tmp_path) is None
    assert told(tmp_path) == [("rolled back", older)]
