"""The client that a signal engine calls: never blocked beyond its budget, never surprised.

Lazy Pirate over REQ: poll within the budget, close and reopen the socket, try again; after
time-outs in a row a circuit breaker answers at once. A score never raises because the
service is away; it returns the base score and says so.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import zmq

from protocol import codec, messages, questions
from protocol.connection import Connection, no_socket
from protocol.home import Home, Resident
from protocol.options import DEFAULT_ENDPOINT
from protocol.questions import Question, ScorerRefused, ScorerUnavailable

__all__ = [
    "DEFAULT_ENDPOINT",
    "ScorerClient",
    "ScorerRefused",
    "ScorerUnavailable",
]

T = TypeVar("T")


class ScorerClient(Resident):
    """Asks the service; usable from many threads and after a fork.

    `timeout_ms` is the budget of a whole call, retries included; see `options.Options`. Only
    scores (`score`, `score_many`) have something to fall back on, unless `strict`: every other
    call raises ScorerUnavailable where the service is away and ScorerRefused where it refuses.

        with ScorerClient() as scorer:
            reply = scorer.score("EURUSD", 72.5, signal_id="...", direction="BUY")
            print(reply.final_score, reply.status, reply.win_probability)
    """

    def score(
        self, symbol: str, base_score: float, **signal: messages.Unpack[messages.Keywords]
    ) -> messages.ScoreReply:
        """Score one signal; keywords are the fields of `messages.Signal`.

        Raises ValueError for arguments that no server would accept. Where no usable answer
        comes in time: status `unreachable` (or `error`) and the base score.
        """
        return self._put(questions.score(symbol, base_score, signal))

    def score_many(self, signals: Iterable[Mapping[str, Any]]) -> list[messages.ScoreReply]:
        """Score up to 256 signals at once; each is a dict of the fields of `messages.Signal`.

        The answers come in the same order. A signal that the service refuses has status
        `error` and its base score; otherwise as `score`: one that no server would accept raises
        ValueError for all.
        """
        each = list(signals)
        return self._put(questions.score_many(each)) if each else []

    def outcome(
        self, outcome: str | bool, **fields: messages.Unpack[messages.Ending]
    ) -> dict[str, Any]:
        """Report how a signal ended; keywords are the fields of `messages.OutcomeRequest`.

        In the answer `journalled` says whether it is on disk.
        """
        return self.call(codec.request_of(messages.OutcomeRequest, outcome=outcome, **fields))

    def sentiment(self, symbol: str, score: float, **fields: Any) -> dict[str, Any]:
        """Send an external sentiment, 0..100, for a symbol or `*`."""
        return self.call(
            codec.request_of(messages.SentimentRequest, symbol=symbol, score=score, **fields)
        )

    def features(
        self, symbol: str, direction: messages.Direction | None = None, base_score: float = 50.0
    ) -> dict[str, Any]:
        """The vector as a score would see it now."""
        return self.call(
            messages.FeaturesRequest(symbol=symbol, direction=direction, base_score=base_score)
        )

    def health(self) -> dict[str, Any]:
        """Whether the service is ready, and why not."""
        return self.call(messages.HealthRequest())

    def stats(self) -> dict[str, Any]:
        """Counters, latencies, feed clocks, model."""
        return self.call(messages.StatsRequest())

    def call(self, request: messages.Request) -> dict[str, Any]:
        """Send any request and return the reply's map.

        Raises ScorerUnavailable, ScorerRefused, or ValueError for a request that is
        invalid or too large.
        """
        request_id = next(self._ids)
        return self._ask(codec.encode_request(request, request_id), request_id)

    def _ask(self, body: bytes, request_id: int) -> dict[str, Any]:
        home, options, local = self._at_home(), self._options, self._local
        news = home.guard.check()
        try:
            connection = self._connection(home)
            local.connection = None  # a signal's handler that asks meanwhile gets one of its own
            try:
                reply = connection.ask(body, request_id, options.budget_s, options.tries)
            finally:
                local.connection = connection
        except zmq.ZMQError as error:
            raise no_socket(options.endpoint, error) from None
        except ScorerUnavailable:
            home.guard.timed_out(news)
            raise
        home.guard.answered()
        return questions.checked(reply)

    def close(self) -> None:
        """Close this thread's socket and end the probing; the next call begins anew."""
        home = self._at_home()
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            self._local.connection = None
            connection.close()
        home.guard.reset()

    def __enter__(self) -> ScorerClient:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()

    def _put(self, question: Question[T]) -> T:
        request_id = next(self._ids)
        body = codec.encode_checked(question.request, request_id)
        try:
            return question.read(self._ask(body, request_id))
        except (ScorerUnavailable, ScorerRefused) as failure:
            return question.without_reply(failure, strict=self._options.strict)

    def _begin(self) -> None:
        self._local = threading.local()

    def _connection(self, home: Home) -> Connection:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = Connection(home.sockets, self._options.endpoint, self._options.curve)
            self._local.connection = connection
        return connection
