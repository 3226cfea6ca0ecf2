"""Models swapped under load: what it costs, and whether any answer is a mixture of two.

    python scripts/bench_swap.py [--swaps 1000] [--rows 3000]

One client asks without a pause while 100 symbols tick, and has another of two models
published as soon as a reply names the one before. Every reply is worked out again from the
vector that it names: it must be exactly its model's. Blocks without swaps lie in between.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import multiprocessing as mp
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgpack
import numpy as np
import zmq
from bench_load import Publisher, Service, request_body
from processes import resident_mib
from usual_model import ROWS, publish_model

from protocol.client import ScorerClient
from protocol.manifest import POINTER_NAME
from protocol.schema import FEATURE_NAMES
from service.config.settings import LimitsSection
from service.model.bundle import load
from service.model.model import Model
from service.model.pointer import decode_pointer, read_pointer_bytes
from service.paper.positions import KNOWN_SIGNALS

SYMBOLS = [f"SYM{i:03d}" for i in range(100)]
TICKS_PER_S = 2_000
SWAPS_A_BLOCK = 50
KEPT = max(LimitsSection().remembered_replies, KNOWN_SIGNALS)
"""So many are asked first: what is kept of answered signals has then grown to its limits."""


WINDOWS_FULL_S = 1_800
"""Of ticks: the windows of seconds then hold as many as they ever do, and grow no more."""


class Asked(NamedTuple):
    """A reply, and how long it took (us)."""

    took_us: float
    version: str
    raw: float
    vector: tuple[float, ...]


def main() -> None:
    """Run and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--swaps", type=int, default=1000, help=f"in blocks of {SWAPS_A_BLOCK}")
    options.add_argument("--rows", type=int, default=ROWS, help="that the models have learnt from")
    given = options.parse_args()
    if given.swaps < SWAPS_A_BLOCK or given.swaps % SWAPS_A_BLOCK:
        options.error(f"--swaps {given.swaps}: give a multiple of {SWAPS_A_BLOCK}")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        pointers = publish_two(folder / "models", given.rows)
        models = {
            p: load(folder / "models", decode_pointer(content)) for p, content in pointers.items()
        }
        show_parts(folder / "models", next(iter(pointers.values())))
        feed = stack.enter_context(Publisher(SYMBOLS))
        with Service(folder, feed.address, MODEL_POLL_S="0.02", FEED_CLOCK_OFFSET="0") as service:
            print(f"ready {service.ready_s:.2f} s after its start, without a journal")
            feed.warm(WINDOWS_FULL_S)
            client = stack.enter_context(asking(service.address))
            wait_until_warm(client)
            feed.rate(TICKS_PER_S)
            wait_until_now(service)
            for _ in range(KEPT):
                client()
            run(given.swaps, client, service, folder / "models", pointers, models)
        with Service(folder, feed.address) as service:
            print(f"ready {service.ready_s:.2f} s after a restart, {len(SYMBOLS)} symbols restored")


