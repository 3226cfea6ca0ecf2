"""The checks by name, in their order, and that none takes the others along when it fails."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from msgspec.structs import replace

from service.doctor import (
    addresses,
    clock,
    configuration,
    feed,
    files,
    journal,
    keys,
    model,
    running,
    trainer,
)
from service.doctor.finding import Finding, fail, warn
from service.doctor.scene import Scene, user_name
from service.files import presence

Check = Callable[[Scene], Iterable[Finding]]

CHECKS: tuple[tuple[str, Check], ...] = (
    ("service", running.check),
    ("mode", running.mode),
    ("configuration", configuration.check),
    ("addresses", addresses.check),
    ("keys", keys.check),
    ("feed", feed.check),
    ("model", model.check),
    ("journal", journal.check),
    ("files", files.check),
    ("disk", files.disk),
    ("clock", clock.check),
    ("trainer", trainer.check),
    ("alerts", trainer.alerts),
)

BEHIND_THE_STATE = frozenset({"mode", "model", "journal", "files", "disk", "trainer"})
"""Checks of what lies in the state directory."""


def examine(scene: Scene, checks: Iterable[tuple[str, Check]] = CHECKS) -> Iterator[Finding]:
    """All findings, check by check, as they are made; each says whose it is."""
    state = scene.state_dir
    blind = _is_closed(state)
    if blind:
        found = fail(
            state,
            f"you, user {user_name(os.geteuid())}, may not look into it: mode, model, journal and "
            "files were not looked at",
            "run it as root or the service's user",
        )
        yield replace(found, check="files")
    for name, check in checks:
        if blind and name in BEHIND_THE_STATE:
            continue
        for found in _guarded(check, scene):
            yield replace(found, check=name)


def _is_closed(state: Path) -> bool:
    """Whether who asks may not look into it, or not even see it."""
    try:
        there = presence.is_dir(state)
    except OSError as error:  # what else a disk says, each check says of it
        return isinstance(error, PermissionError)
    return there and not os.access(state, os.R_OK | os.X_OK, effective_ids=True)


def _guarded(check: Check, scene: Scene) -> Iterator[Finding]:
    """A fault of ours must not hide what others find."""
    try:
        yield from check(scene)
    except PermissionError as error:
        place = error.filename or "doctor"
        yield warn(place, "is hidden from you: this check ended there", "run it as root")
    except Exception as error:
        yield fail(
            "doctor",
            f"could not look: {type(error).__name__}: {error}",
            "run it as root or the service's user; if it stays, please report it",
        )
