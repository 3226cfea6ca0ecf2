"""What the trainer writes can be read by the service's user, whatever umask its command had."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from another_user import as_no_root
from builders import NOW_S, pointer_of, small_model

from service.model.history import HISTORY_NAME
from service.model.watch import Loaded, ModelWatch
from training.models.registry import pin, rollback, unpin

WRAPPER = Path(__file__).resolve().parents[2] / "deploy/bin/signal-scorer-train"


@contextmanager
def closed() -> Iterator[None]:
    """As root's shell may be set up: what is made is for its maker alone."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def taken_up(models: Path) -> str | None:
    """The version that a service loads that runs as another user."""
    with as_no_root():
        event = ModelWatch(models).poll_once()
    return event.model.version if isinstance(event, Loaded) else None


def test_a_service_of_another_user_takes_up_whatever_is_pointed_at(open_folder: Path) -> None:
    models = open_folder / "models"
    models.mkdir()
    with closed():
        older, newer = (small_model(models, now_s=NOW_S + n) for n in (0, 60))
    assert taken_up(models) == newer
    moves = (
        lambda: rollback(models, now_s=NOW_S + 120, why="by hand"),
        lambda: pin(models, newer, now_s=NOW_S + 180),
        lambda: unpin(models, now_s=NOW_S + 240),
    )
    for move in moves:
        with closed():
            move()
        assert taken_up(models) == pointer_of(models).version
    assert (models / older).stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_mode & 0o777 for path in (models / older).iterdir()} == {0o644}
    assert (models / HISTORY_NAME).stat().st_mode & 0o777 == 0o644


def installed(folder: Path, program: str, shell: str = "umask 022") -> str:
    """What a program in the trainer's place prints where the installed command is called."""
    said = folder / "said"
    said.write_text(f"#!/bin/sh\n{program}\n")
    said.chmod(0o755)
    text = WRAPPER.read_text()
    for there, here in {
        "/opt/signal-scorer/current/bin/signal-scorer-train": str(said),
        "/etc/systemd/system/signal-scorer-train.service.d/truth-log.conf": "/nowhere",
        "-u scorer-trainer": "-u daemon",
    }.items():
        assert there in text
        text = text.replace(there, here)
    called = ["sh", "-c", f'{shell}; exec sh -c "$0" signal-scorer-train rollback', text]
    return subprocess.run(called, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(("shell", "command"), [("077", "0027"), ("022", "0022"), ("002", "0002")])
def test_the_installed_command_leaves_its_group_in(
    open_folder: Path, shell: str, command: str
) -> None:
    assert installed(open_folder, "umask", f"umask {shell}") == command


def test_the_installed_command_runs_where_root_has_a_users_path(open_folder: Path) -> None:
    # As under `su` and in root's own crontab.
    assert installed(open_folder, "echo runs", "PATH=/usr/bin:/bin") == "runs"
