"""Latency and throughput of scoring, against the floor and against the original way.

    python scripts/bench_serve.py [--rounds 5] [--requests 400] [--rows 3000] [--recorded]

The floor is a bare ROUTER that answers the same request bytes with the same reply bytes.
All variants are measured in one run, block by block in turn, with a signal id of its own
in each request. Timings are only worth their ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing as mp
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import zmq
from bench_load import (
    BASES,
    Publisher,
    Service,
    ask_once,
    one_client,
    request_body,
    wait_until_scored,
)
from usual_model import ROWS, market, publish_model

from protocol.client import ScorerClient

LEVELS = (50, 95, 99, 99.9)
CLIENTS = 8


def main() -> None:
    """Run all variants and print the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--requests", type=int, default=400, help="per variant and block")
    options.add_argument("--blocks", type=int, default=5, help="per round")
    options.add_argument("--seconds", type=float, default=2.0, help="of the load with 8 clients")
    options.add_argument("--rows", type=int, default=ROWS, help="that the model has learnt from")
    options.add_argument("--recorded", action="store_true", help="also with record.enabled")
    given = options.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        estimator = publish_model(folder / "models", rows=given.rows)
        x, _ = market()
        feed = stack.enter_context(Publisher())
        service = stack.enter_context(Service(folder, feed.address))
        feed.warm()
        wait_until_scored(service.address)
        reply = ask_once(service.address)
        echo = stack.enter_context(Echo(reply))
        also = stack.enter_context(recorded(folder)) if given.recorded else None
        rounds = [
            measure(given, service, echo, feed, estimator, x, also) for _ in range(given.rounds)
        ]
        with ScorerClient(service.address, 10_000) as client:
            counts = client.stats()["scores"]
    show(rounds)
    show_original(rounds, counts)


@contextlib.contextmanager
def recorded(folder: Path) -> Iterator[tuple[str, Publisher]]:
    """Another service with that model, which writes down all its input, and a feed of its own."""
    values = {"RECORD_ENABLED": "true", "MODEL_DIRECTORY": str(folder / "models")}
    with Publisher() as feed, Service(folder / "recorded", feed.address, **values) as service:
        feed.warm()
        wait_until_scored(service.address)
        yield service.address, feed


class Echo:
    """The floor: a bare ROUTER in a process of its own."""

    def __init__(self, reply: bytes) -> None:
        ours, theirs = mp.Pipe()
        self._process = mp.Process(target=echo_server, args=(theirs, reply), daemon=True)
        self._process.start()
        self.address = ours.recv()

    def __enter__(self) -> Echo:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()


def echo_server(pipe: mp.connection.Connection, reply: bytes) -> None:
    """Receive, send the same envelope with the fixed reply."""
    socket = zmq.Context().socket(zmq.ROUTER)
    pipe.send(f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}")
    while True:
        frames = socket.recv_multipart()
        frames[-1] = reply
        socket.send_multipart(frames)


def load_client(address: str, seconds: float, first: int, barrier: object, result: object) -> None:
    """One of several clients that ask as fast as they are answered, from request `first` on.

    Had two the same numbers, the answer to the one would be kept for the other.
    """
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.connect(address)
        barrier.wait()  # type: ignore[attr-defined]
        end, count = time.perf_counter() + seconds, 0
        while time.perf_counter() < end:
            socket.send(request_body(first + count))
            socket.recv()
            count += 1
        result.put(count / seconds)  # type: ignore[attr-defined]


