"""The order of the checks, and that none of them takes the others along when it fails."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

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
from service.doctor.finding import Finding, fail
from service.doctor.scene import Scene, user_name

Check = Callable[[Scene], Iterable[Finding]]

CHECKS: tuple[tuple[str, Check], ...] = (
    (running.CHECK, running.check),
    (running.MODE, running.mode),
    (configuration.CHECK, configuration.check),
    (addresses.CHECK, addresses.check),
    (keys.CHECK, keys.check),
    (feed.CHECK, feed.check),
    (model.CHECK, model.check),
    (journal.CHECK, journal.check),
    (files.CHECK, files.check),
    (files.DISK, files.disk),
    (clock.CHECK, clock.check),
    (trainer.CHECK, trainer.check),
    (trainer.ALERTS, trainer.alerts),
)


BEHIND_THE_STATE = {
    *(running.MODE, model.CHECK, journal.CHECK, files.CHECK, files.DISK, trainer.CHECK)
}
"""Checks of what lies in the state directory."""


def examine(scene: Scene, checks: Iterable[tuple[str, Check]] = CHECKS) -> Iterator[Finding]:
    """All findings, check by check, as they are made."""
    state = scene.state_dir
    blind = state.is_dir() and not os.access(state, os.R_OK | os.X_OK, effective_ids=True)
    if blind:
        yield fail(
            files.CHECK,
            state,
            f"you, user {user_name(os.geteuid())}, may not look into it: mode, model, journal and "
            "files were not looked at",
            "run it as root or the service's user",
        )
    for name, check in checks:
        if blind and name in BEHIND_THE_STATE:
            continue
        try:
            yield from check(scene)
        except Exception as error:  # a fault of ours must not hide what others find
            yield fail(
                name,
                "doctor",
                f"could not look: {type(error).__name__}: {error}",
                "run it as root or the service's user; if it stays, please report it",
            )