def run(
    swaps: int,
    client: Callable[[], Asked],
    service: Service,
    folder: Path,
    pointers: dict[str, bytes],
    models: dict[str, Model],
) -> None:
    """Blocks with and without swaps in turn; every reply is checked after its block."""
    during: list[float] = []
    without: list[float] = []
    turns = itertools.cycle(pointers)
    resident: list[float] = []
    for _ in range(swaps // SWAPS_A_BLOCK):
        swapped = swap_block(client, folder, pointers, turns)
        quiet = [client() for _ in range(len(swapped) // 2)]
        check([*swapped, *quiet], models)
        during += [asked.took_us for asked in swapped]
        without += [asked.took_us for asked in quiet]
        resident.append(resident_mib(service.process.pid))
    print(f"{swaps} swaps, {len(during) + len(without):,} requests: each answered by one model")
    for name, times in (("without swaps", without), ("during swaps", during)):
        p50, p99, p999 = np.percentile(times, (50, 99, 99.9))
        print(
            f"{name:14} p50 {p50:,.0f} us, p99 {p99:,.0f} us, p99.9 {p999:,.0f} us, "
            f"longest {max(times) / 1e3:,.0f} ms"
        )
    print(f"p99 during swaps {np.percentile(during, 99) / np.percentile(without, 99):.2f} times")
    print(
        f"resident {resident[0]:.1f} MiB after {SWAPS_A_BLOCK} swaps, {resident[-1]:.1f} at the "
        f"end, {max(resident):.1f} at the most; {len(SYMBOLS)} symbols"
    )
    print("resident MiB after each block:", *(f"{mib:.0f}" for mib in resident))


def swap_block(
    client: Callable[[], Asked], folder: Path, pointers: dict[str, bytes], turns: Iterator[str]
) -> list[Asked]:
    """Ask; whenever a reply names the model that was published last, publish the other."""
    found: list[Asked] = []
    for version in itertools.islice(turns, SWAPS_A_BLOCK):
        incoming = folder / "incoming"
        incoming.write_bytes(pointers[version])
        incoming.replace(folder / POINTER_NAME)
        end_s = time.monotonic() + 30.0
        while not found or found[-1].version != version:
            found.append(client())
            if time.monotonic() > end_s:
                raise SystemExit(f"{version} was not served within 30 s")
    return found


def check(block: list[Asked], models: dict[str, Model]) -> None:
    """Each raw probability is exactly what its model, and not the other, says of the vector."""
    vectors = np.array([asked.vector for asked in block])
    said = {version: model.forest.predict_many(vectors) for version, model in models.items()}
    for at, asked in enumerate(block):
        if asked.raw != said[asked.version][at]:
            raise SystemExit(f"{asked.raw} is not what {asked.version} says of {asked.vector}")
    first, second = said.values()
    if np.mean(first == second) > 0.01:
        raise SystemExit("the two models agree too often to be told apart")


def publish_two(models: Path, rows: int) -> dict[str, bytes]:
    """Two models of the usual size, by version the pointer that names it; the second serves."""
    found = {}
    for seed in (1, 2):
        publish_model(models, seed, rows)
        content = read_pointer_bytes(models)
        assert content is not None
        found[decode_pointer(content).version] = content
    return found


def show_parts(models: Path, pointer: bytes) -> None:
    """How long the loading thread computes between two pauses: medians of ten loads."""
    loads = []
    for _ in range(10):
        at_s = [time.perf_counter()]
        pause = lambda at_s=at_s: at_s.append(time.perf_counter())  # noqa: E731
        load(models, decode_pointer(pointer), pause=pause)
        pause()
        loads.append(1e3 * np.diff(at_s))
    whole, longest, usual = (
        np.median([of(p) for p in loads]) for of in (np.sum, np.max, np.median)
    )
    print(
        f"a load computes {whole:.1f} ms in {len(loads[0])} parts, "
        f"half of them below {usual:.2f} ms, the longest {longest:.2f} ms"
    )


@contextlib.contextmanager
def asking(address: str) -> Iterator[Callable[[], Asked]]:
    """A client that asks about one symbol after the other and never gets an error."""
    numbers = itertools.count()
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.connect(address)
        socket.setsockopt(zmq.RCVTIMEO, 30_000)

        def ask() -> Asked:
            body = request_body(next(numbers), SYMBOLS)
            started = time.perf_counter()
            socket.send(body)
            packed = socket.recv()
            took_us = (time.perf_counter() - started) * 1e6
            reply = msgpack.unpackb(packed)
            if not reply["ok"] or reply["status"] not in ("success", "warming_up"):
                raise SystemExit(f"answered {reply}")
            vector = tuple(reply["features"][name] for name in FEATURE_NAMES)
            return Asked(
                took_us, reply["model_version"], reply.get("raw_probability", -1.0), vector
            )

        yield ask


def wait_until_warm(client: Callable[[], Asked]) -> None:
    """Until every symbol is answered by the model."""
    for _ in range(300):
        if all(client().raw >= 0.0 for _ in SYMBOLS):
            return
        time.sleep(0.1)
    raise SystemExit("the symbols do not get warm")


def wait_until_now(service: Service) -> None:
    """Until the history is applied."""
    with ScorerClient(service.address, 10_000) as client:
        for _ in range(600):
            if client.stats()["feed"]["event_time_s"] > time.time() - 2.0:
                return
            time.sleep(0.1)
    raise SystemExit("the history is not applied within a minute")


if __name__ == "__main__":
    mp.set_start_method("spawn")
    main()
