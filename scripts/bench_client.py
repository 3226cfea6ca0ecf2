"""What the clients add to a bare REQ: the same requests, block by block in one run.

    .venv/bin/python scripts/bench_client.py [--rounds 20] [--calls 500]

The other side is a ROUTER in a process of its own that sends back a score's reply under the
request's id, so that what differs is the client alone.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import msgpack
import zmq

from protocol.aio import AsyncScorerClient
from protocol.client import ScorerClient
from protocol.compat import CryptoMLScorer
from protocol.schema import FEATURE_NAMES

BY_NAME = dict.fromkeys(FEATURE_NAMES, 51.23456789)
REPLY = {
    "status": "success",
    "used_base_score": False,
    "original_base_score": 72.5,
    "final_score": 89.0,
    "score_scale": "enhanced",
    "symbol": "EURUSD",
    "direction": "BUY",
    "score_id": "1a203647f58f7dd-1",
    "signal_id": "EG_1",
    "ml_enhanced_score": 69.0,
    "session_bonus": 20.0,
    "win_probability": 0.66,
    "win_probability_low": 0.62,
    "win_probability_high": 0.7,
    "raw_probability": 0.68,
    "ml_confidence": 66.0,
    "breakeven_probability": 0.42,
    "reward_risk": 1.5,
    "cost_r": 0.05,
    "expected_r": 0.61,
    "take": True,
    "prediction": True,
    "features": BY_NAME | {"score_id": "1a203647f58f7dd-1"},
    "missing": ["sentiment_score"],
    "volume_source": "deals",
    "feature_importance": BY_NAME,
    "model_version": "20250914T020000Z-3f9c2a",
    "feature_schema": "15fec945321641cf",
    "model_age_s": 129600.5,
    "feed_age_s": 0.25,
    "prediction_time_ms": 0.25,
    "journalled": True,
    "v": 1,
    "ok": True,
}
SIGNAL: dict[str, Any] = {
    "signal_id": "EG_1",
    "direction": "BUY",
    "entry_price": 1.1,
    "stop_loss": 1.098,
    "take_profit": 1.103,
}


def answer(told: Connection) -> None:
    """Answer for ever; the address goes through the pipe."""
    socket = zmq.Context().socket(zmq.ROUTER)
    told.send(f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}")
    while True:
        *envelope, body = socket.recv_multipart()
        request_id = msgpack.unpackb(body)["id"]
        socket.send_multipart([*envelope, msgpack.packb(REPLY | {"id": request_id})])


def timed(calls: int, call: Callable[[], object]) -> list[float]:
    """Microseconds of each call."""
    taken = []
    for _ in range(calls):
        started = time.perf_counter_ns()
        call()
        taken.append((time.perf_counter_ns() - started) / 1000.0)
    return taken


async def timed_async(calls: int, client: AsyncScorerClient) -> list[float]:
    taken = []
    for _ in range(calls):
        started = time.perf_counter_ns()
        await client.score("EURUSD", 72.5, **SIGNAL)
        taken.append((time.perf_counter_ns() - started) / 1000.0)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--calls", type=int, default=500, help="of each kind in a round")
    options = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=answer, args=(theirs,), daemon=True)
    process.start()
    address = ours.recv()

    bare = zmq.Context().socket(zmq.REQ)
    bare.connect(address)
    body = msgpack.packb(
        {"v": 1, "op": "score", "id": 1, "symbol": "EURUSD", "base_score": 72.5} | SIGNAL
    )

    def plain() -> None:
        bare.send(body)
        bare.recv()

    client = ScorerClient(address, 5000)
    compat = CryptoMLScorer(address, timeout_ms=5000)
    asynchronous = AsyncScorerClient(address, 5000)
    loop = asyncio.new_event_loop()
    kinds: dict[str, Callable[[], list[float]]] = {
        "bare REQ": lambda: timed(options.calls, plain),
        "ScorerClient": lambda: timed(
            options.calls, lambda: client.score("EURUSD", 72.5, **SIGNAL)
        ),
        "compat": lambda: timed(
            options.calls, lambda: compat.enhance_signal_score("EURUSD", 72.5, **SIGNAL)
        ),
        "AsyncScorerClient": lambda: loop.run_until_complete(
            timed_async(options.calls, asynchronous)
        ),
    }
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    for round_ in range(options.rounds + 1):
        for name, measure in kinds.items():
            block = measure()
            if round_:  # the first round warms up
                taken[name] += block
    print(
        f"{options.rounds} blocks of {options.calls} calls each, "
        f"a reply of {len(msgpack.packb(REPLY))} bytes"
    )
    print(f"{'us a call':<18} {'p50':>8} {'p95':>8} {'p99':>8} {'+p50':>8}")
    floor = statistics.median(taken["bare REQ"])
    for name, values in taken.items():
        cut = statistics.quantiles(values, n=100)
        print(f"{name:<18} {cut[49]:8.1f} {cut[94]:8.1f} {cut[98]:8.1f} {cut[49] - floor:8.1f}")
    loop.run_until_complete(asynchronous.close())
    loop.close()
    client.close()
    compat.close()
    process.terminate()


if __name__ == "__main__":
    main()
