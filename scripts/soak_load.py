"""The load of the soak: a feed that comes and goes, and clients of every kind.

Each runs in a process of its own until told to stop, and tells a queue, about every ten
seconds, what it saw: (its name, latencies in microseconds, counts). The rates are fixed, so
that whatever changes in the answers is the service's.
"""

from __future__ import annotations

import itertools
import random
import socket as tcp
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event

import msgpack
import zmq
from serving import history

from protocol.client import ScorerClient, ScorerRefused
from protocol.ea_feed import Tick, encode_tick
from protocol.messages import ScoreReply

SYMBOLS = tuple(f"SYM{i:02d}" for i in range(20))
TICKS_PER_S = 500
BURST_TICKS = 5_000
BURST_EVERY_S = 30.0
BREAK_EVERY_S = 60.0
BREAK_S = 4.0
LONG_BREAK_S = 35.0
"""Every fifth break is longer than the silence after which the service rebuilds its socket."""
SCORES_PER_S = 40.0
BURST_REQUESTS = 2_000
BURST_REQUESTS_EVERY_S = 15.0
TELL_EVERY_S = 10.0

Told = tuple[str, list[float], dict[str, int]]


class Diary:
    """What one of them saw since it last told."""

    def __init__(self, name: str, queue: Queue[Told]) -> None:
        self.counts: Counter[str] = Counter()
        self.taken_us: list[float] = []
        self._name = name
        self._queue = queue
        self._due_s = time.monotonic() + TELL_EVERY_S

    def tell(self, *, now: bool = False) -> None:
        if not now and time.monotonic() < self._due_s:
            return
        self._due_s = time.monotonic() + TELL_EVERY_S
        self._queue.put((self._name, self.taken_us, dict(self.counts)))
        self.taken_us, self.counts = [], Counter()


def paced(stop: Event, every_s: float) -> Iterator[int]:
    """Numbers at a fixed pace; what was missed is not made up for."""
    due_s = time.monotonic()
    for number in itertools.count():
        if stop.wait(max(0.0, due_s - time.monotonic())):
            return
        due_s = max(due_s + every_s, time.monotonic() - every_s)
        yield number


def word_of(reply: ScoreReply) -> str:
    """The status, or that the service refused in a burst, which is an answer as well."""
    return "overloaded" if "overloaded" in (reply.error or "") else reply.status


@contextmanager
def overload_is_an_answer(diary: Diary) -> Iterator[None]:
    """A refusal in a burst is counted; any other ends the soak."""
    try:
        yield
    except ScorerRefused as refused:
        if refused.code != "overloaded":
            raise
        diary.counts["refused overloaded"] += 1


@contextmanager
def _publishing(context: zmq.Context[zmq.Socket[bytes]], port: int) -> Iterator[zmq.Socket[bytes]]:
    with closing(context.socket(zmq.XPUB)) as publisher:
        publisher.setsockopt(zmq.LINGER, 0)
        publisher.setsockopt(zmq.XPUB_VERBOSE, 1)
        # The port of the last one may take a moment to be free.
        for _ in range(200):
            try:
                publisher.bind(f"tcp://127.0.0.1:{port}")
                break
            except zmq.ZMQError:
                time.sleep(0.05)
        yield publisher


def feed(port: int, stop: Event, queue: Queue[Told], seed: int) -> None:
    """Random walks of SYMBOLS at TICKS_PER_S, with bursts and with breaks of the connection."""
    rng, diary = random.Random(seed), Diary("feed", queue)
    mids = dict.fromkeys(SYMBOLS, 1.1)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    for connection in itertools.count(1):
        with _publishing(context, port) as publisher:
            if connection == 1:
                _tell_history(publisher, stop)
            _tick_away(publisher, mids, rng, diary, stop)
        diary.counts["breaks"] += 1
        if stop.wait(BREAK_S if connection % 5 else LONG_BREAK_S):
            break
    diary.tell(now=True)
    context.destroy(linger=0)


def _tell_history(publisher: zmq.Socket[bytes], stop: Event) -> None:
    while not publisher.poll(100):
        if stop.is_set():
            return
    for frame in history(SYMBOLS, time.time()):
        publisher.send(frame)


def _tick_away(
    publisher: zmq.Socket[bytes],
    mids: dict[str, float],
    rng: random.Random,
    diary: Diary,
    stop: Event,
) -> None:
    begun_s = burst_s = time.monotonic()
    for _ in paced(stop, 0.02):
        now_s = time.monotonic()
        if now_s - begun_s > BREAK_EVERY_S:
            return
        count = int(TICKS_PER_S * 0.02)
        if now_s - burst_s > BURST_EVERY_S:
            burst_s, count = now_s, BURST_TICKS
        for _ in range(count):
            symbol = rng.choice(SYMBOLS)
            mids[symbol] = mid = mids[symbol] * (1.0 + rng.gauss(0.0, 2e-5))
            volume = float(rng.randrange(4))
            publisher.send(encode_tick(Tick(symbol, mid, mid * 1.0001, volume, time.time())))
        diary.counts["ticks"] += count
        diary.tell()


