"""The client that a signal engine calls: never blocked beyond its budget, never surprised.

Lazy Pirate over REQ: poll within the budget, close and reopen the socket, try again. A
score never raises because the service is away; it returns the base score and says so.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from types import TracebackType
from typing import Any

import msgspec
import zmq

from protocol import codec, messages
from protocol.errors import DecodeError
from protocol.limits import MAX_MESSAGE_BYTES

DEFAULT_ENDPOINT = "tcp://127.0.0.1:5561"
MAX_TIMEOUT_MS = 3_600_000


class ScorerUnavailable(Exception):  # noqa: N818  the field's word for it
    """No answer within the budget, after all tries."""


class ScorerRefused(ValueError):  # noqa: N818
    """The service refused the request; `code` says why and `field` names the key at fault."""

    def __init__(self, code: str, message: str, field: str | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.field = field


class _Connection:
    """A thread's socket. It is closed when its thread is gone and forgotten after a fork."""

    def __init__(self, endpoint: str) -> None:
        self.pid = os.getpid()
        self._endpoint = endpoint
        # A context of its own: one inherited over a fork must not even be terminated.
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = self._open()

    def reopen(self) -> None:
        """A REQ without its reply is stuck; a fresh one also drops a late reply."""
        self.socket.close(linger=0)
        self.socket = self._open()

    def close(self) -> None:
        if self.pid == os.getpid():
            self._context.destroy(linger=0)

    def __del__(self) -> None:
        self.close()

    def _open(self) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.REQ)
        socket.setsockopt(zmq.LINGER, 0)
        # Without a connection a request waits in our budget, not in a queue for later.
        socket.setsockopt(zmq.IMMEDIATE, 1)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        socket.setsockopt(zmq.RECONNECT_IVL, 20)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
        socket.connect(self._endpoint)
        return socket


class ScorerClient:
    """Asks the service; usable from many threads and after a fork.

    `timeout_ms` is the budget of a whole call, retries included. With `strict` a score
    raises ScorerUnavailable instead of returning the base score.

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
    ) -> None:
        if not 0 < timeout_ms <= MAX_TIMEOUT_MS or retries < 0:
            raise ValueError(
                f"timeout_ms must be above 0 and at most {MAX_TIMEOUT_MS}, retries not negative"
            )
        if not endpoint.startswith(("tcp://", "ipc://")):
            raise ValueError(f"{endpoint!r} is no endpoint; for example {DEFAULT_ENDPOINT}")
        self._endpoint = endpoint
        self._timeout_s = timeout_ms / 1000.0
        self._retries = retries
        self._strict = strict
        self._local = threading.local()
        self._ids = itertools.count(1)

    def score(self, symbol: str, base_score: float, **signal: Any) -> messages.ScoreReply:
        """Score one signal; keywords are the fields of `messages.Signal`.

        Raises ValueError for arguments that no server would accept. Where no usable answer
        comes in time: status `unreachable` (or `error`) and the base score.
        """
        request = messages.ScoreRequest(symbol=symbol, base_score=base_score, **signal)
        try:
            reply = self.call(request)
        except ScorerUnavailable as error:
            if self._strict:
                raise
            return _base_score(request, "unreachable", str(error))
        except ScorerRefused as error:
            if self._strict or error.code in ("invalid_field", "too_large"):
                raise
            return _base_score(request, "error", str(error))
        try:
            return msgspec.convert(reply, messages.ScoreReply)
        except msgspec.ValidationError as error:
            if self._strict:
                raise ScorerUnavailable(f"the reply is not understood: {error}") from None
            return _base_score(request, "error", f"the reply is not understood: {error}")

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
        reply = self._exchange(body, request_id)
        if reply.get("ok") is True:
            return reply
        error = reply.get("error")
        if not isinstance(error, dict):
            raise ScorerUnavailable("the reply is neither an answer nor a refusal")
        raise ScorerRefused(
            str(error.get("code", "malformed")), str(error.get("message", "")), error.get("field")
        )

    def close(self) -> None:
        """Close this thread's socket; the next call opens a new one."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def __enter__(self) -> ScorerClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _connection(self) -> _Connection:
        connection: _Connection | None = getattr(self._local, "connection", None)
        if connection is None or connection.pid != os.getpid():
            connection = self._local.connection = _Connection(self._endpoint)
        return connection

    def _exchange(self, body: bytes, request_id: int) -> dict[str, Any]:
        deadline_s = time.monotonic() + self._timeout_s
        try:
            connection = self._connection()
            for tries_left in range(self._retries + 1, 0, -1):
                now_s = time.monotonic()
                until_s = now_s + max(0.0, deadline_s - now_s) / tries_left
                reply = _try_once(connection.socket, body, request_id, until_s)
                if reply is not None:
                    return reply
                connection.reopen()
        except zmq.ZMQError as error:  # for example no descriptor left for a socket
            self.close()
            raise ScorerUnavailable(f"no socket to {self._endpoint}: {error}") from None
        raise ScorerUnavailable(
            f"{self._endpoint} did not answer within {self._timeout_s * 1000:.0f} ms "
            f"({self._retries + 1} tries); is signal-scorer running?"
        )


def _try_once(
    socket: zmq.Socket[bytes], body: bytes, request_id: int, until_s: float
) -> dict[str, Any] | None:
    if not socket.poll(_left_ms(until_s), zmq.POLLOUT):
        return None
    try:
        socket.send(body, zmq.NOBLOCK)
        if not socket.poll(_left_ms(until_s), zmq.POLLIN):
            return None
        reply = codec.unpack(socket.recv(zmq.NOBLOCK), max_bytes=MAX_MESSAGE_BYTES)
    except (zmq.ZMQError, DecodeError):
        return None
    return reply if reply.get("id") == request_id else None


def _left_ms(until_s: float) -> int:
    # poll takes whole milliseconds; rounding up by at most one keeps short budgets usable.
    return max(0, int((until_s - time.monotonic()) * 1000.0 + 0.999))


def _base_score(
    request: messages.ScoreRequest, status: messages.Status, error: str
) -> messages.ScoreReply:
    return messages.ScoreReply(
        status=status,
        used_base_score=True,
        original_base_score=float(request.base_score),
        final_score=float(request.base_score),
        score_scale="base",
        symbol=request.symbol,
        direction=request.direction,
        signal_id=request.signal_id,
        journalled=False,
        error=error,
    )
