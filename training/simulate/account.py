"""What happened to every request and every signal of a simulation. Nothing here decides.

Many threads write; each method holds the lock for a moment. The rule: sent = answered +
lost + in flight, and what the summary claims is counted from these records alone.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import NamedTuple

import msgspec


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """A traded signal: what was asked, what came back, how it will end.

    `p_true` is known to the simulation alone. Times are market time, UTC seconds;
    `ends_s` is when its outcome becomes known.
    """

    signal_id: str
    symbol: str
    direction: str
    base_score: float
    final_score: float
    status: str
    win_probability: float | None
    take: bool | None
    model_version: str | None
    reward_risk: float
    cost_r: float
    p_true: float
    win: bool
    opened_s: float
    ends_s: float

    @property
    def made_r(self) -> float:
        """In units of its risk, costs taken off."""
        return (self.reward_risk if self.win else -1.0) - self.cost_r


class Exchange(NamedTuple):
    """One score request: wall times (monotonic s) of sending and answer, and its model."""

    sent_s: float
    answered_s: float
    model_version: str | None
    lost: bool
    traded: bool
    service_ms: float | None

    @property
    def round_trip_ms(self) -> float:
        """As Elite Guard saw it."""
        return (self.answered_s - self.sent_s) * 1000.0


class FirstReply(NamedTuple):
    """The first reply of a model: at which wall time (epoch s), how many were in flight then."""

    at_s: float
    in_flight: int


class Account:
    """The records, and the newest few for the screen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.sent = 0
        self.in_flight = 0
        self.exchanges: list[Exchange] = []
        self.statuses: Counter[str] = Counter()
        self.reports: Counter[str] = Counter()
        self.scored: list[Scored] = []
        self.closed: list[Scored] = []
        self.first_replies: dict[str, FirstReply] = {}
        self.newest_scored: deque[Scored] = deque(maxlen=8)
        self.newest_closed: deque[Scored] = deque(maxlen=8)

    def on_sent(self) -> None:
        """A score request leaves."""
        with self._lock:
            self.sent += 1
            self.in_flight += 1

    def on_answer(self, exchange: Exchange, status: str, wall_s: float) -> None:
        """A score request came back, or was given up."""
        with self._lock:
            self.exchanges.append(exchange)
            self.statuses[status] += 1
            version = exchange.model_version
            if version is not None and version not in self.first_replies:
                self.first_replies[version] = FirstReply(wall_s, self.in_flight)
            self.in_flight -= 1

    def on_trade(self, scored: Scored) -> None:
        """A scored signal is traded."""
        with self._lock:
            self.scored.append(scored)
            self.newest_scored.append(scored)

    def on_closed(self, scored: Scored) -> None:
        """A trade has ended and its outcome was written."""
        with self._lock:
            self.closed.append(scored)
            self.newest_closed.append(scored)

    @property
    def lost(self) -> int:
        """Requests without an answer of the service."""
        with self._lock:
            return sum(exchange.lost for exchange in self.exchanges)
