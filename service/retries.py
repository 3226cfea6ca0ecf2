"""Answered signals, for their retries: the same request gets the same reply, and one row.

An answer whose row has not reached the journal keeps that row, so that a retry carries it
there; what was written keeps its reply only. Bounded by number, not by time: an answer
older than the window is not found, and goes when newer ones need its place.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any, NamedTuple

import msgpack

from service.records import ScoreRow

# `op` too: a signal asked about again in a batch is the same signal.
_NOT_CONTENT = frozenset(("v", "id", "op", "deadline_ms", "explain"))


class Remembered(NamedTuple):
    """An answer of the time `at_s` (UTC s) to the content of this `digest`.

    `row` is there while it is not known to be written.
    """

    at_s: float
    digest: bytes
    reply: dict[str, Any]
    row: ScoreRow | None = None


class Retries:
    """The newest `limit` answers, each found for `window_s` seconds."""

    def __init__(self, window_s: float, limit: int) -> None:
        self._window_s = window_s
        self._limit = limit
        self._answers: OrderedDict[tuple[str, bytes], Remembered] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def find(self, signal_id: str | None, digest: bytes, now_s: float) -> Remembered | None:
        """The answer to the same content of the same signal, if it is within the window."""
        known = self._answers.get((signal_id, digest)) if signal_id else None
        return known if known and now_s - known.at_s <= self._window_s else None

    def remember(self, signal_id: str, answer: Remembered) -> None:
        """Keep an answer; its reply must not be changed afterwards."""
        key = signal_id, answer.digest
        self._answers[key] = answer
        self._answers.move_to_end(key)
        while len(self._answers) > self._limit:
            self._answers.popitem(last=False)

    def written(self, row: ScoreRow) -> None:
        """The row is in the journal: its retries need not carry it."""
        if row.signal_id is None:
            return
        known = self._answers.get((row.signal_id, row.digest))
        if known is not None and known.row is row:
            self._answers[row.signal_id, row.digest] = known._replace(row=None)


def content_digest(content: dict[str, Any]) -> bytes:
    """16 bytes that two requests share exactly when they ask the same of the same signal."""
    items = [item for item in sorted(content.items()) if item[0] not in _NOT_CONTENT]
    return hashlib.blake2b(msgpack.packb(items), digest_size=16).digest()
