"""What scales and what saturates: replicas behind a proxy, several hosts, symbols and ticks.

    make bench-scale       (scripts/bench_scale.py [replicas] [hosts] [symbols])

Ratios count: all variants are measured in turn within each round. A rate is the median of the
rounds, a percentile is of all of them. `hosts` makes two network namespaces and so takes root. CPU
times are of whole processes.
"""

from __future__ import annotations

import argparse
import multiprocessing as mp
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import zmq
from bench_hosts import TICKS_PER_S, Rows, hosts, percentiles
from bench_load import Publisher, Service, one_client, request_body, wait_until_scored
from processes import cpu_s, resident_mib
from usual_model import publish_model

ROOT = Path(__file__).resolve().parents[1]
PROXY = ROOT / "deploy" / "proxy.py"
OUTSTANDING = 32


def main() -> None:
    """All parts, or those that are named."""
    parts: dict[str, Callable[[argparse.Namespace, Path], None]] = {
        "replicas": replicas, "hosts": hosts, "symbols": symbols,
    }  # fmt: skip
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", help=", ".join(parts))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=400, help="of one client, a block")
    parser.add_argument("--seconds", type=float, default=2.0, help="of the throughput, a block")
    given = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors")
    for name in given.parts or parts:
        with tempfile.TemporaryDirectory(prefix="bench-scale-") as folder:
            parts[name](given, Path(folder))


