"""How far a run is, a replay's or the trainer's: a bar on a terminal, lines elsewhere, or nothing.

The rule: what is told here goes to stderr and is for watching only; a run's result is its last
line on stdout, its exit code and the history.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from service.console.printable import printable

QUIET_S = 10.0


class Progress:
    """Where a run says what it does; this one keeps it to itself."""

    def say(self, text: str) -> None:
        """Something happened, in a sentence."""

    def step(self, name: str, done: int, total: int) -> None:
        """`done` of `total` parts of the stage `name` are done."""


SILENT = Progress()


class Lines(Progress):
    """A stamped line for each sentence; of a stage its first and last part, and one in 10 s."""

    def __init__(
        self,
        stream: IO[str],
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._now = now
        self._stage = ""
        self._over = False
        self._said_s = 0.0

    def say(self, text: str) -> None:
        """See Progress."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._now()))
        print(f"{stamp} {printable(text)}", file=self._stream, flush=True)

    def step(self, name: str, done: int, total: int) -> None:
        """See Progress."""
        over = done >= total
        begins = name != self._stage or (self._over and not over)
        ends = over and not self._over
        if not (begins or ends) and self._clock() - self._said_s < QUIET_S:
            return
        self._stage, self._over = name, over
        self._said_s = self._clock()
        self.say(f"{name}: {done} of {total}")


def unstamped(line: str) -> str:
    """A line of `Lines` without the moment, for one who shows a moment of his own."""
    return re.sub(r"^[0-9-]{10}T[0-9:]{8}Z ", "", line)


class Bar(Progress):
    """One bar for each stage on a terminal; sentences scroll by above them."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._tasks: dict[str, Any] = {}

    def say(self, text: str) -> None:
        """See Progress."""
        self._bar.console.print(printable(text), markup=False, highlight=False)

    def step(self, name: str, done: int, total: int) -> None:
        """See Progress."""
        if name not in self._tasks:
            self._tasks[name] = self._bar.add_task(name, total=total)
        self._bar.update(self._tasks[name], completed=done, total=total)


@contextmanager
def show_progress(stream: IO[str]) -> Iterator[Progress]:
    """A bar where `stream` is a terminal, log lines elsewhere."""
    if not stream.isatty():
        yield Lines(stream)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as RichBar

    parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    with RichBar(*parts, *times, console=Console(file=stream)) as bar:
        yield Bar(bar)
