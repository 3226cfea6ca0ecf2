"""How fast ticks are taken in, against only receiving and parsing the same bytes.

The same frames come over a real PUB/SUB connection from a process of its own, again and again,
and are by turns received, received and parsed, and received and given to the engine: with receive
times just after the stamps, as on a live feed, and with those of the bench, which is a replay
faster than the wall. Blocks alternate, so that what else the machine does touches all alike. The
time of the thread is what counts: the publisher may be the slower one, and waiting for it is
nobody's work.

    .venv/bin/python scripts/bench_takein.py [--ticks 100000] [--rounds 5]
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import zmq
from bench_data import events, gold

from protocol.ea_feed import Tick, encode_tick, parse
from service.clock import SystemClock
from service.config.settings import Config
from service.engine import Engine
from service.sockets.setup import FEED_HWM

Socket = zmq.Socket[bytes]
WAYS = ("receive", "receive and parse", "take in live", "take in a replay")
LATENCY_S = 0.02
TICKS_PER_CYCLE = Config().limits.ticks_per_cycle
# Both ends together hold one block, so that nothing is dropped and a block can lie ready.
MOST_TICKS = FEED_HWM


def publish(path: str, address: str, control: str) -> None:
    """The publisher's process: send all frames of the file each time it is told to."""
    frames = Path(path).read_bytes().splitlines()
    context: zmq.Context[Socket] = zmq.Context()
    publisher, orders = context.socket(zmq.XPUB), context.socket(zmq.PAIR)
    publisher.setsockopt(zmq.XPUB_NODROP, 1)
    publisher.setsockopt(zmq.SNDHWM, FEED_HWM)
    publisher.bind(address)
    orders.connect(control)
    publisher.recv()  # the subscription
    orders.send(b"subscribed")
    while orders.recv() == b"go":
        for frame in frames:
            publisher.send(frame)
        orders.send(b"sent")
    context.destroy(linger=0)


@contextmanager
def publisher(ticks: list[Tick]) -> Iterator[tuple[str, Socket]]:
    """Such a process of the ticks: the feed's address, and the socket that it takes orders from."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, zmq.Context() as context:
        frames, feed, control = f"{folder}/frames", f"ipc://{folder}/feed", f"ipc://{folder}/orders"
        Path(frames).write_bytes(b"\n".join(map(encode_tick, ticks)))
        with context.socket(zmq.PAIR) as orders:
            orders.linger = 0
            orders.bind(control)
            process = subprocess.Popen(
                [sys.executable, __file__, "--publish", frames, feed, control]
            )
            try:
                yield feed, orders
            finally:
                process.kill()


def subscriber(context: zmq.Context[Socket], feed: str) -> Socket:
    """Takes in all that the feed sends."""
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, FEED_HWM)
    socket.subscribe(b"")
    socket.connect(feed)
    return socket


class Bench:
    """The subscriber's side."""

    def __init__(
        self, ticks: list[Tick], volume_is_deal: bool, feed: Socket, orders: Socket
    ) -> None:
        self.count = len(ticks)
        self.live_s = [tick.stamp_s + LATENCY_S for tick in ticks]
        self.volume_is_deal = volume_is_deal
        self.feed, self.orders = feed, orders
        self.orders.recv()
        self.clock = SystemClock()

    def block(self, way: str, queued: bool) -> float:
        """Microseconds of this thread per tick; `queued`: begin when all has been sent."""
        act: Callable[[bytes], object]
        if way == "receive":
            act = len
        elif way == "receive and parse":
            act = parse
        else:
            act = self._engine(way)
        self.orders.send(b"go")
        if queued:
            self.orders.recv()
            time.sleep(0.2)
        spent_s = self._receive(act)
        if not queued:
            self.orders.recv()
        return spent_s / self.count * 1e6

    def _engine(self, way: str) -> Callable[[bytes], object]:
        engine = Engine(Config(), "bench")
        endpoint = engine.endpoint("feed", volume_is_deal=self.volume_is_deal)
        on_frame, utc_s = engine.on_frame, self.clock.utc_s
        if way == "take in live":
            utc_s = iter(self.live_s).__next__
        return lambda frame: on_frame(endpoint, frame, utc_s())

    def _receive(self, act: Callable[[bytes], object]) -> float:
        """The server's inner loop: poll, then take what waits, at most so many."""
        receive, left = self.feed.recv, self.count
        began_s = time.thread_time()
        while left:
            if not self.feed.poll(5000):
                raise SystemExit(f"{left} frames were lost")
            try:
                for _ in range(min(TICKS_PER_CYCLE, left)):
                    act(receive(zmq.NOBLOCK))
                    left -= 1
            except zmq.Again:
                pass
        return time.thread_time() - began_s


def report(name: str, ticks: list[Tick], volume_is_deal: bool, rounds: int) -> None:
    with (
        publisher(ticks) as (address, orders),
        zmq.Context() as context,
        subscriber(context, address) as feed,
    ):
        bench = Bench(ticks, volume_is_deal, feed, orders)
        for queued in (False, True):
            spent: dict[str, list[float]] = {way: [] for way in WAYS}
            for _ in range(rounds):
                for way in WAYS:
                    spent[way].append(bench.block(way, queued))
            print(f"{name}, {'all waiting' if queued else 'while it is sent'}:")
            for way in WAYS:
                ratios = [p / t for p, t in zip(spent[WAYS[1]], spent[way], strict=True)]
                median_us = statistics.median(spent[way])
                print(f"  {way:18} {median_us:5.2f} us a tick, ", end="")
                print(f"{1e6 / median_us:9,.0f} a second, ", end="")
                print(f"{statistics.median(ratios):.2f} of the rate of parsing alone", end="")
                print(f" ({min(ratios):.2f} to {max(ratios):.2f})")


def to_present(ticks: list[Tick]) -> list[Tick]:
    """The last tick is now; stamps in milliseconds, as a bridge could send them at best."""
    shift_s = time.time() - ticks[-1].stamp_s
    return [
        Tick(t.symbol, t.bid, t.ask, t.volume, round(t.stamp_s + shift_s, 3), "BENCH")
        for t in ticks
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ticks", type=int, default=MOST_TICKS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--publish", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.publish:
        publish(*options.publish)
        return
    count = min(options.ticks, MOST_TICKS)
    report("XAUUSD quotes", to_present(gold(count)), False, options.rounds)
    report("Binance quotes and trades", to_present(events(count)), True, options.rounds)


if __name__ == "__main__":
    main()
