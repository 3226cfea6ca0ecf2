"""The log: JSON lines where no terminal reads them, else something for people. To stderr.

The rule: a line that cannot be written is lost, and nothing else with it. The disk that is full
is the journal's as well, and to say so must not end the answers.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog

from service import systemd
from service.config.settings import LogSection

_LEVELS = logging.getLevelNamesMapping()


class _Threshold:
    """Drops what is below a level that may change: loggers keep what they were made with."""

    def __init__(self) -> None:
        self.least = logging.INFO

    def __call__(
        self, _logger: structlog.types.WrappedLogger, name: str, event: structlog.types.EventDict
    ) -> structlog.types.EventDict:
        if _LEVELS.get(name.upper(), logging.ERROR) < self.least:
            raise structlog.DropEvent
        return event


_threshold = _Threshold()


class _Stderr:
    """Writes at once: what waited in a buffer would fail again at the interpreter's end."""

    def write(self, text: str) -> None:
        """Write as much as is taken."""
        with suppress(OSError):
            os.write(sys.stderr.fileno(), text.encode(errors="backslashreplace"))

    def flush(self) -> None:
        """Nothing waits."""


def configure(section: LogSection) -> bool:
    """Set format and level, once, before anything is logged. Returns whether it is JSON."""
    set_level(section.level)
    as_json = section.format == "json" or (section.format == "auto" and not sys.stderr.isatty())
    renderer = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            _threshold,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([structlog.processors.format_exc_info] if as_json else []),
            renderer,
            _ranked,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _Stderr())),
        cache_logger_on_first_use=True,
    )
    return as_json


def set_level(level: str) -> None:
    """From now on log this level and above."""
    _threshold.least = _LEVELS[level.upper()]


def _ranked(_logger: structlog.types.WrappedLogger, name: str, rendered: Any) -> str:
    """Each line with its priority, where systemd's journal reads it."""
    rank = systemd.priority(name)
    return rank + str(rendered).replace("\n", f"\n{rank}")
