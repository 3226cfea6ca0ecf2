"""What the trainer left in `history.jsonl`, read leniently: a damaged line is passed over."""

from __future__ import annotations

from pathlib import Path

import msgspec

HISTORY_NAME = "history.jsonl"


class Event(msgspec.Struct, frozen=True):
    """One line; keys that are not named here are left alone. Times in UTC seconds.

    `newest_s` is when the newest of a candidate's `n` samples was scored; older lines lack it.
    """

    event: str = ""
    at: float = 0.0
    version: str | None = None
    why: str = ""
    n: int | None = None
    newest_s: float | None = None
    gain: float | None = None


def read_history(models_dir: Path) -> list[Event]:
    """All events, oldest first; none where there is no history."""
    try:
        lines = (models_dir / HISTORY_NAME).read_bytes().splitlines()
    except OSError:
        return []
    events = []
    for line in lines:
        try:
            events.append(msgspec.json.decode(line, type=Event))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
    return events


def last_trained(events: list[Event]) -> Event | None:
    """The last candidate, published or not; only those carry a sample count."""
    return next((event for event in reversed(events) if event.n is not None), None)