def flood(address: str, seconds: float, bodies: list[bytes]) -> float:
    """Requests a second that one peer gets answered which keeps OUTSTANDING of them waiting."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.connect(address)
        sent = answered = 0
        started = time.perf_counter()
        while time.perf_counter() - started < seconds and sent < len(bodies):
            while sent - answered < OUTSTANDING and sent < len(bodies):
                socket.send_multipart([b"", bodies[sent]])
                sent += 1
            socket.recv_multipart()
            answered += 1
        took = time.perf_counter() - started
        while answered < sent:
            socket.recv_multipart()
            answered += 1
    return answered / took


@contextmanager
def services(folder: Path, models: Path, feed: Publisher, count: int) -> Iterator[list[Service]]:
    """So many on one feed and one models directory, each with a state of its own, warm."""
    with ExitStack() as stack:
        found = [
            stack.enter_context(
                Service(folder / f"replica{n}", feed.address, MODEL_DIRECTORY=str(models))
            )
            for n in range(count)
        ]
        time.sleep(1.0)  # all have subscribed
        feed.warm()
        feed.rate(TICKS_PER_S)
        for service in found:
            wait_until_scored(service.address)
        yield found


@contextmanager
def proxy(front: str, backs: list[str]) -> Iterator[tuple[str, int]]:
    """The shipped proxy: its address and process id."""
    process = subprocess.Popen([sys.executable, str(PROXY), front, *backs])
    try:
        yield front, process.pid
    finally:
        process.kill()
        process.wait()


class Block(NamedTuple):
    """A time of flooding: requests a second, and processors used beyond those for ticks."""

    rate: float
    services: list[float]
    proxy: float


def replicas(given: argparse.Namespace, folder: Path) -> None:
    """One service asked directly, one to three behind the proxy."""
    publish_model(folder / "models")
    times: Rows = {}
    blocks: dict[str, list[Block]] = {}
    with ExitStack() as stack:
        feed = stack.enter_context(Publisher())
        three = stack.enter_context(services(folder, folder / "models", feed, 3))
        variants = {"directly": (three[0].address, 0, 1)}
        for count in (1, 2, 3):
            addresses = [service.address for service in three[:count]]
            front, pid = stack.enter_context(proxy(f"ipc://{folder}/front{count}", addresses))
            wait_until_scored(front)
            variants[f"proxy, {count}"] = (front, pid, count)
        ticks = used(three[0], 3.0)
        for _ in range(given.rounds):
            for name, (address, pid, count) in variants.items():
                times.setdefault(name, []).extend(one_client(address, given.requests))
                pids = [pid, *(service.process.pid for service in three[:count])]
                block = flooded(address, given.seconds, pids, ticks)
                blocks.setdefault(name, []).append(block)
    show_replicas(times, blocks, ticks)


def flooded(address: str, seconds: float, pids: list[int], ticks: float) -> Block:
    """Flood it; the first process is the proxy, or 0 for none."""
    bodies = [request_body(number) for number in range(int(seconds * 20_000))]
    before = [cpu_s(pid) if pid else 0.0 for pid in pids]
    started = time.perf_counter()
    rate = flood(address, seconds, bodies)
    took = time.perf_counter() - started
    after = [cpu_s(pid) if pid else 0.0 for pid in pids]
    through, *serving = [(a - b) / took for a, b in zip(after, before, strict=True)]
    return Block(rate, [max(0.0, share - ticks) for share in serving], through)


def show_replicas(times: Rows, blocks: dict[str, list[Block]], ticks: float) -> None:
    """A row a variant; ratios to the service asked directly."""
    print(f"\nreplicas: {TICKS_PER_S:,} ticks/s to each, for which it uses {ticks:.2f} processors;")
    print(f"one client that waits, then {OUTSTANDING} requests outstanding")
    print(f"{'':11}{'p50 us':>8}{'':7}{'p99 us':>8}{'requests/s':>12}{'':7}", end="")
    print(f"{'processor us a request':>24}{'processors used':>18}")
    base = percentiles(times["directly"])[0]
    base_rate = statistics.median(block.rate for block in blocks["directly"])
    for name, rows in times.items():
        p50, p99 = percentiles(rows)
        rate = statistics.median(block.rate for block in blocks[name])
        each = statistics.median(sum(one.services) / one.rate for one in blocks[name]) * 1e6
        through = statistics.median(one.proxy / one.rate for one in blocks[name]) * 1e6
        share = statistics.median(sum(one.services) + one.proxy for one in blocks[name])
        print(
            f"{name:11}{p50:8,.0f}{p50 / base:6.2f}x{p99:8,.0f}"
            f"{rate:12,.0f}{rate / base_rate:6.2f}x"
            f"{each:12.0f} + proxy {through:4.0f}{share:18.2f}"
        )


def symbols(given: argparse.Namespace, folder: Path) -> None:
    """Ticks for 15, 100 and 500 symbols: what they cost, and what they do to an answer."""
    models = folder / "models"
    publish_model(models)
    print("\nsymbols and ticks: one service, one client beside the ticks")
    print(
        f"{'':18}{'processor':>10}{'us a tick':>10}{'p50 us':>9}{'p99 us':>9}{'p50':>7}{'MiB':>7}"
    )
    for count in (15, 100, 500):
        with ExitStack() as stack:
            feed = stack.enter_context(Publisher([f"SYM{n:02d}" for n in range(count)]))
            (one,) = stack.enter_context(services(folder / str(count), models, feed, 1))
            feed.rate(0)
            quiet, base = used(one, 3.0), 0.0
            for rate in (2_000, 10_000, 20_000):
                feed.rate(rate)
                time.sleep(0.5)
                share = used(one, 3.0)
                p50, p99 = percentiles(one_client(one.address, given.requests))
                base = base or p50
                print(
                    f"{count:4} x {rate:7,}/s {share:9.2f} {(share - quiet) / rate * 1e6:10.1f}"
                    f"{p50:9,.0f}{p99:9,.0f}{p50 / base:6.2f}x{resident_mib(one.process.pid):7.0f}",
                    flush=True,
                )


def used(service: Service, seconds: float) -> float:
    """Processors that it uses, over so many seconds."""
    pid = service.process.pid
    before, started = cpu_s(pid), time.perf_counter()
    time.sleep(seconds)
    return (cpu_s(pid) - before) / (time.perf_counter() - started)


if __name__ == "__main__":
    mp.set_start_method("spawn")
    main()
