"""The running service's CPU time per tick, against a process that only receives and parses.

Both are subscribed to the same publisher at the same time and so get the same bytes; the service is
`signal-scorer serve` as operators run it. CPU time of the whole process counts, all its threads:
what the other one does on the machine is then no matter, or the same for both.

    .venv/bin/python scripts/bench_takein_process.py [--rounds 5]
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import zmq
from bench_data import events, gold
from bench_load import Service
from bench_takein import Socket, publisher, subscriber, to_present
from processes import cpu_s

from protocol.client import ScorerClient
from protocol.ea_feed import Tick, parse
from service.sockets.setup import FEED_HWM

TICKS = FEED_HWM


def parse_only(address: str, rounds: str) -> None:
    """Receive and parse so many blocks."""
    feed = subscriber(zmq.Context(), address)
    receive, left = feed.recv, int(rounds) * TICKS
    while left:
        feed.poll()
        try:
            for _ in range(min(256, left)):
                parse(receive(zmq.NOBLOCK))
                left -= 1
        except zmq.Again:
            pass
    sys.stdin.read()  # until the bench has looked at our CPU time


def report(name: str, ticks: list[Tick], rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, publisher(ticks) as (feed, orders):
        command = [sys.executable, __file__, "--parse", feed, str(rounds)]
        parser = subprocess.Popen(command, stdin=subprocess.PIPE)
        try:
            with (
                Service(Path(folder), feed) as service,
                ScorerClient(service.address, 5000) as client,
            ):
                orders.recv()
                time.sleep(1.0)  # the other subscription
                spent = _rounds(orders, client, (parser.pid, service.process.pid), rounds)
        finally:
            parser.kill()
    parsed, taken = (statistics.median(column) for column in zip(*spent, strict=True))
    ratios = [one / other for one, other in spent]
    print(
        f"{name}: receive and parse {parsed:.2f} us, the service {taken:.2f} us CPU a tick: ",
        end="",
    )
    print(
        f"{1e6 / taken:,.0f} ticks/s, {statistics.median(ratios):.2f} of the rate of parsing ",
        end="",
    )
    print(f"alone ({min(ratios):.2f} to {max(ratios):.2f})")


def _rounds(
    orders: Socket, client: ScorerClient, pids: tuple[int, int], rounds: int
) -> list[tuple[float, float]]:
    """CPU microseconds a tick of the parser and of the service, by round."""
    spent = []
    for number in range(1, rounds + 1):
        before = [cpu_s(pid) for pid in pids]
        orders.send(b"go")
        orders.recv()
        while (received := client.stats()["feed"]["received"]) < number * TICKS:
            time.sleep(0.05)
        if received != number * TICKS:
            raise SystemExit(f"{received} ticks came instead of {number * TICKS}")
        time.sleep(0.2)
        used = [cpu_s(pid) - cpu for pid, cpu in zip(pids, before, strict=True)]
        spent.append((used[0] / TICKS * 1e6, used[1] / TICKS * 1e6))
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--parse", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.parse:
        parse_only(*options.parse)
    else:
        report("XAUUSD quotes", to_present(gold(TICKS)), options.rounds)
        report("Binance quotes and trades", to_present(events(TICKS)), options.rounds)


if __name__ == "__main__":
    main()
