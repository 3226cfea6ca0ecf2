"""How far a replay is: a bar on a terminal, log lines elsewhere, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import structlog


class Progress:
    """Where a replay says how far it is; this one says nothing."""

    def on_bound(self, endpoint: str, total: int) -> None:
        """The socket is bound to `endpoint` and waits for a subscriber; `total` messages wait."""

    def on_sent(self, sent: int) -> None:
        """So many messages have been published."""


@contextmanager
def show_progress(stream: IO[str]) -> Iterator[Progress]:
    """A bar where `stream` is a terminal, log lines elsewhere."""
    if not stream.isatty():
        yield _LogProgress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bar(*columns, TimeRemainingColumn(), console=Console(file=stream)) as bar:
        yield _BarProgress(bar)


class _LogProgress(Progress):
    """One line at the start, then one for each twentieth."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("replay")
        self._total = 0
        self._said = 0

    def on_bound(self, endpoint: str, total: int) -> None:
        self._total = total
        self._log.info("replay_waits_for_subscriber", endpoint=endpoint, messages=total)

    def on_sent(self, sent: int) -> None:
        twentieth = sent * 20 // max(self._total, 1)
        if twentieth > self._said:
            self._said = twentieth
            self._log.info("replay_published", sent=sent, of=self._total)


class _BarProgress(Progress):
    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._task: Any = None
        self._endpoint = ""

    def on_bound(self, endpoint: str, total: int) -> None:
        self._endpoint = endpoint
        self._task = self._bar.add_task(f"{endpoint}: waiting for a subscriber", total=total)

    def on_sent(self, sent: int) -> None:
        self._bar.update(self._task, completed=sent, description=self._endpoint)