def steady(name: str, address: str, stop: Event, queue: Queue[Told]) -> None:
    """One signal after the other, some asked for twice, some with their outcome reported."""
    diary, rng = Diary(name, queue), random.Random(name)
    with ScorerClient(address, timeout_ms=5_000, retries=0, open_after=0) as client:
        for number in paced(stop, 1.0 / SCORES_PER_S):
            symbol, entry = rng.choice(SYMBOLS), rng.uniform(1.0, 1.2)
            signal = {
                "signal_id": f"{name}-{number}",
                "direction": "BUY",
                "entry_price": entry,
                "stop_loss": entry * 0.999,
                "take_profit": entry * 1.0015,
            }
            started = time.perf_counter()
            reply = client.score(symbol, 75.0, **signal)
            diary.taken_us.append((time.perf_counter() - started) * 1e6)
            diary.counts[f"score {word_of(reply)}"] += 1
            diary.tell()
            if word_of(reply) == "overloaded":
                continue
            diary.counts["not journalled"] += not reply.journalled
            if number % 20 == 0:
                again = client.score(symbol, 75.0, **signal)
                unlike = again.score_id != reply.score_id and word_of(again) != "overloaded"
                diary.counts["retry unlike"] += unlike
            if number % 10 == 0:
                with overload_is_an_answer(diary):
                    told = client.outcome(bool(rng.randrange(2)), score_id=reply.score_id)
                    diary.counts["outcome lost"] += not told["journalled"]
    diary.tell(now=True)


def bursts(name: str, address: str, stop: Event, queue: Queue[Told]) -> None:
    """More requests at once than may wait, and as many replies."""
    diary = Diary(name, queue)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    for number in paced(stop, BURST_REQUESTS_EVERY_S):
        with context.socket(zmq.DEALER) as dealer:
            dealer.setsockopt(zmq.LINGER, 0)
            dealer.setsockopt(zmq.SNDHWM, 0)
            dealer.setsockopt(zmq.RCVHWM, 0)
            dealer.connect(address)
            for i in range(BURST_REQUESTS):
                fields = {"v": 1, "op": "score", "id": i, "symbol": SYMBOLS[i % 20]}
                more = {"base_score": 60.0, "direction": "SELL", "signal_id": f"b{number}-{i}"}
                dealer.send_multipart([b"", msgpack.packb(fields | more)])
            missing = set(range(BURST_REQUESTS))
            while missing and dealer.poll(10_000):
                reply = msgpack.unpackb(dealer.recv_multipart()[-1])
                diary.counts["twice"] += reply["id"] not in missing
                missing.discard(reply["id"])
                word = reply["status"] if reply["ok"] else reply["error"]["code"]
                diary.counts[f"burst {word}"] += 1
            diary.counts["burst lost"] += len(missing)
        diary.tell()
    diary.tell(now=True)
    context.destroy(linger=0)


def mixed(name: str, address: str, stop: Event, queue: Queue[Told]) -> None:
    """Everything else that can be asked, by clients that come and go."""
    diary = Diary(name, queue)
    client = ScorerClient(address, timeout_ms=5_000, retries=0, open_after=0)
    signals = [{"symbol": symbol, "base_score": 50.0, "direction": "BUY"} for symbol in SYMBOLS]
    for number in paced(stop, 0.2):
        if number % 50 == 49:
            client.close()
            client = ScorerClient(address, timeout_ms=5_000, retries=0, open_after=0)
        with overload_is_an_answer(diary):
            if number % 5 == 0:
                for reply in client.score_many(signals):
                    diary.counts[f"many {word_of(reply)}"] += 1
            elif number % 5 == 1:
                client.features(SYMBOLS[number % 20], "SELL")
            elif number % 5 == 2:
                diary.counts["not ready"] += not client.health()["ready"]
            elif number % 5 == 3:
                client.stats()
            else:
                client.sentiment(SYMBOLS[number % 20], float(number % 100), half_life_s=60.0)
        diary.counts["mixed"] += 1
        diary.tell()
    client.close()
    diary.tell(now=True)


def rude(name: str, address: str, stop: Event, queue: Queue[Told]) -> None:
    """Asks and leaves, sends garbage, opens connections and says nothing."""
    diary, rng = Diary(name, queue), random.Random(name)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    host, port = address.removeprefix("tcp://").split(":")
    health = msgpack.packb({"v": 1, "op": "health"})
    for _ in paced(stop, 0.5):
        with context.socket(zmq.DEALER) as dealer:
            dealer.setsockopt(zmq.LINGER, 100)
            dealer.connect(address)
            dealer.send_multipart([b"", health])
            dealer.send_multipart([b"", rng.randbytes(rng.randrange(4096))])
            dealer.send(b"")
            if rng.randrange(2):
                dealer.poll(50)
        with tcp.create_connection((host, int(port))) as line:
            line.sendall(rng.randbytes(rng.randrange(1, 64)))
        diary.counts["rude"] += 1
        diary.tell()
    diary.tell(now=True)
    context.destroy(linger=100)
