"""Keeps the frame up to date until q or Ctrl-C; leaves the terminal as it was."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.live import Live

from service.config.settings import Config
from service.top.frame import frame, page
from service.top.look import Source
from service.top.trend import Trend


def show(source: Source, config: Config, *, interval_s: float) -> None:
    """Draw a frame every `interval_s` until somebody leaves."""
    console = Console(highlight=False)
    trend = Trend()
    with (
        suppress(KeyboardInterrupt),
        _keys(sys.stdin.fileno()),
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        while True:
            due_s = time.monotonic() + interval_s
            look = source.look()
            trend.see(look)
            size = console.size
            live.update(
                frame(look, trend, config, source.endpoint, size.width, size.height), refresh=True
            )
            if _left(due_s):
                return


def once(source: Source, config: Config, *, interval_s: float) -> None:
    """Print what a frame shows; two looks make its rates."""
    console = Console(highlight=False)
    trend = Trend()
    trend.see(source.look())
    time.sleep(interval_s)
    look = source.look()
    trend.see(look)
    width, height = console.size
    console.print(page(look, trend, config, source.endpoint, width, height - 1))


def _left(due_s: float) -> bool:
    """Wait for the next frame; whether q was pressed meanwhile."""
    while True:
        # A look at a service that does not answer takes longer than there is: a key still counts.
        wait_s = max(due_s - time.monotonic(), 0.0)
        ready, _, _ = select.select([sys.stdin], [], [], wait_s)
        if not ready:
            return False
        pressed = os.read(sys.stdin.fileno(), 64)
        if not pressed or pressed[:1] in (b"q", b"Q"):
            return True


@contextmanager
def _keys(terminal: int) -> Iterator[None]:
    """Keys come one by one and are not shown."""
    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
