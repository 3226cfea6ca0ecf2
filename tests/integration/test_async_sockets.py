"""Below the asynchronous client: its sockets and tries, at ends, in silence, in a fork."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest
import zmq
from harness import descriptors, eventually
from wire import answering, nobodys_address

from protocol.aio import AsyncScorerClient
from protocol.client import ScorerUnavailable
from protocol.codec import encode_request
from protocol.connection import Sockets
from protocol.dealer import Dealer, _give_up, _Line
from protocol.messages import HealthRequest
from protocol.options import Options


def test_each_run_of_a_loop_gives_its_sockets_back() -> None:
    with answering() as server:
        scorer = AsyncScorerClient(server.address, 20_000)

        async def ask() -> None:
            replies = await asyncio.gather(*(scorer.score("EURUSD", 1.0) for _ in range(3)))
            assert {reply.status for reply in replies} == {"no_model"}

        asyncio.run(ask())
        before = descriptors()
        for _ in range(30):
            asyncio.run(ask())
        # Those of the last run stay until the next one; libzmq closes in the background.
        eventually(lambda: descriptors() <= before + 6, "sockets to be closed")
        asyncio.run(scorer.close())
        assert not scorer._dealers


def test_a_call_that_outlives_its_client_closes_what_it_opened() -> None:
    async def ask(address: str) -> None:
        scorer = AsyncScorerClient(address, 400)
        call = asyncio.ensure_future(scorer.score("EURUSD", 1.0))
        await asyncio.sleep(0)
        await scorer.close()
        assert (await call).status == "unreachable"
        assert not scorer._home.sockets._known

    asyncio.run(ask(nobodys_address()))


def options(address: str, timeout_ms: float = 1_000.0, retries: int = 1) -> Options:
    more = {"strict": False, "open_after": 0, "probe_interval_s": 1.0, "curve": None}
    return Options(address, timeout_ms, retries, **more)


def test_a_call_that_is_answered_after_the_close_closes_its_socket_too() -> None:
    async def ask(address: str) -> None:
        sockets = Sockets()
        closed = Dealer(sockets, options(address, 20_000, 0))
        closed.close()
        await closed.ask(encode_request(HealthRequest(), 7), 7)
        assert not sockets._known
        sockets.end()

    with answering() as server:
        asyncio.run(ask(server.address))


def test_a_try_that_hears_nothing_is_followed_by_a_fresh_socket() -> None:
    async def ask(address: str) -> None:
        sockets, most = Sockets(), 0
        asked = Dealer(sockets, options(address, 3_000, 2))
        call = asyncio.ensure_future(asked.ask(encode_request(HealthRequest(), 7), 7))
        while not call.done():
            most = max(most, len(sockets._known))
            await asyncio.sleep(0.02)  # each try lasts a second
        assert isinstance(call.exception(), ScorerUnavailable)
        assert (most, len(sockets._known)) == (3, 0)
        sockets.end()

    with answering(lambda _: None) as server:
        asyncio.run(ask(server.address))


def test_all_tries_share_one_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def ask(address: str) -> None:
        loop, sockets = asyncio.get_running_loop(), Sockets()
        later = loop.call_later

        def noting(delay_s: float, work: Callable[..., object], *rest: Any) -> asyncio.TimerHandle:
            if work is _give_up:
                waits.append(delay_s)
            return later(delay_s, work, *rest)

        monkeypatch.setattr(loop, "call_later", noting)
        asked = Dealer(sockets, options(address, 600, 2))
        with pytest.raises(ScorerUnavailable):
            await asked.ask(encode_request(HealthRequest(), 7), 7)
        asked.close()
        sockets.end()

    with answering(lambda _: None) as server:
        asyncio.run(ask(server.address))
    assert len(waits) == 3
    assert sum(waits) <= 0.6 + 1e-3


def test_a_call_ends_also_where_its_socket_is_gone() -> None:
    async def ask() -> None:
        sockets = Sockets()
        line = _Line(sockets, options(nobodys_address()))
        answer = asyncio.get_running_loop().create_future()
        sockets.end()
        with pytest.raises(zmq.ZMQError):
            _give_up(answer, [line])
        assert await answer is None

    asyncio.run(asyncio.wait_for(ask(), 10.0))


def test_a_forked_process_takes_nothing_off_the_list_of_the_loop() -> None:
    async def ask() -> None:
        sockets = Sockets()
        line = _Line(sockets, options(nobodys_address()))
        answer = asyncio.get_running_loop().create_future()
        line.expect(b"key", answer)
        child = os.fork()
        if not child:
            line.forget(b"key")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        # What is no longer on the list that both processes share cannot be changed on it.
        asyncio.get_running_loop().add_writer(line._descriptor, line.look)
        asyncio.get_running_loop().remove_writer(line._descriptor)
        line.forget(b"key")
        sockets.end()

    asyncio.run(ask())
