"""What the synchronous client does while nobody answers, and afterwards; real sockets."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import descriptors, eventually
from scarce import descriptors_left, no_thread
from wire import Answering, answering, base_score, free_address, nobodys_address

from protocol import limits
from protocol.client import ScorerClient, ScorerUnavailable
from protocol.compat import CryptoMLScorer

QUICK = {"timeout_ms": 20, "retries": 0, "probe_interval_s": 0.02}


def opened(client: ScorerClient) -> ScorerClient:
    """The client, after as many time-outs as open its circuit."""
    for _ in range(3):
        assert client.score("EURUSD", 75.0).status == "unreachable"
    assert client.circuit_open
    return client


def probing() -> int:
    return sum(thread.name == "scorer-probe" for thread in threading.enumerate())


def test_after_three_time_outs_the_base_score_comes_without_asking() -> None:
    silent = Answering(lambda _request: None)
    client = opened(ScorerClient(silent.address, timeout_ms=50, probe_interval_s=3600))
    replies = [client.score("EURUSD", 61.5) for _ in range(1000)]
    assert {(r.status, r.final_score) for r in replies} == {("unreachable", 61.5)}
    assert all("not asked again" in str(r.error) for r in replies)
    # Of the requests before some may be read only now.
    assert {request["base_score"] for request in silent.requests} <= {75.0}
    client.close()
    silent.close()


def test_a_strict_client_and_other_questions_are_told_at_once_too() -> None:
    client = ScorerClient(nobodys_address(), strict=True, **QUICK | {"probe_interval_s": 3600})
    for _ in range(3):
        with pytest.raises(ScorerUnavailable, match="did not answer within"):
            client.health()
    for ask in (
        client.health,
        lambda: client.score("EURUSD", 1),
        lambda: client.outcome("WIN", signal_id="a"),
    ):
        with pytest.raises(ScorerUnavailable, match="not asked again"):
            ask()
    client.close()


def test_one_probe_at_a_time_finds_the_service_again_each_time_that_it_went() -> None:
    address = free_address()
    with ScorerClient(address, **QUICK) as client:
        for _ in range(2):
            eventually(lambda: client.score("EURUSD", 75.0) and client.circuit_open, "it to open")
            assert probing() == 1
            with answering(address=address) as server:
                eventually(lambda: not client.circuit_open, "the circuit to close")
                assert server.requests[0]["op"] == "health"
                eventually(lambda: client.score("EURUSD", 75.0).status == "no_model", "a score")
                eventually(lambda: probing() == 0, "the probe to end")


def test_a_late_answer_that_closes_the_circuit_ends_the_probing() -> None:
    held = threading.Event()

    def answer(request: dict) -> dict | None:
        return base_score(request) if request.get("symbol") == "SLOW" and held.wait(20) else None

    with answering(answer) as server:
        client = ScorerClient(server.address, timeout_ms=20_000, retries=0, open_after=1)
        late = threading.Thread(target=client.score, args=("SLOW", 1.0))
        late.start()
        eventually(lambda: server.requests, "the slow request to be there")
        # As a call on another thread would that was not answered.
        guard = client._at_home().guard
        guard.timed_out(guard.check())
        assert (client.circuit_open, probing()) == (True, 1)
        held.set()
        late.join()
        assert not client.circuit_open
        eventually(lambda: probing() == 0, "the probing to end")
        client.close()


def test_an_answer_between_time_outs_keeps_the_circuit_closed() -> None:
    with answering() as server:
        client = ScorerClient(server.address, timeout_ms=10_000, probe_interval_s=3600)
        guard = client._at_home().guard
        for _ in range(3):
            # As two calls on another thread would that were not answered.
            guard.timed_out(guard.check())
            guard.timed_out(guard.check())
            assert client.score("EURUSD", 75.0).status == "no_model"
        client.close()


def test_closing_ends_the_probing_and_asks_anew() -> None:
    address = free_address()
    client = opened(ScorerClient(address, **QUICK | {"probe_interval_s": 3600}))
    client.close()
    assert not client.circuit_open
    eventually(lambda: probing() == 0, "the probe to end")
    with answering(address=address):
        eventually(lambda: client.score("EURUSD", 75.0).status == "no_model", "an answer")
    client.close()


def test_a_client_that_is_forgotten_leaves_no_thread() -> None:
    client = opened(ScorerClient(nobodys_address(), **QUICK))
    del client
    gc.collect()
    eventually(lambda: probing() == 0, "the probe to end")


def test_zero_never_opens() -> None:
    client = ScorerClient(nobodys_address(), timeout_ms=1, retries=0, open_after=0)
    assert [client.score("EURUSD", 75.0).status for _ in range(10)] == ["unreachable"] * 10
    assert not client.circuit_open
    client.close()


def test_a_request_over_the_limit_is_never_sent() -> None:
    with answering() as server:
        client = ScorerClient(server.address, timeout_ms=5000)
        bar = {"open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "time": 1.7e9}
        signal = {"symbol": "EURUSD", "base_score": 1.0, "timeframe_data": {"M1": [bar] * 60}}
        with pytest.raises(ValueError, match=str(limits.MAX_BODY_BYTES)):
            client.score_many([signal] * 256)
        assert client.score("EURUSD", 75.0).status == "no_model"
        assert [request["op"] for request in server.requests] == ["score"]
        client.close()


def test_threads_have_a_socket_each_and_leave_none_behind() -> None:
    with answering() as server:
        client = ScorerClient(server.address, timeout_ms=10_000)
        client.score("EURUSD", 1.0)
        before = descriptors()
        wrong: list[object] = []

        def ask(base: float) -> None:
            for _ in range(20):
                reply = client.score("EURUSD", base)
                if reply.final_score != base:
                    wrong.append(reply)

        for _ in range(3):
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(ask, range(8)))
        assert not wrong
        eventually(lambda: descriptors() <= before + 2, "sockets to be closed")
        client.close()


def test_a_fork_asks_by_sockets_and_a_circuit_of_its_own() -> None:
    # A process of its own forks: pytest's has threads that a fork would lose.
    code = """
