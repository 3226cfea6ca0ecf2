"""A service and its load, as the benches share them: the process, a feed, requests."""

from __future__ import annotations

import itertools
import json
import multiprocessing as mp
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgpack
import zmq

from protocol.curve import CurveKeys
from protocol.ea_feed import Candle, Tick, encode_candle, encode_tick

SYMBOLS = [f"SYM{i:02d}" for i in range(15)]
BASES = 30_011
"""So many requests have each a base score of its own; a prime."""


class Service:
    """`signal-scorer serve` as operators run it, journal on."""

    def __init__(
        self, folder: Path, feed: str, *, start_new_session: bool = False, **values: str
    ) -> None:
        environ = os.environ | {
            "SIGNAL_SCORER_STATE_DIR": str(folder),
            "SIGNAL_SCORER_SCORE_BIND": "tcp://127.0.0.1:*",
            "SIGNAL_SCORER_FEED_ENDPOINTS": feed,
            "SIGNAL_SCORER_METRICS_BIND": "",
            "SIGNAL_SCORER_LOG_LEVEL": "info",
        }
        environ |= {f"SIGNAL_SCORER_{key}": value for key, value in values.items()}
        command = [sys.executable, "-m", "service", "serve"]
        started_s = time.monotonic()
        self.process = subprocess.Popen(
            command,
            env=environ,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=start_new_session,
        )
        assert self.process.stderr
        for line in self.process.stderr:
            if '"ready"' in line:
                self.ready_s = time.monotonic() - started_s
                self.address = json.loads(line)["address"]
                # Its log is read on, or it would wait for us with a full pipe.
                threading.Thread(target=self.process.stderr.read, daemon=True).start()
                return
        raise SystemExit("the service did not start")

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()


class Publisher:
    """The feed in a process of its own; its rate is set over a pipe."""

    def __init__(self, symbols: Sequence[str] = SYMBOLS) -> None:
        self._pipe, theirs = mp.Pipe()
        self._process = mp.Process(target=publish_ticks, args=(theirs, symbols), daemon=True)
        self._process.start()
        self.address = self._pipe.recv()

    def warm(self, ticks_s: int = 0) -> None:
        """An hour of candles for every symbol once somebody listens, and so many seconds of ticks.

        A service that gets such ticks wants `feed.clock_offset` 0: their stamps are old.
        """
        self._pipe.send(Warm(ticks_s))
        self._pipe.recv()

    def rate(self, ticks_per_s: int) -> None:
        """From now on so many ticks a second, for all symbols together."""
        self._pipe.send(ticks_per_s)
        self._pipe.recv()

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()


class Warm(NamedTuple):
    """Asks for history: candles until so many seconds ago, from then on a tick each second."""

    ticks_s: int


def publish_ticks(pipe: mp.connection.Connection, symbols: Sequence[str]) -> None:
    """Ticks stamped now, in small batches, at the rate last asked for."""
    socket = zmq.Context().socket(zmq.XPUB)
    socket.setsockopt(zmq.SNDHWM, 0)
    pipe.send(f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}")
    rate, sent, since, number = 0, 0, time.monotonic(), itertools.count()
    while True:
        if pipe.poll(0 if rate else 1):
            asked = pipe.recv()
            if isinstance(asked, Warm):
                socket.recv()
                begin = int(time.time()) - asked.ticks_s
                # A tick first: it tells the clock offset by which candles are dated.
                for symbol in symbols if not asked.ticks_s else ():
                    socket.send(encode_tick(Tick(symbol, 1.1, 1.1001, 1.0, time.time())))
                for frame in history(symbols, begin):
                    socket.send(frame)
                for second in range(asked.ticks_s):
                    p = 1.1 + second * 7919 % 89 * 1e-5
                    for symbol in symbols:
                        old = Tick(symbol, p, p + 1e-4, 1.0, float(begin + second))
                        socket.send(encode_tick(old))
                    # Slower than they are applied: what waits would make the process grow.
                    time.sleep(0.01)
                rate = 30
            else:
                rate = asked
            sent, since = 0, time.monotonic()
            pipe.send("done")
        due = int((time.monotonic() - since) * rate) - sent
        for _ in range(due):
            i = next(number)
            p = 1.1 + (i * 7919 % 89) * 1e-5
            tick = Tick(symbols[i % len(symbols)], p, p + 1e-4, float(i % 4), time.time())
            socket.send(encode_tick(tick))
        sent += due
        time.sleep(0.001)


def history(symbols: Sequence[str], until_s: float) -> Iterator[bytes]:
    """Candles of the hour before for every symbol."""
    minute = int(until_s) // 60
    for ago, (place, symbol) in itertools.product(range(60, 0, -1), enumerate(symbols)):
        p = 1.1 + (ago * 7 + place * 13) % 17 * 1e-4
        at = (minute - ago) * 60.0
        yield encode_candle(Candle(symbol, "M1", at, p, p + 2e-4, p - 2e-4, p + 1e-4))


def request_body(number: int, symbols: Sequence[str] = SYMBOLS) -> bytes:
    """A usual request, as the client packs it, with an id and a base score of its own.

    A base score that came before could be answered without asking the forest.
    """
    body: bytes = msgpack.packb(
        {
            "symbol": symbols[number % len(symbols)],
            "base_score": 60.0 + number * 7919 % BASES / 1000.0,
            "signal_id": f"ELITE_GUARD_{os.getpid()}_{number}_{time.monotonic_ns()}",
            "direction": "BUY" if number % 2 else "SELL",
            "pattern": "LIQUIDITY_SWEEP_REVERSAL",
            "reward_risk": 1.5,
            "v": 1,
            "op": "score",
            "id": number,
        }
    )
    return body


def ask_once(address: str) -> bytes:
    """One reply, as bytes."""
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.connect(address)
        socket.send(request_body(0))
        return socket.recv()


def wait_until_scored(address: str) -> None:
    """Until the model answers: the history has arrived."""
    for _ in range(600):
        reply = msgpack.unpackb(ask_once(address))
        if reply["status"] == "success":
            return
        time.sleep(0.1)
    raise SystemExit(f"not warm: {reply['status']}, missing {reply['missing']}")


def one_client(address: str, count: int, keys: CurveKeys | None = None) -> list[float]:
    """Round trips in microseconds, but for the first few."""
    times = []
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        if keys is not None:
            keys.apply(socket)
        socket.connect(address)
        for body in [request_body(i) for i in range(count + 20)]:
            started = time.perf_counter()
            socket.send(body)
            socket.recv()
            times.append((time.perf_counter() - started) * 1e6)
    return times[20:]
