"""What the trainer left in `history.jsonl`, read leniently: a damaged line is passed over."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from service.files.regular import open_regular

HISTORY_NAME = "history.jsonl"
LAST_RUN_NAME = "last-run"
"""Beside it: how the last `train` ended, in a word; when, says the file's time."""
MOVES = ("published", "rolled back", "pinned")
MOST_BYTES = 16 << 20
"""Some 80,000 lines. Of a longer file its end is read, which is what is asked about."""


class Event(msgspec.Struct, frozen=True):
    """One line; keys that are not named here are left alone. Times in UTC seconds.

    `reviewed_at` is when the version was judged last, in lines that judge it.
    `newest_s` is when the newest of a candidate's `n` samples was scored; older lines lack it.
    """

    event: str = ""
    at: float = 0.0
    version: str | None = None
    why: str = ""
    n: int | None = None
    newest_s: float | None = None
    gain: float | None = None
    reviewed_at: float | None = None


def read_history(models_dir: Path) -> list[Event]:
    """The newest events, oldest first; none where no history can be read."""
    try:
        with open_regular(models_dir / HISTORY_NAME) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - MOST_BYTES))
            lines = file.read(MOST_BYTES).splitlines()
    except OSError:
        return []
    events = []
    for line in lines:
        try:
            events.append(msgspec.json.decode(line, type=Event))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
    return events


def moves(events: list[Event]) -> list[Event]:
    """Those that named the model that was to serve from then on."""
    return [event for event in events if event.event in MOVES]


def last_trained(events: list[Event]) -> Event | None:
    """The last candidate, published or not; only those carry a sample count."""
    return next((event for event in reversed(events) if event.n is not None), None)