import os, sys
from protocol.client import ScorerClient
client = ScorerClient(sys.argv[1], timeout_ms=10_000, open_after=1)
assert client.score("EURUSD", 1.0).final_score == 1.0
away = ScorerClient(sys.argv[2], timeout_ms=10, open_after=1, probe_interval_s=3600)
away.score("EURUSD", 1.0)
assert away.circuit_open
children = []
for base in (10.0, 20.0, 30.0):
    child = os.fork()
    if child == 0:
        fine = all(client.score("EURUSD", base).final_score == base for _ in range(50))
        fine = fine and not away.circuit_open and away.score("EURUSD", 2.0).final_score == 2.0
        client.close()
        os._exit(0 if fine and away.circuit_open else 1)
    children.append(child)
fine = all(client.score("EURUSD", 5.0).final_score == 5.0 for _ in range(50))
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
away.close()
sys.exit(0 if fine and codes == [0, 0, 0] else f"{fine} {codes}")
"""
    with answering() as server:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code, server.address, nobodys_address()],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_interrupt_while_waiting_spoils_no_later_call() -> None:
    slow = {"now": True}

    def answer(request: dict) -> dict:
        if slow["now"]:
            slow["now"] = False
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0.05)
        return base_score(request)

    def interrupt(_number: int, _frame: object) -> None:
        raise InterruptedError("by a signal")

    previous = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with answering(answer) as server:
            client = ScorerClient(server.address, timeout_ms=5000, retries=0)
            with pytest.raises(InterruptedError):
                client.score("EURUSD", 1.0)
            assert client.score("EURUSD", 2.0).final_score == 2.0
            client.close()
    finally:
        signal.signal(signal.SIGUSR1, previous)


def test_a_signals_handler_may_ask_while_its_thread_waits() -> None:
    asking = threading.Event()
    told: list[str] = []

    def answer(request: dict) -> dict:
        if request["base_score"] == 1.0:
            os.kill(os.getpid(), signal.SIGUSR1)
            asking.wait(1)  # a signal just before the poll is handled after it
        return base_score(request)

    def shut_down(_number: int, _frame: object) -> None:
        asking.set()
        told.append(client.score("EURUSD", 2.0).status)

    previous = signal.signal(signal.SIGUSR1, shut_down)
    try:
        with (
            answering(answer) as server,
            ScorerClient(server.address, timeout_ms=10_000, retries=0) as client,
        ):
            assert client.score("EURUSD", 1.0).status == "no_model"
            assert told == ["no_model"]
            assert len(server.requests) == 2
    finally:
        signal.signal(signal.SIGUSR1, previous)


def test_a_signals_handler_may_time_out_just_where_its_thread_counts_that_it_did() -> None:
    code = """
import signal, sys
from protocol.breaker import Breaker
from protocol.client import ScorerClient

def score(*_):
    print(client.score("EURUSD", 50.0).status)

def look(frame, event, _):
    if event == "call" and frame.f_code is Breaker.timed_out.__code__:
        sys.setprofile(None)
        signal.raise_signal(signal.SIGUSR1)

client = ScorerClient(sys.argv[1], timeout_ms=5)
signal.signal(signal.SIGUSR1, score)
sys.setprofile(look)
score()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, nobodys_address()], capture_output=True, text=True, timeout=20
    )
    assert (done.stdout, done.stderr) == ("unreachable\n" * 2, "")


def test_without_a_thread_to_probe_it_calls_go_on_asking_and_closing_goes_on() -> None:
    with (
        answering(lambda _request: None) as silent,
        ScorerClient(silent.address, timeout_ms=20, open_after=1) as client,
    ):
        scorer = CryptoMLScorer(silent.address, nobodys_address())
        scorer.update_market_data("EURUSD", {"bid": 1.1, "ask": 1.2})
        with no_thread():
            assert client.score("EURUSD", 50.0).status == "unreachable"
            assert not client.circuit_open
            scorer.close()


def test_the_probe_outlives_a_lack_of_descriptors() -> None:
    speaks = threading.Event()
    with (
        answering(lambda request: base_score(request) if speaks.is_set() else None) as server,
        ScorerClient(server.address, 20, 0, open_after=1, probe_interval_s=0.02) as client,
    ):
        with descriptors_left(0):
            # As each of its calls that finds no socket left to open.
            client._at_home().guard.timed_out(client._at_home().guard.check())
            assert client.circuit_open
            eventually(lambda: probing() == 1, "the probe to begin")
        speaks.set()
        eventually(lambda: not client.circuit_open, "the circuit to close")
