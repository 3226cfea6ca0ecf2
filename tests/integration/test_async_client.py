"""The asynchronous client: the same promises as the synchronous one, and many calls at a time."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from harness import eventually, running
from wire import answering, base_score, free_address, nobodys_address

from protocol.aio import AsyncScorerClient
from protocol.client import ScorerRefused, ScorerUnavailable
from protocol.dealer import MAX_UNDER_WAY


def test_it_asks_all_questions_of_the_real_service(tmp_path) -> None:
    async def ask(address: str) -> None:
        async with AsyncScorerClient(address, 10_000) as scorer:
            reply = await scorer.score("EURUSD", 61.5, signal_id="a", direction="BUY")
            assert (reply.status, reply.final_score) == ("unknown_symbol", 61.5), reply.error
            assert reply.journalled
            many = await scorer.score_many([{"symbol": "EURUSD", "base_score": b} for b in (1, 2)])
            assert [r.final_score for r in many] == [1.0, 2.0]
            assert (await scorer.outcome("WIN_TP", signal_id="a"))["matched"]
            assert (await scorer.sentiment("*", 60))["accepted"]
            assert len((await scorer.features("EURUSD", "BUY"))["features"]) == 11
            assert (await scorer.health())["ready"]
            assert (await scorer.stats())["requests"]["score"] == 1

    with running(tmp_path) as service:
        asyncio.run(ask(service.address))


def test_calls_that_run_together_get_their_own_answers_over_few_sockets() -> None:
    async def ask(address: str) -> list[float]:
        async with AsyncScorerClient(address, 20_000) as scorer:
            asked = [scorer.score("EURUSD", float(n % 100)) for n in range(200)]
            return [reply.final_score for reply in await asyncio.gather(*asked)]

    with answering() as server:
        assert asyncio.run(ask(server.address)) == [float(n % 100) for n in range(200)]


def test_a_late_answer_is_nobodys() -> None:
    late = {"now": True}

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if late["now"]:
            late["now"] = False
            time.sleep(0.2)
        return base_score(request)

    async def ask(address: str) -> None:
        async with AsyncScorerClient(address, 60, retries=0, open_after=0) as scorer:
            assert (await scorer.score("EURUSD", 1.0)).status == "unreachable"
            while (reply := await scorer.score("EURUSD", 2.0)).status == "unreachable":
                pass
            assert reply.final_score == 2.0

    with answering(answer) as server:
        asyncio.run(ask(server.address))


def test_cancelling_always_ends_a_task_that_asks_and_asks_and_spoils_no_later_call() -> None:
    async def ask(address: str) -> None:
        async with AsyncScorerClient(address, 20_000) as scorer:

            async def work() -> None:
                while True:
                    await scorer.score("EURUSD", 1.0)

            for n in range(100):
                tasks = [asyncio.ensure_future(work()) for _ in range(4)]
                await asyncio.sleep(0.0001 * (n % 40))
                for task in tasks:
                    task.cancel()
                done, _ = await asyncio.wait(tasks, timeout=20)
                assert len(done) == 4
                assert all(task.cancelled() for task in tasks)
                assert (await scorer.score("EURUSD", 2.0)).final_score == 2.0

    with answering() as server:
        asyncio.run(ask(server.address))


def test_time_outs_beside_answers_do_not_open_the_circuit() -> None:
    def answer(request: dict[str, Any]) -> dict[str, Any] | None:
        # Also the probes, which would else go on for ever where the first call was slow.
        return None if request.get("base_score") == 2.0 else base_score(request)

    async def ask(address: str) -> None:
        async with AsyncScorerClient(address, 1_000, open_after=1) as scorer:
            while (await scorer.score("EURUSD", 1.0)).status != "no_model":
                await asyncio.sleep(0)
            for _ in range(3):
                silent = [asyncio.ensure_future(scorer.score("EURUSD", 2.0)) for _ in range(20)]
                await asyncio.sleep(0)  # they are under way before the other one is answered
                assert (await scorer.score("EURUSD", 1.0)).status == "no_model"
                assert {(await one).status for one in silent} == {"unreachable"}
                assert not scorer.circuit_open
            await scorer.score("EURUSD", 2.0)
            assert scorer.circuit_open

    with answering(answer) as server:
        asyncio.run(ask(server.address))


def test_an_answer_within_the_budget_counts_whichever_try_it_is_to() -> None:
    def answer(request: dict[str, Any]) -> dict[str, Any] | None:
        if len(server.requests) > 1:
            return None  # the retry is lost
        server.wait_for_another()
        return base_score(request)

    async def ask(address: str) -> None:
        async with AsyncScorerClient(address, 3000, retries=1) as scorer:
            assert (await scorer.score("EURUSD", 1.0)).status == "no_model"

    with answering(answer) as server:
        asyncio.run(ask(server.address))


def test_more_calls_than_the_service_lets_wait_are_all_answered(tmp_path) -> None:
    async def ask(address: str) -> None:
        async with AsyncScorerClient(address, 30_000) as scorer:
            asked = [scorer.score("EURUSD", float(n % 100)) for n in range(500)]
            replies = await asyncio.gather(*asked)
            assert [reply.final_score for reply in replies] == [float(n % 100) for n in range(500)]
            assert {reply.status for reply in replies} == {"unknown_symbol"}

    with running(tmp_path, LIMITS_WAITING_REQUESTS="130") as service:
        asyncio.run(ask(service.address))


def test_calls_that_time_out_together_are_one_time_out() -> None:
    async def ask(address: str) -> None:
        async with AsyncScorerClient(address, 20, probe_interval_s=3600) as scorer:
            for nth in (1, 2, 3):
                replies = await asyncio.gather(*[scorer.score("EURUSD", 1.0) for _ in range(20)])
                assert {reply.status for reply in replies} == {"unreachable"}
                assert scorer.circuit_open == (nth == 3)

    asyncio.run(ask(nobodys_address()))


def test_a_loop_that_was_held_up_takes_the_answers_that_came_meanwhile() -> None:
    released = threading.Event()
    seen: list[float] = []

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if request["base_score"] == 2.0:
            assert released.wait(20)
            seen.append(2.0)
        return base_score(request)

    async def ask(address: str) -> None:
        async with AsyncScorerClient(address, 200, retries=0) as scorer:
            while (await scorer.score("EURUSD", 1.0)).status != "no_model":
                await asyncio.sleep(0)
            calls = [asyncio.ensure_future(scorer.score("EURUSD", 2.0)) for _ in range(20)]
            await asyncio.sleep(0)
            time.sleep(0.3)  # the caller's own code, in the loop, until the budget is spent
            await asyncio.sleep(0)  # the loop has looked, and gives up next
            released.set()
            eventually(lambda: len(seen) == 20, "the requests to be answered")
            time.sleep(1.0)  # the last answer may be under way
            assert {reply.status for reply in await asyncio.gather(*calls)} == {"no_model"}

    with answering(answer) as server:
        asyncio.run(ask(server.address))


async def raised(ask: Callable[[], Awaitable[Any]]) -> BaseException:
    with pytest.raises(Exception, match=r".") as caught:
        await ask()
    return caught.value


def test_away_means_the_base_score_and_a_strict_client_raises() -> None:
    async def ask(address: str) -> None:
        async with AsyncScorerClient(address, 20, probe_interval_s=3600) as scorer:
            replies = [await scorer.score("EURUSD", 61.5) for _ in range(100)]
            assert {(r.status, r.final_score) for r in replies} == {("unreachable", 61.5)}
            assert scorer.circuit_open
            assert isinstance(await raised(scorer.health), ScorerUnavailable)
        async with AsyncScorerClient(address, 20, strict=True) as strict:
            assert isinstance(await raised(lambda: strict.score("A", 1.0)), ScorerUnavailable)
            assert isinstance(await raised(lambda: strict.score("A", 101.0)), ValueError)

    asyncio.run(ask(nobodys_address()))


def test_who_asks_and_asks_while_the_circuit_is_open_lets_others_run() -> None:
    async def ask(address: str) -> None:
        async with AsyncScorerClient(address, 20, open_after=1, probe_interval_s=3600) as scorer:
            await scorer.score("EURUSD", 1.0)

            async def work() -> None:
                for _ in range(1_000_000):
                    await scorer.score("EURUSD", 1.0)

            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(work(), 0.1)

    asyncio.run(ask(nobodys_address()))


def test_it_finds_the_service_again() -> None:
    address = free_address()

    async def ask() -> None:
        async with AsyncScorerClient(address, 50, probe_interval_s=0.02) as scorer:
            while not scorer.circuit_open:
                await scorer.score("EURUSD", 75.0)
            with answering(address=address):
                await asyncio.to_thread(
                    eventually, lambda: not scorer.circuit_open, "the circuit to close"
                )
                while (await scorer.score("EURUSD", 75.0)).status != "no_model":
                    pass

    asyncio.run(ask())


def test_a_refusal_is_raised_and_waiting_blocks_nobody_else() -> None:
    refusal = {"ok": False, "error": {"code": "invalid_field", "message": "no", "field": "x"}}

    async def ask(address: str, silent: str) -> None:
        async with AsyncScorerClient(address, 10_000) as scorer:
            failure = await raised(scorer.health)
            assert isinstance(failure, ScorerRefused)
            assert (failure.code, failure.field) == ("invalid_field", "x")
        async with AsyncScorerClient(silent, 200, retries=0) as waiting:
            turns = 0
            task = asyncio.ensure_future(waiting.score("EURUSD", 1.0))
            while not task.done():
                turns += 1
                await asyncio.sleep(0)
            assert turns > 10

    with answering(lambda _request: refusal) as server:
        asyncio.run(ask(server.address, nobodys_address()))


def test_one_client_serves_one_loop_after_another_and_several_threads() -> None:
    with answering() as server:
        scorer = AsyncScorerClient(server.address, 20_000)
        scores: list[float] = []

        def run(base: float) -> None:
            async def ask() -> None:
                for _ in range(5):
                    scores.append((await scorer.score("EURUSD", base)).final_score)

            asyncio.run(ask())

        run(1.0)
        run(2.0)
        with ThreadPoolExecutor() as pool:
            list(pool.map(run, (3.0, 4.0)))
        assert sorted(scores) == [1.0] * 5 + [2.0] * 5 + [3.0] * 5 + [4.0] * 5
        gc.collect()


def test_requests_that_were_lost_keep_no_others_from_being_asked() -> None:
    seen: list[int] = []

    def answer(request: dict[str, Any]) -> dict[str, Any] | None:
        seen.append(request["id"])
        if len(seen) == 1:
            time.sleep(0.5)  # all calls are made by then
        # Lost, as with a connection: as many as may be under way, after something was heard.
        return None if 1 < len(seen) <= 1 + MAX_UNDER_WAY else base_score(request)

    async def ask(address: str) -> None:
        async with AsyncScorerClient(address, 4_000, retries=1) as scorer:
            asked = [scorer.score("EURUSD", 1.0) for _ in range(MAX_UNDER_WAY + 20)]
            replies = await asyncio.gather(*asked)
            assert {reply.status for reply in replies} == {"no_model"}

    with answering(answer) as server:
        asyncio.run(ask(server.address))
