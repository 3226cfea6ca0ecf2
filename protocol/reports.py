"""Outcomes on their way: what the service could not be told waits, bounded, and is sent later.

Only in memory: the caller's own log of outcomes is what the trainer reads besides.
"""

from __future__ import annotations

import time
from collections import Counter, deque

from protocol.client import ScorerClient, ScorerRefused, ScorerUnavailable
from protocol.messages import OutcomeRequest

MAX_WAITING = 1000
"""Beyond it the oldest is lost and counted."""

_LATER = ("overloaded", "shutting_down", "internal")


class Reports:
    """Sends outcomes through a client; `counts` gets `outcomes_lost` and `outcomes_failed`.

    `refused` says why the last one was lost that no service would take.
    """

    def __init__(self, client: ScorerClient, counts: Counter[str], budget_s: float) -> None:
        self._client = client
        self._counts = counts
        self._budget_s = budget_s
        self._waiting: deque[OutcomeRequest] = deque()
        self.refused: str | None = None

    @property
    def waiting(self) -> int:
        """Reports that the service has not taken yet."""
        return len(self._waiting)

    def send(self, request: OutcomeRequest) -> bool:
        """Report, and where that works also what waits; True once it is in the journal.

        Raises ValueError for what the service will never take. Takes two budgets at most.
        """
        until_s = time.monotonic() + self._budget_s
        try:
            recorded = self._send(request)
        except ValueError:
            raise
        except BaseException:  # interrupted while it waited
            self._keep(request)
            raise
        if recorded:
            self._send_waiting(until_s)
        else:
            self._keep(request)
        return recorded

    def failed(self, error: Exception) -> None:
        """One is lost that no service would take."""
        self._counts["outcomes_failed"] += 1
        self.refused = f"{type(error).__name__}: {error}"[:200]

    def _send(self, request: OutcomeRequest) -> bool:
        """Whether the service has it on disk. Raises ValueError for what it will never take."""
        try:
            return bool(self._client.call(request).get("journalled"))
        except ScorerUnavailable:
            return False
        except ScorerRefused as refusal:
            if refusal.code in _LATER:
                return False
            raise

    def _keep(self, request: OutcomeRequest) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self._counts["outcomes_lost"] += 1
        self._waiting.append(request)

    def _send_waiting(self, until_s: float) -> None:
        """Send what waits, oldest first; the last one leaves before this time."""
        while self._waiting and time.monotonic() < until_s:
            try:
                request = self._waiting.popleft()
            except IndexError:  # another thread sent it
                return
            try:
                if not self._send(request):
                    self._waiting.appendleft(request)
                    return
            except ValueError as error:
                self.failed(error)
            except BaseException:
                self._waiting.appendleft(request)
                raise
