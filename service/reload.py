"""SIGHUP: the configuration read again while requests are under way.

The rule: a key is taken up while running only if nothing that was worked out with its old value
is kept anywhere; all others are named and wait for a restart. A file that is wrong changes
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import structlog

from service import logs
from service.config.load import Sourced
from service.config.settings import Config
from service.config_check import refuse_unusable
from service.errors import ConfigError
from service.sockets.zap import AllowList
from service.vitals import Vitals

log = structlog.get_logger("scorer")

LIVE = frozenset({"log.level", "limits.faults_per_minute", "score.mode"})
"""Taken up at once."""

TRAINERS = ("training.", "truth_log.", "monitor.", "alerts.")
"""Read by the trainer and the monitor, which read the file at each run."""


class Changes(NamedTuple):
    """What differs, by dotted key: taken up (old, new), to be restarted for, the trainer's."""

    live: dict[str, tuple[Any, Any]]
    restart: tuple[str, ...]
    trainers: tuple[str, ...]


def compare(running: Config, wanted: Config) -> Changes:
    """What of the wanted configuration is not what runs."""
    before, after = _flat(running), _flat(wanted)
    changed = [key for key in after if after[key] != before[key]]
    return Changes(
        {key: (before[key], after[key]) for key in changed if key in LIVE},
        tuple(key for key in changed if key not in LIVE and not key.startswith(TRAINERS)),
        tuple(key for key in changed if key.startswith(TRAINERS)),
    )


def with_live(running: Config, wanted: Config) -> Config:
    """The running configuration with the wanted values of the keys that may change."""
    for key in sorted(LIVE):
        section, name = key.split(".")
        value = getattr(getattr(wanted, section), name)
        table = msgspec.structs.replace(getattr(running, section), **{name: value})
        running = msgspec.structs.replace(running, **{section: table})
    return running


class Reload:
    """Called by the loop after a SIGHUP. `take_up` gets the configuration to go on with,
    `vitals` hold the keys that wait for a restart."""

    def __init__(
        self,
        running: Config,
        reread: Callable[[], Sourced],
        allowed: AllowList | None,
        take_up: Callable[[Config], None],
        vitals: Vitals,
    ) -> None:
        self._running = running
        self._reread = reread
        self._allowed = allowed
        self._take_up = take_up
        self._vitals = vitals

    def __call__(self) -> None:
        """Read the file, take up what may change, say what may not."""
        if self._allowed is not None:
            self._allowed.stale = True
        try:
            wanted = self._reread().config
            refuse_unusable(wanted)
        except ConfigError as error:
            log.error("configuration not reloaded; what was loaded before holds", error=str(error))
            return
        changes = compare(self._running, wanted)
        self._running = with_live(self._running, wanted)
        logs.set_level(self._running.log.level)
        self._take_up(self._running)
        self._vitals.restart_for = changes.restart
        log.info(
            "reloaded",
            changed={key: f"{old} -> {new}" for key, (old, new) in changes.live.items()},
            of_the_trainer=changes.trainers,
        )
        if changes.restart:
            log.warning("changed, but a restart is needed", keys=changes.restart)


def _flat(config: Config) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for section, values in msgspec.to_builtins(config).items():
        if isinstance(values, dict):
            found |= {f"{section}.{key}": value for key, value in values.items()}
        else:
            found[section] = values
    return found
