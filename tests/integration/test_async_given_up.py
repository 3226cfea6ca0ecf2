"""Calls of the asynchronous client that are given up early: evidence all the same, and bounded."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import pytest
from wire import answering, base_score, nobodys_address

from protocol.aio import AsyncScorerClient
from protocol.codec import encode_request
from protocol.connection import Sockets
from protocol.dealer import MAX_UNDER_WAY, Dealer
from protocol.messages import HealthRequest
from protocol.options import Options


async def bounded(scorer: AsyncScorerClient, base: float, within_s: float = 0.01) -> str | None:
    """The status of a score, as its caller has it who waits so long and no longer."""
    with suppress(asyncio.TimeoutError):
        return (await asyncio.wait_for(scorer.score("EURUSD", base), within_s)).status
    return None


async def open_circuit(address: str, within_s: float = 0.01) -> None:
    async with AsyncScorerClient(address, 40, probe_interval_s=3600) as scorer:
        for _ in range(100):
            if scorer.circuit_open:
                return
            await bounded(scorer, 1.0, within_s)
    pytest.fail("the circuit is still closed")


@pytest.mark.parametrize("within_s", [0.01, 0.03])
def test_calls_that_are_given_up_open_the_circuit(within_s: float) -> None:
    with answering(lambda _: None) as silent:
        asyncio.run(open_circuit(silent.address, within_s))
    asyncio.run(open_circuit(nobodys_address(), within_s))


def test_calls_that_are_given_up_leave_a_connection_that_went_silent() -> None:
    lost: set[bytes] = set()

    def answer(request: dict[str, Any]) -> dict[str, Any] | None:
        if server.peer in lost:
            return None
        if request["base_score"] == 1.0:
            lost.add(server.peer)
        return base_score(request)

    async def ask(address: str) -> None:
        async with AsyncScorerClient(address, 200, open_after=0) as scorer:
            while await bounded(scorer, 1.0, 20.0) != "no_model":
                pass
            for _ in range(200):
                if await bounded(scorer, 2.0) == "no_model":
                    return
        pytest.fail("it still asks by the connection that is lost")

    with answering(answer) as server:
        asyncio.run(ask(server.address))


def test_what_is_given_up_between_answers_does_not_add_up() -> None:
    peers: set[bytes] = set()

    def answer(request: dict[str, Any]) -> dict[str, Any] | None:
        peers.add(server.peer)
        return None if request.get("base_score") == 1.0 else base_score(request)

    async def ask(address: str) -> None:
        async with AsyncScorerClient(address, 2_000, retries=0) as scorer:
            for _ in range(8):  # together for longer than the budget
                assert (await scorer.score("EURUSD", 2.0)).status == "no_model"
                await bounded(scorer, 1.0, 0.3)

    with answering(answer) as server:
        asyncio.run(ask(server.address))
    assert len(peers) == 1


def test_answers_that_come_after_their_calls_were_given_up_are_signs_of_life() -> None:
    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if request["base_score"] == 1.0:
            server.wait_for_another()
        return base_score(request)

    async def ask(address: str) -> None:
        async with AsyncScorerClient(address, 1_500, retries=0, open_after=1) as scorer:
            while (await scorer.score("EURUSD", 2.0)).status != "no_model":
                pass
            for _ in range(8):  # together for longer than the budget
                assert await bounded(scorer, 1.0, 0.3) is None
                assert not scorer.circuit_open
            await scorer.score("EURUSD", 2.0)

    with answering(answer) as server:
        asyncio.run(ask(server.address))


def test_a_call_given_up_by_a_loop_that_was_held_up_is_no_evidence() -> None:
    async def ask(address: str) -> None:
        async with AsyncScorerClient(address, 200, retries=0, open_after=1) as scorer:
            while (await scorer.score("EURUSD", 2.0)).status != "no_model":
                pass
            call = asyncio.ensure_future(scorer.score("EURUSD", 1.0))
            await asyncio.sleep(0)
            time.sleep(0.3)  # the caller's own code, in the loop, while the answer comes
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            assert not scorer.circuit_open

    with answering() as server:
        asyncio.run(ask(server.address))


def test_calls_that_are_given_up_make_room_and_are_not_asked_later() -> None:
    seen: list[float] = []

    def answer(request: dict[str, Any]) -> dict[str, Any] | None:
        seen.append(request["base_score"])
        return None if request["base_score"] == 1.0 else base_score(request)

    async def ask(address: str) -> None:
        async with AsyncScorerClient(address, 20_000, retries=0) as scorer:
            bases = [1.0] * MAX_UNDER_WAY + [3.0, 2.0]
            *given_up, waits = [asyncio.ensure_future(scorer.score("EURUSD", b)) for b in bases]
            while len(seen) < MAX_UNDER_WAY:
                await asyncio.sleep(0)
            for call in reversed(given_up):
                call.cancel()
            await asyncio.gather(*given_up, return_exceptions=True)
            assert (await waits).final_score == 2.0
            assert (await scorer.score("EURUSD", 4.0)).final_score == 4.0

    with answering(answer) as server:
        asyncio.run(ask(server.address))
    assert seen == [1.0] * MAX_UNDER_WAY + [2.0, 4.0]


def test_a_loop_that_was_held_up_while_it_first_connected_is_no_evidence() -> None:
    async def ask(address: str) -> None:
        async with AsyncScorerClient(address, 50, open_after=1, probe_interval_s=3600) as scorer:
            for _ in range(4):
                call = asyncio.ensure_future(bounded(scorer, 2.0, 0.02))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                time.sleep(0.6)  # the caller's own code: longer than connecting may take
                await call
                assert not scorer.circuit_open

    with answering() as server:
        asyncio.run(ask(server.address))


def dealer(sockets: Sockets, address: str, timeout_ms: float) -> Dealer:
    more = {"strict": False, "open_after": 0, "probe_interval_s": 1.0, "curve": None}
    return Dealer(sockets, Options(address, timeout_ms, 0, **more))


def test_a_call_that_was_sent_ends_also_where_its_loop_is_closed() -> None:
    sockets, loop = Sockets(), asyncio.new_event_loop()
    with answering(lambda _: None) as server:
        asked = dealer(sockets, server.address, 20_000)
        call = asked.ask(encode_request(HealthRequest(), 7), 7)

        async def begin() -> None:
            call.send(None)
            while not server.requests:
                await asyncio.sleep(0)

        loop.run_until_complete(begin())
        loop.close()
        call.close()
        asked.close()
    assert not sockets._known
    sockets.end()
