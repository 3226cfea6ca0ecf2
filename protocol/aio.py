"""The client for asyncio: the same questions, budget and circuit as `client`, and never blocking.

A REQ answers one call at a time, so calls that run together use a socket each, from a pool
that belongs to the running loop and is bounded; waiting for a socket counts to the budget.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from types import TracebackType
from typing import Any, TypeVar

import zmq
import zmq.asyncio

from protocol import codec, messages, questions
from protocol.connection import no_socket
from protocol.curve import CurveKeys
from protocol.home import DEFAULT_ENDPOINT, Options, Resident
from protocol.pool import AllBusy, Pool
from protocol.questions import Question, ScorerRefused, ScorerUnavailable

T = TypeVar("T")

MAX_SOCKETS = 1000
"""A context of libzmq holds 1,023."""


class AsyncScorerClient(Resident[zmq.asyncio.Socket]):
    """Asks the service from coroutines; see `ScorerClient` for the arguments.

    `max_sockets` calls of one loop are under way at a time.

        async with AsyncScorerClient() as scorer:
            reply = await scorer.score("EURUSD", 72.5, signal_id="...", direction="BUY")
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
        max_sockets: int = 16,
    ) -> None:
        if not 1 <= max_sockets <= MAX_SOCKETS:
            raise ValueError(f"max_sockets must be in 1..{MAX_SOCKETS}")
        options = Options(
            endpoint,
            timeout_ms,
            retries,
            strict=strict,
            open_after=open_after,
            probe_interval_s=probe_interval_s,
            curve=curve,
        )
        self._max_sockets = max_sockets
        self._ids = itertools.count(1)
        self._pools: dict[asyncio.AbstractEventLoop, Pool] = {}
        super().__init__(options, zmq.asyncio.Context)

    async def score(self, symbol: str, base_score: float, **signal: Any) -> messages.ScoreReply:
        """Score one signal; as `ScorerClient.score`."""
        return await self._put(questions.score(symbol, base_score, signal))

    async def score_many(self, signals: Sequence[dict[str, Any]]) -> list[messages.ScoreReply]:
        """Score up to 256 signals at once; as `ScorerClient.score_many`."""
        return await self._put(questions.score_many(signals))

    async def outcome(self, outcome: str | bool, **fields: Any) -> dict[str, Any]:
        """Report how a signal ended; keywords are the fields of `messages.OutcomeRequest`."""
        return await self.call(codec.request_of(messages.OutcomeRequest, outcome=outcome, **fields))

    async def sentiment(self, symbol: str, score: float, **fields: Any) -> dict[str, Any]:
        """Send an external sentiment, 0..100, for a symbol or `*`."""
        return await self.call(
            codec.request_of(messages.SentimentRequest, symbol=symbol, score=score, **fields)
        )

    async def features(
        self, symbol: str, direction: messages.Direction | None = None, base_score: float = 50.0
    ) -> dict[str, Any]:
        """The vector as a score would see it now."""
        return await self.call(
            messages.FeaturesRequest(symbol=symbol, direction=direction, base_score=base_score)
        )

    async def health(self) -> dict[str, Any]:
        """Whether the service is ready, and why not."""
        return await self.call(messages.HealthRequest())

    async def stats(self) -> dict[str, Any]:
        """Counters, latencies, feed clocks, model."""
        return await self.call(messages.StatsRequest())

    async def call(self, request: messages.Request) -> dict[str, Any]:
        """Send any request and return the reply's map; raises as `ScorerClient.call`."""
        request_id = next(self._ids)
        return await self._ask(codec.encode_request(request, request_id), request_id)

    async def _ask(self, body: bytes, request_id: int) -> dict[str, Any]:
        guard = self._at_home().guard
        guard.check()
        try:
            reply = await self._pool().ask(body, request_id)
        except zmq.ZMQError as error:
            raise no_socket(self._options.endpoint, error) from None
        except AllBusy:
            raise
        except ScorerUnavailable:
            guard.timed_out()
            raise
        guard.answered()
        return questions.checked(reply)

    async def close(self) -> None:
        """Close this loop's sockets and end the probing; the next call begins anew."""
        home = self._at_home()
        self._close_pools(asyncio.get_running_loop())
        home.guard.reset()

    async def __aenter__(self) -> AsyncScorerClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _put(self, question: Question[T]) -> T:
        request_id = next(self._ids)
        body = codec.encode_checked(question.request, request_id)
        try:
            return question.read(await self._ask(body, request_id))
        except (ScorerUnavailable, ScorerRefused) as failure:
            return question.without_reply(failure, strict=self._options.strict)

    def _leave(self) -> list[Any]:
        pools = list(self._pools.values())
        self._pools = {}
        return pools

    def _pool(self) -> Pool:
        home, loop = self._at_home(), asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            self._close_pools()
            pool = self._pools[loop] = Pool(home.sockets, self._options, self._max_sockets)
        return pool

    def _close_pools(self, *loops: asyncio.AbstractEventLoop) -> None:
        """Those of these loops, and of all that are closed: `asyncio.run` makes one each time."""
        for loop in list(self._pools):
            if loop in loops or loop.is_closed():
                pool = self._pools.pop(loop, None)
                if pool is not None:
                    pool.close()
