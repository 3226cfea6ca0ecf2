"""The client that a signal engine calls: never blocked beyond its budget, never surprised.

Lazy Pirate over REQ: poll within the budget, close and reopen the socket, try again; after
time-outs in a row a circuit breaker answers at once. A score never raises because the
service is away; it returns the base score and says so.
"""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from collections.abc import Sequence
from types import TracebackType
from typing import Any, TypeVar

import zmq

from protocol import codec, messages, questions
from protocol.connection import Connection, check_endpoint, no_socket
from protocol.curve import CurveKeys
from protocol.prober import Guard
from protocol.questions import Question, ScorerRefused, ScorerUnavailable

__all__ = [
    "DEFAULT_ENDPOINT",
    "Options",
    "ScorerClient",
    "ScorerRefused",
    "ScorerUnavailable",
]

T = TypeVar("T")

DEFAULT_ENDPOINT = "tcp://127.0.0.1:5561"
MAX_TIMEOUT_MS = 3_600_000


class Options:
    """How a client waits, checked once; the same for the synchronous and the asynchronous one.

    `timeout_ms` is the budget of a whole call, retries included. After `open_after`
    time-outs in a row (0: never) calls are answered at once, and the service is probed
    every `probe_interval_s`, give or take a half. With `strict` a score raises
    ScorerUnavailable instead of returning the base score. `curve` are the keys for a service
    that asks for them.
    """

    __slots__ = (
        "budget_s",
        "curve",
        "endpoint",
        "open_after",
        "probe_interval_s",
        "strict",
        "tries",
    )

    def __init__(
        self,
        endpoint: str,
        timeout_ms: float,
        retries: int,
        *,
        strict: bool,
        open_after: int,
        probe_interval_s: float,
        curve: CurveKeys | None,
    ) -> None:
        """Raises ValueError for what cannot be meant."""
        if not 0 < timeout_ms <= MAX_TIMEOUT_MS or retries < 0:
            raise ValueError(
                f"timeout_ms must be above 0 and at most {MAX_TIMEOUT_MS}, retries not negative"
            )
        if open_after < 0 or not 0 < probe_interval_s <= MAX_TIMEOUT_MS:
            raise ValueError("open_after must not be negative, probe_interval_s be above 0")
        self.endpoint = check_endpoint(endpoint)
        self.budget_s = timeout_ms / 1000.0
        self.tries = retries + 1
        self.strict = strict
        self.open_after = open_after
        self.probe_interval_s = probe_interval_s
        self.curve = curve

    def guard(self) -> Guard:
        """A closed circuit for this process."""
        return Guard(
            self.endpoint, self.budget_s, self.open_after, self.probe_interval_s, self.curve
        )


class _Home:
    """What a client holds in one process; after a fork the child makes its own."""

    def __init__(self, options: Options) -> None:
        self.pid = os.getpid()
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.guard = options.guard()

    def close(self) -> None:
        """End the probing and close every socket, unless they are another process's."""
        if self.pid == os.getpid():
            self.guard.reset()
            self.context.destroy(linger=0)


class ScorerClient:
    """Asks the service; usable from many threads and after a fork.

    `timeout_ms` is the budget of a whole call, retries included; see `Options`.

        with ScorerClient() as scorer:
            reply = scorer.score("EURUSD", 72.5, signal_id="...", direction="BUY")
            print(reply.final_score, reply.status, reply.win_probability)
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_ENDPOINT,
        timeout_ms: float = 50,
        retries: int = 1,
        *,
        strict: bool = False,
        open_after: int = 3,
        probe_interval_s: float = 1.0,
        curve: CurveKeys | None = None,
    ) -> None:
        self._options = Options(
            endpoint,
            timeout_ms,
            retries,
            strict=strict,
            open_after=open_after,
            probe_interval_s=probe_interval_s,
            curve=curve,
        )
        self._ids = itertools.count(1)
        self._local = threading.local()
        self._lock = threading.Lock()
        self._inherited: list[Any] = []
        self._move_in()

    @property
    def circuit_open(self) -> bool:
        """Whether the service is taken to be away: calls are answered without asking it."""
        return self._at_home().guard.is_open

    def score(self, symbol: str, base_score: float, **signal: Any) -> messages.ScoreReply:
        """Score one signal; keywords are the fields of `messages.Signal`.

        Raises ValueError for arguments that no server would accept. Where no usable answer
        comes in time: status `unreachable` (or `error`) and the base score.
        """
        return self._put(questions.score(symbol, base_score, signal))

    def score_many(self, signals: Sequence[dict[str, Any]]) -> list[messages.ScoreReply]:
        """Score up to 256 signals at once; each is a dict of the fields of `messages.Signal`.

        The answers come in the same order. A signal that the service refuses has status
        `error` and its base score; otherwise as `score`.
        """
        return self._put(questions.score_many(signals))

    def outcome(self, outcome: str | bool, **fields: Any) -> dict[str, Any]:
        """Report how a signal ended; keywords are the fields of `messages.OutcomeRequest`."""
        return self.call(messages.OutcomeRequest(outcome=outcome, **fields))

    def sentiment(self, symbol: str, score: float, **fields: Any) -> dict[str, Any]:
        """Send an external sentiment, 0..100, for a symbol or `*`."""
        return self.call(messages.SentimentRequest(symbol=symbol, score=score, **fields))

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
        body = codec.encode_request(request, request_id)
        home, options = self._at_home(), self._options
        home.guard.check()
        try:
            connection = self._connection(home)
            reply = connection.ask(body, request_id, options.budget_s, options.tries)
        except zmq.ZMQError as error:
            raise no_socket(options.endpoint, error) from None
        except ScorerUnavailable:
            home.guard.timed_out()
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _put(self, question: Question[T]) -> T:
        try:
            return question.read(self.call(question.request))
        except (ScorerUnavailable, ScorerRefused) as failure:
            return question.without_reply(failure, strict=self._options.strict)

    def _at_home(self) -> _Home:
        return self._home if self._home.pid == os.getpid() else self._move_in()

    def _move_in(self) -> _Home:
        """Make this process's own context and circuit; what was inherited is never touched."""
        self._inherited.append(getattr(self, "_home", None))
        self._inherited.append(getattr(self._local, "connection", None))
        self._local = threading.local()
        home = self._home = _Home(self._options)
        # Not at exit: other threads may still be asking, and the system closes all of it.
        weakref.finalize(self, home.close).atexit = False
        return home

    def _connection(self, home: _Home) -> Connection:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = Connection(home.context, self._options.endpoint, self._options.curve)
            self._local.connection = connection
        return connection
