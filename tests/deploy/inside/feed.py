"""The EA's bridge inside the machine: history to each new subscriber, then ticks of two symbols.

feed.py [--no-history]
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator

import zmq

from protocol.ea_feed import Candle, Tick, encode_candle, encode_tick

ADDRESS = "tcp://127.0.0.1:5560"
SYMBOLS = ("EURUSD", "GBPUSD")
EVERY_MS = 250
MINUTES = 40


def history(now_s: float) -> Iterator[bytes]:
    """Candles of the last minutes, a different walk for each symbol."""
    last = int(now_s) // 60
    for at, symbol in enumerate(SYMBOLS):
        for minute in range(last - MINUTES, last):
            price = 1.1 + 0.0002 * (minute * (3 + 4 * at) % 11)
            wave = 0.0001 * (1 + minute % 3)
            yield encode_candle(
                Candle(symbol, "M1", minute * 60.0, price, price + wave, price - wave, price)
            )


def ticks(turn: int) -> Iterator[bytes]:
    """A tick of each symbol, now."""
    bid = 1.1 + 0.0001 * (turn % 7)
    for symbol in SYMBOLS:
        yield encode_tick(Tick(symbol, bid, bid + 0.0001, 1.0, time.time()))


def main() -> None:
    """Publish until ended."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.XPUB)
    socket.setsockopt(zmq.XPUB_VERBOSE, 1)
    socket.bind(ADDRESS)
    for turn in itertools.count():
        if socket.poll(EVERY_MS):
            socket.recv()
            if "--no-history" not in sys.argv:
                for frame in history(time.time()):
                    socket.send(frame)
        for frame in ticks(turn):
            socket.send(frame)


if __name__ == "__main__":
    main()
