"""The trainer's part of the common configuration, as plain values for the modules that work.

The same file, environment and rules as the service's; flags go over both.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from service.config.load import load
from service.config.settings import Config
from service.errors import ConfigError
from service.files.rotated import with_rotated
from training.dataset.join_rules import JoinRules, Rhythm
from training.truth_log import ReadingRules
from training.truth_log.files import unread_beside

TREES = 150


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Where things lie, and the numbers of the rules."""

    journal: Path
    models: Path
    replicas: tuple[Path, ...] = ()
    truth_logs: tuple[Path, ...] = ()
    backfills: tuple[Path, ...] = ()
    reading: ReadingRules = ReadingRules()
    joining: JoinRules = JoinRules()
    min_samples: int = 100
    min_new: int = 100
    keep: int = 5
    expire_after_days: float = 35.0
    jobs: int = -1
    scheduler: str | None = None
    seed: int = 42
    trees: int = TREES
    config: Config = Config()

    @property
    def journals(self) -> tuple[Path, ...]:
        """The service's own journal, then those of its replicas."""
        return (self.journal, *self.replicas)

    @property
    def rhythm(self) -> Rhythm:
        """The walk-forward's: a window as often as is retrained, cohorts as when joined."""
        return Rhythm(step=self.min_new or 100, holding_s=self.joining.max_holding_s)

    def reading_at(self, now_s: float) -> ReadingRules:
        """How lines are read at a moment, after which nothing can have ended."""
        return msgspec.structs.replace(self.reading, now_s=now_s)

    def truth_log_files(self) -> list[Path]:
        """The configured logs together with their rotated parts, oldest first."""
        # One that is a part of another by its name, too, is read once.
        return list(dict.fromkeys(f for path in self.truth_logs for f in with_rotated(path)))

    def truth_logs_beside(self) -> list[str]:
        """A line for each configured log that has parts which are not read."""
        read = self.truth_log_files()
        return [said for path in self.truth_logs if (said := unread_beside(path, read))]


def effective(
    config_path: str | None,
    flags: Mapping[str, Any],
    *,
    jobs: int,
    scheduler: str | None,
) -> Settings:
    """Settings from file, environment and `flags` (dotted keys). Raises ConfigError."""
    config = load(config_path, flags=flags).config
    return Settings(
        journal=config.journal_path,
        models=config.models_dir,
        replicas=tuple(config.path(path) for path in config.training.journals),
        truth_logs=tuple(config.path(path) for path in config.truth_log.paths),
        backfills=tuple(config.path(path) for path in config.training.backfills),
        reading=ReadingRules(
            zone=_zone(config), max_watch_delay_s=config.truth_log.max_watch_delay_s
        ),
        joining=JoinRules(
            max_missing=config.training.max_missing,
            max_holding_s=config.training.max_holding_s,
            prefer=config.training.labels,
        ),
        min_samples=config.training.min_samples,
        min_new=config.training.min_new,
        keep=config.training.keep_models,
        expire_after_days=config.model.expire_after_days,
        jobs=jobs,
        scheduler=scheduler,
        config=config,
    )


def _zone(config: Config) -> tzinfo:
    name = config.truth_log.timezone
    if name == "UTC":  # also where no zone database is installed
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise ConfigError(
            f"truth_log.timezone: no zone named {name!r}; use UTC or a name such as Europe/Athens"
        ) from None
