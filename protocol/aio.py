"""The client for asyncio: the same questions, budget and circuit as `client`, and never blocking.

Calls that run together share a socket, which belongs to the running loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import zmq

from protocol import codec, messages, questions
from protocol.connection import no_socket
from protocol.dealer import Dealer
from protocol.home import Home, Resident
from protocol.questions import Question, ScorerRefused, ScorerUnavailable

T = TypeVar("T")


class AsyncScorerClient(Resident):
    """Asks the service from coroutines; see `ScorerClient` for the arguments.

    async with AsyncScorerClient() as scorer:
        reply = await scorer.score("EURUSD", 72.5, signal_id="...", direction="BUY")
    """

    async def score(
        self, symbol: str, base_score: float, **signal: messages.Unpack[messages.Keywords]
    ) -> messages.ScoreReply:
        """Score one signal; as `ScorerClient.score`."""
        return await self._put(questions.score(symbol, base_score, signal))

    async def score_many(self, signals: Iterable[Mapping[str, Any]]) -> list[messages.ScoreReply]:
        """Score up to 256 signals at once; as `ScorerClient.score_many`."""
        each = list(signals)
        return await self._put(questions.score_many(each)) if each else []

    async def outcome(
        self, outcome: str | bool, **fields: messages.Unpack[messages.Ending]
    ) -> dict[str, Any]:
        """Report how a signal ended; as `ScorerClient.outcome`."""
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
        home = self._at_home()
        if home.guard.is_open:
            await asyncio.sleep(0)  # whoever asks and asks must let others run
        news = home.guard.check()
        dealer = self._dealer(home)
        try:
            reply = await dealer.ask(body, request_id)
        except zmq.ZMQError as error:
            raise no_socket(self._options.endpoint, error) from None
        except ScorerUnavailable:
            home.guard.timed_out(news)
            raise
        except asyncio.CancelledError:
            if dealer.timed_out():
                home.guard.timed_out(news)
            raise
        home.guard.answered()
        return questions.checked(reply)

    async def close(self) -> None:
        """Close this loop's sockets and end the probing; the next call begins anew."""
        home = self._at_home()
        self._close_dealers(asyncio.get_running_loop())
        home.guard.reset()

    async def __aenter__(self) -> AsyncScorerClient:
        return self

    async def __aexit__(self, *_raised: object) -> None:
        await self.close()

    async def _put(self, question: Question[T]) -> T:
        request_id = next(self._ids)
        body = codec.encode_checked(question.request, request_id)
        try:
            return question.read(await self._ask(body, request_id))
        except (ScorerUnavailable, ScorerRefused) as failure:
            return question.without_reply(failure, strict=self._options.strict)

    def _begin(self) -> None:
        self._dealers: dict[asyncio.AbstractEventLoop, Dealer] = {}

    def _dealer(self, home: Home) -> Dealer:
        loop = asyncio.get_running_loop()
        dealer = self._dealers.get(loop)
        if dealer is None:
            self._close_dealers()
            dealer = self._dealers[loop] = Dealer(home.sockets, self._options)
        return dealer

    def _close_dealers(self, *loops: asyncio.AbstractEventLoop) -> None:
        """Those of these loops, and of all that are closed: `asyncio.run` makes one each time."""
        for loop in list(self._dealers):
            if loop in loops or loop.is_closed():
                dealer = self._dealers.pop(loop, None)
                if dealer is not None:
                    dealer.close()
