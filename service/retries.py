"""Answered signals, for their retries: the same request gets the same reply, and one row.

An answer whose row has not reached the journal keeps that row, so that a retry carries it
there; what was written keeps its reply only. Bounded by number and, of rows that wait for a
disk, by bytes, not by time: an answer older than the window is not found, and goes when newer
ones need its place.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import msgspec

from protocol.messages import ScoreRequest
from service.journal.records import Remembered, ScoreRow

MOST_UNWRITTEN_BYTES = 64 << 20
"""Of requests in rows that no disk takes: some 200,000 usual ones, or 256 of the largest."""


class Retries:
    """The newest `limit` answers, each found for `window_s` seconds."""

    def __init__(self, window_s: float, limit: int) -> None:
        self._window_s = window_s
        self._limit = limit
        self._unwritten_bytes = 0
        self._answers: OrderedDict[tuple[str, bytes], Remembered] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def find(self, signal_id: str | None, digest: bytes, now_s: float) -> Remembered | None:
        """The answer to the same content of the same signal, if it is within the window."""
        known = self._answers.get((signal_id, digest)) if signal_id else None
        return known if known and now_s - known.at_s <= self._window_s else None

    def remember(self, signal_id: str, answer: Remembered) -> None:
        """Keep an answer."""
        key = signal_id, answer.digest
        before = self._answers.pop(key, None)
        self._unwritten_bytes -= before.unwritten_bytes if before else 0
        self._answers[key] = answer
        self._unwritten_bytes += answer.unwritten_bytes
        while len(self._answers) > self._limit or self._unwritten_bytes > MOST_UNWRITTEN_BYTES:
            _, oldest = self._answers.popitem(last=False)
            self._unwritten_bytes -= oldest.unwritten_bytes

    def clock_stepped(self, step_s: float) -> None:
        """UTC was set on by `step_s` (negative: back): answers are as old as they were."""
        for answer in self._answers.values():
            answer.at_s += step_s

    def written(self, row: ScoreRow) -> None:
        """The row is in the journal: its retries need not carry it."""
        if row.signal_id is None:
            return
        known = self._answers.get((row.signal_id, row.digest))
        if known is not None and known.row is row:
            self._unwritten_bytes -= known.unwritten_bytes
            known.row = None


def content_digest(request: ScoreRequest) -> bytes:
    """16 bytes that two requests share exactly when they ask the same of the same signal.

    Of the fields as understood, so that the order of keys, an integer for a float, and
    whether it came in a batch make no difference; nor do deadline and explanation.
    """
    if request.deadline_ms is not None or request.explain:
        request = msgspec.structs.replace(request, deadline_ms=None, explain=False)
    return hashlib.blake2b(msgspec.msgpack.encode(request), digest_size=16).digest()
