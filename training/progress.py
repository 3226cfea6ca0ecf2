"""How far long work is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

STEPS = 20
Advance = Callable[[int], None]


@contextmanager
def progress_on(stream: IO[str], what: str, total: int) -> Iterator[Advance]:
    """Tell it how many of `total` are done (not how many more): it shows what that means."""
    if not stream.isatty():
        yield _lines(stream, what, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(*columns, console=Console(file=stream), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def _lines(stream: IO[str], what: str, total: int) -> Advance:
    said = 0

    def advance(done: int) -> None:
        nonlocal said
        step = done * STEPS // max(total, 1)
        if step > said:
            said = step
            print(f"{what}: {done} of {total}", file=stream, flush=True)

    return advance
