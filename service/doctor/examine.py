"""The order of the checks, and that none of them takes the others along when it fails."""

from __future__ import annotations

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
from service.doctor.scene import Scene

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


def examine(scene: Scene, checks: Iterable[tuple[str, Check]] = CHECKS) -> Iterator[Finding]:
    """All findings, check by check, as they are made."""
    for name, check in checks:
        try:
            yield from check(scene)
        except Exception as error:  # a fault of ours must not hide what others find
            yield fail(
                name,
                "doctor",
                f"could not look: {type(error).__name__}: {error}",
                "run it as root or the service's user; if it stays, please report it",
            )