def throughput(address: str, clients: int, seconds: float) -> float:
    """Requests a second that so many clients get answered together."""
    barrier, result = mp.Barrier(clients), mp.Queue()
    work = [
        mp.Process(
            target=load_client, args=(address, seconds, BASES // 8 * number, barrier, result)
        )
        for number in range(clients)
    ]
    for process in work:
        process.start()
    total = sum(result.get() for _ in work)
    for process in work:
        process.join()
    return float(total)


def original_way(estimator: object, x: np.ndarray, count: int) -> list[float]:
    """Scaler, predict and predict_proba of one row with n_jobs=-1, in process, microseconds."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(x)
    estimator.set_params(n_jobs=-1)  # type: ignore[attr-defined]
    times = []
    for i in range(count):
        started = time.perf_counter()
        row = scaler.transform(x[i : i + 1])
        estimator.predict(row)  # type: ignore[attr-defined]
        estimator.predict_proba(row)  # type: ignore[attr-defined]
        times.append((time.perf_counter() - started) * 1e6)
    return times


def measure(
    given: argparse.Namespace,
    service: Service,
    echo: Echo,
    feed: Publisher,
    estimator: object,
    x: np.ndarray,
    also: tuple[str, Publisher] | None = None,
) -> dict[str, object]:
    """One round: all variants in turn, several blocks each."""
    variants: dict[str, list[float]] = {}
    asked = [
        ("floor", echo.address, feed, 30),
        ("service", service.address, feed, 30),
        ("service, 2,000 ticks/s", service.address, feed, 2_000),
        ("service, 20,000 ticks/s", service.address, feed, 20_000),
    ]
    if also is not None:
        asked.insert(3, ("recorded, 2,000 ticks/s", *also, 2_000))
        asked.append(("recorded, 20,000 ticks/s", *also, 20_000))
    for _ in range(given.blocks):
        for name, address, ticking, rate in asked:
            ticking.rate(rate)
            variants.setdefault(name, []).extend(one_client(address, given.requests))
            ticking.rate(30)
        variants.setdefault("original way", []).extend(original_way(estimator, x, 10))
    found: dict[str, object] = {
        name: dict(zip(map(str, LEVELS), np.percentile(times, LEVELS).tolist(), strict=True))
        for name, times in variants.items()
    }
    feed.rate(2_000)
    rps: dict[str, list[float]] = {}
    for clients in (1, CLIENTS):
        for name, address in (("floor", echo.address), ("service", service.address)):
            rps.setdefault(name, []).append(throughput(address, clients, given.seconds))
    feed.rate(30)
    return found | {"rps": rps}


def show(rounds: list[dict[str, object]]) -> None:
    """Medians over the rounds; ratios are of each round, then their median."""

    def median(name: str, level: float) -> float:
        return statistics.median(r[name][str(level)] for r in rounds)  # type: ignore[index]

    def ratio(name: str, level: float) -> float:
        return statistics.median(
            r[name][str(level)] / r["floor"][str(level)]  # type: ignore[index]
            for r in rounds
        )

    print(f"medians of {len(rounds)} rounds; microseconds, and times the floor's")
    head = "".join(f"{f'p{level}':>20}" for level in LEVELS)
    print(f"{'':26}{head}")
    for name in [key for key in rounds[0] if key != "rps"]:
        cells = "".join(
            f"{median(name, level):12,.0f} {ratio(name, level):6.2f}x" for level in LEVELS
        )
        print(f"{name:26}{cells}")
    for index, clients in enumerate((1, CLIENTS)):
        floor, ours = (
            statistics.median(r["rps"][name][index] for r in rounds)  # type: ignore[index]
            for name in ("floor", "service")
        )
        part = statistics.median(
            r["rps"]["service"][index] / r["rps"]["floor"][index]  # type: ignore[index]
            for r in rounds
        )
        print(
            f"{clients} clients, 2,000 ticks/s: floor {floor:,.0f} requests/s, "
            f"service {ours:,.0f}, {part:.2f} of it"
        )
    slower = median("original way", 50) / median("service, 2,000 ticks/s", 50)
    print(f"the original way takes {slower:,.0f} times the service's p50")


def show_original(rounds: list[dict[str, object]], counts: dict[str, int]) -> None:
    """What the original documentation promises, beside what is measured here."""
    from bench_steps import Bench

    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        steps = Bench(Path(name))
        for number in range(1000):
            steps.steps(number)
    whole = statistics.median(r["service, 2,000 ticks/s"]["50"] for r in rounds)  # type: ignore[index]
    rows = (
        ("feature extraction", "< 20 ms", steps.median_ms("features")),
        ("prediction", "< 30 ms", steps.median_ms("forest and calibration")),
        ("end to end", "< 50 ms", whole / 1000.0),
    )
    for what, target, value in rows:
        print(f"{what:20}{target:>10}   {value:.3f} ms at p50")
    for what in ("correlation", "vector"):
        hits, misses = (counts.get(f"{what}_{kind}", 0) for kind in ("hit", "miss"))
        rate = 100.0 * hits / max(1, hits + misses)
        print(f"{'cache hit rate':20}{'> 80 %':>10}   {rate:.1f} % ({what})")


if __name__ == "__main__":
    mp.set_start_method("spawn")
    main()
