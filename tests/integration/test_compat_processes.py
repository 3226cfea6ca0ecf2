"""The original's calls where a receiver is stuck, by many threads, and in a forked process."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import zmq
from harness import PATIENCE_S, eventually
from original_setup import TICK
from wire import answering, nobodys_address

from protocol.compat import CryptoMLScorer


def test_a_receiver_that_stopped_reading_costs_ticks_and_no_time() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    stuck = context.socket(zmq.PULL)
    stuck.setsockopt(zmq.RCVHWM, 1)
    address = f"tcp://127.0.0.1:{stuck.bind_to_random_port('tcp://127.0.0.1')}"
    scorer = CryptoMLScorer(nobodys_address(), address)

    def full() -> bool:
        scorer.update_market_data("EURUSD", TICK | {"timestamp": 1_757_944_800})
        return scorer.counts["ticks_pushed"] > 1000 and scorer.counts["ticks_dropped"] > 1000

    for _ in range(2_000_000):
        if full():
            break
    assert full()
    scorer.close()
    context.destroy(linger=0)


def test_many_threads_push_and_score_at_once() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    pull = context.socket(zmq.PULL)
    ingest_address = f"tcp://127.0.0.1:{pull.bind_to_random_port('tcp://127.0.0.1')}"
    with answering() as server:
        scorer = CryptoMLScorer(server.address, ingest_address, timeout_ms=10_000)
        first = TICK | {"timestamp": 1_757_944_800}
        eventually(lambda: scorer.update_market_data("A", first) or pull.poll(0), "a connection")
        wrong: list[Any] = []

        def work(base: float) -> None:
            for _ in range(25):
                scorer.update_market_data("EURUSD", first)
                score, metadata = scorer.enhance_signal_score("EURUSD", base)
                if score != base or metadata["status"] != "no_model":
                    wrong.append(metadata)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        assert not wrong
        for _ in range(scorer.counts["ticks_pushed"]):
            assert pull.poll(PATIENCE_S * 1000), "a tick was lost"
            assert b'"tick"' in pull.recv()
        assert not pull.poll(200)
        scorer.close()
    context.destroy(linger=0)


def test_the_process_wide_scorer_is_one_and_works_after_a_fork() -> None:
    code = """
import os, sys
from protocol.compat import get_crypto_ml_scorer
scorer = get_crypto_ml_scorer()
assert get_crypto_ml_scorer() is scorer
tick = {"bid": 1.0, "ask": 1.1, "timestamp": 1757944800}
assert scorer.enhance_signal_score("EURUSD", 5.0)[0] == 5.0
scorer.update_market_data("EURUSD", tick)
child = os.fork()
if child == 0:
    fine = get_crypto_ml_scorer() is scorer
    for _ in range(20):
        score, metadata = scorer.enhance_signal_score("EURUSD", 7.0)
        fine = fine and (score, metadata["status"]) == (7.0, "no_model")
        scorer.update_market_data("EURUSD", tick)
    os._exit(0 if fine else 1)
for _ in range(20):
    assert scorer.enhance_signal_score("EURUSD", 5.0)[1]["status"] == "no_model"
    scorer.update_market_data("EURUSD", tick)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    with answering() as server:
        environ = os.environ | {"SIGNAL_SCORER_ENDPOINT": server.address}
        done = subprocess.run(
            [
                *(sys.executable, "-W", FORKED_BESIDE_THREADS),
                *("-c", code.replace("get_crypto_ml_scorer()\n", GENEROUS, 1)),
            ],
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (0, "")


# Python's own word, from 3.12 on, to whoever forks beside threads: here they are libzmq's.
FORKED_BESIDE_THREADS = "ignore:This process (pid=:DeprecationWarning"
GENEROUS = "get_crypto_ml_scorer()\nscorer._client._options.budget_s = 10.0\n"
