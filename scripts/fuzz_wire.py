"""A hundred thousand hostile frames and feed messages over real sockets, to a real process.

    .venv/bin/python scripts/fuzz_wire.py [--frames 100000] [--messages 100000] [--seed 1]

Requests go through a DEALER under every shape of envelope, each with a mark of its own, so
that its reply can be told from all others: there must be exactly one. Feed messages go
through a PUB beside it, and connections that speak no ZMTP, or only begin to, knock at the
scoring port and answer at a second feed endpoint. In the end the process must be the one that
was started, ready, and know the last symbol that was fed. Exit code 1 otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import zmq

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from fuzz_inputs import SYMBOLS, feed_messages, requests
from harness import Feed, Service, eventually
from serving import published_model, tick

from protocol import codec
from protocol.errors import DecodeError
from protocol.limits import MAX_MESSAGE_BYTES

WAITING = 200
GREETING = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0NULL" + bytes(16) + b"\0" + bytes(31)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--frames", type=int, default=100_000)
    options.add_argument("--messages", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-wire-") as place, babbler(given.seed) as port:
        published_model(Path(place) / "models", time.time())
        feed = Feed()
        endpoints = f'["{feed.address}", "tcp://127.0.0.1:{port}"]'
        with closing(Service(Path(place), feed, FEED_ENDPOINTS=endpoints).start()) as service:
            held = attacked(service, feed, given)
    sys.exit(0 if held else 1)


def attacked(service: Service, feed: Feed, given: argparse.Namespace) -> bool:
    """All of it at once, then the look at what is left."""
    assert service.process
    pid, rng = service.process.pid, random.Random(given.seed)
    service.warm(*SYMBOLS)
    feeding = threading.Thread(target=fed, args=(feed, given.messages, given.seed))
    knocking = threading.Thread(target=knock, args=(service.address, 1_000, given.seed))
    begun_s = time.monotonic()
    feeding.start()
    knocking.start()
    counts = asked(service.address, given.frames, rng)
    feeding.join()
    knocking.join()
    feed.send(tick("LASTONE", time.time()))
    with service.client() as client:
        eventually(lambda: client.features("LASTONE")["source"], "the last tick")
        health, stats = client.health(), client.stats()
    print(f"{given.frames} frames, {given.messages} feed messages and 1000 connections that are "
          f"none in {time.monotonic() - begun_s:.0f} s")  # fmt: skip
    for word, count in counts.most_common():
        print(f"{count:>9}  {word}")
    print(f"{stats['feed']['received']} received of the feed: {stats['feed']['counts']}")
    alive = service.process.poll() is None and service.process.pid == pid
    silent_only = all("silent" in reason for reason in health["reasons"])
    errors = [one for one in service.log if one.get("level") in ("error", "critical")]
    wrong = {name: counts[name] for name in ("twice", "lost", "unread", "code internal")}
    print(f"alive: {alive}; reasons {health['reasons']}; {wrong}; {len(errors)} errors logged")
    for one in errors[:3]:
        print(one)
    code, took_s = service.terminate()
    print(f"exit code {code} after {took_s:.2f} s at SIGTERM")
    return alive and silent_only and not any(wrong.values()) and not errors and code == 0


def asked(address: str, total: int, rng: random.Random) -> Counter[str]:
    """Send `total` requests, a bounded number ahead of the replies; what came back."""
    counts: Counter[str] = Counter()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.setsockopt(zmq.LINGER, 0)
    dealer.connect(address)
    open_marks: set[bytes] = set()
    for number, body in zip(range(total), requests(rng, time.time()), strict=False):
        mark = number.to_bytes(4, "big")
        open_marks.add(mark)
        dealer.send_multipart([mark, *shaped(rng, body)])
        while len(open_marks) >= WAITING or dealer.poll(0):
            if not take(dealer, open_marks, counts):
                break
    while open_marks and take(dealer, open_marks, counts):
        pass
    counts["lost"] += len(open_marks)
    while dealer.poll(500):
        take(dealer, open_marks, counts)
    context.destroy(linger=0)
    return counts


def shaped(rng: random.Random, body: bytes) -> list[bytes]:
    """The frames behind the mark: mostly as a REQ does, else with what no REQ sends."""
    kind = rng.random()
    if kind < 0.8:
        return [b"", body]
    if kind < 0.85:
        return [body or b"x"]
    if kind < 0.9:
        return [b"", body, rng.randbytes(3)]
    if kind < 0.95:
        return [rng.randbytes(5), rng.randbytes(300), b"", body]
    return [b"", *[b""] * rng.randrange(1, 20)]


def take(dealer: zmq.Socket[bytes], open_marks: set[bytes], counts: Counter[str]) -> bool:
    """One reply; False where none comes for ten seconds."""
    if not dealer.poll(10_000):
        return False
    frames = dealer.recv_multipart()
    counts["twice"] += frames[0] not in open_marks
    open_marks.discard(frames[0])
    try:
        reply = codec.unpack(frames[-1], max_bytes=MAX_MESSAGE_BYTES)
    except DecodeError:
        counts["unread"] += 1
        return True
    counts["ok" if reply["ok"] else f"code {reply['error']['code']}"] += 1
    return True


def fed(feed: Feed, total: int, seed: int) -> None:
    """Messages as fast as a busy feed's: two thousand a second."""
    begun_s = time.monotonic()
    rng = random.Random(seed)
    for number, frame in zip(range(total), feed_messages(rng, time.time()), strict=False):
        if number % 50 == 0:
            time.sleep(max(0.0, begun_s + number / 2_000 - time.monotonic()))
        feed.send(frame)


def nonsense(rng: random.Random) -> bytes:
    """What a peer may say that is no ZMTP, or only begins as it."""
    kind = rng.randrange(4)
    if kind == 0:
        return rng.randbytes(rng.randrange(200))
    if kind == 1:
        return GREETING[: rng.randrange(len(GREETING))]
    if kind == 2:
        return b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    ready = b"\x04\x26\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\0"
    return GREETING + ready[: rng.randrange(len(ready))] + rng.randbytes(rng.randrange(300))


def knock(address: str, count: int, seed: int) -> None:
    """Connections to the scoring port that say nonsense, some of which stay for a while."""
    rng = random.Random(seed)
    host, port = address.removeprefix("tcp://").split(":")
    lines: list[socket.socket] = []
    for _ in range(count):
        with contextlib.suppress(OSError):
            line = socket.create_connection((host, int(port)), timeout=5)
            lines.append(line)
            line.sendall(nonsense(rng))
        if len(lines) > 30:
            lines.pop(rng.randrange(30)).close()
    for line in lines:
        line.close()


@contextlib.contextmanager
def babbler(seed: int) -> Iterator[int]:
    """A feed endpoint behind which no ZMTP is spoken; yields its port."""
    rng = random.Random(seed)
    listener = socket.create_server(("127.0.0.1", 0))

    def babble() -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = listener.accept()
                with line, contextlib.suppress(OSError):
                    line.sendall(nonsense(rng) + nonsense(rng))

    threading.Thread(target=babble, daemon=True).start()
    yield int(listener.getsockname()[1])
    listener.close()


if __name__ == "__main__":
    main()
