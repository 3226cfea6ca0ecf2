"""A new connection may take its time: it is waited for, and not begun anew."""

from __future__ import annotations

import asyncio
import time
from itertools import repeat
from typing import Any

from harness import PATIENCE_S, eventually
from wire import answering, base_score, held_up

from protocol.aio import AsyncScorerClient
from protocol.client import ScorerClient

BUDGET_MS, HELD_UP_S = 50, 0.12


def test_a_connection_that_takes_more_than_half_of_the_budget_is_waited_for() -> None:
    with (
        answering() as server,
        held_up(server.address, [3600.0, 1.8]) as address,
        ScorerClient(address, timeout_ms=3_000, retries=1) as client,
    ):
        assert client.score("EURUSD", 50.0).status == "unreachable"
        assert client.score("EURUSD", 60.0).status == "no_model"
        assert [request["base_score"] for request in server.requests] == [60.0]


def test_a_connection_that_takes_more_than_a_budget_is_there_for_a_later_call() -> None:
    with (
        answering() as server,
        held_up(server.address, repeat(HELD_UP_S)) as address,
        ScorerClient(address, BUDGET_MS, open_after=0) as client,
    ):
        eventually(lambda: client.score("EURUSD", 50.0).status == "no_model", "an answer")


async def asked(address: str) -> None:
    """Until a score is answered."""
    async with AsyncScorerClient(address, BUDGET_MS, open_after=0) as scorer:
        while (await scorer.score("EURUSD", 50.0)).status != "no_model":
            pass


def test_so_it_is_for_the_calls_of_a_coroutine() -> None:
    with answering() as server, held_up(server.address, repeat(HELD_UP_S)) as address:
        asyncio.run(asyncio.wait_for(asked(address), PATIENCE_S))


def test_one_that_never_stands_is_begun_anew_for_them() -> None:
    with answering() as server, held_up(server.address, [3600.0, *[0.0] * 50]) as address:
        asyncio.run(asyncio.wait_for(asked(address), PATIENCE_S))


def test_one_that_stands_too_late_for_its_call_serves_the_next() -> None:
    """As over a link on which connecting takes most of the budget and an answer the rest."""

    async def ask(address: str) -> None:
        async with AsyncScorerClient(address, 200, open_after=0) as scorer:
            while (await scorer.score("EURUSD", 50.0)).status != "no_model":
                await asyncio.sleep(0.2)

    with (
        answering(after_80_ms) as server,
        held_up(server.address, repeat(0.15)) as address,
    ):
        asyncio.run(asyncio.wait_for(ask(address), PATIENCE_S))


def after_80_ms(request: dict[str, Any]) -> dict[str, Any]:
    time.sleep(0.08)
    return base_score(request)
