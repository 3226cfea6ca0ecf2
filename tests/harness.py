"""The real service as a process of its own, on ports that the system chooses.

A test starts it with settings, talks to it through sockets and signals, and reads its
journal as any other reader would. Waiting is polling for a fact, with a generous end.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import zmq
from serving import history, rows

from protocol.client import ScorerClient
from service.journal.spool import spool_path

T = TypeVar("T")
PATIENCE_S = 30.0


def eventually(look: Callable[[], T | None], what: str, within_s: float = PATIENCE_S) -> T:
    """The first true answer of `look`; fails the test where none comes."""
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s:
        found = look()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"waited {within_s} s in vain for {what}")


def free_port() -> int:
    """A port that the system chose."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def descriptors(pid: int | str = "self") -> int:
    """Open files and sockets of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@contextmanager
def full_at(size_bytes: int) -> Iterator[None]:
    """No file of this process takes more than so much meanwhile, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


SUBSCRIBED = b"\x01"
"""How an XPUB's message of a subscription begins; one of its end begins with 0."""


class Feed:
    """The bridge's PUB, which knows when the service has subscribed.

    With a `secret` it wants its subscribers to know its key.
    """

    def __init__(self, secret: bytes = b"") -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        # Every subscription is told, not only the first: the service may restart.
        self._socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        # A test that floods counts on every tick.
        self._socket.setsockopt(zmq.SNDHWM, 0)
        if secret:
            self._socket.setsockopt(zmq.CURVE_SERVER, 1)
            self._socket.setsockopt(zmq.CURVE_SECRETKEY, secret)
        port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        self.address = f"tcp://127.0.0.1:{port}"

    def wait_for_subscriber(self) -> None:
        """Block until the service listens (again): one that was killed is told of as well."""
        told = b""
        while not told.startswith(SUBSCRIBED):
            assert self._socket.poll(PATIENCE_S * 1000), "nobody subscribed"
            told = self._socket.recv()
        while self._socket.poll(0):
            self._socket.recv()

    def send(self, *frames: bytes) -> None:
        """Publish frames in order."""
        for frame in frames:
            self._socket.send(frame)

    def send_together(self, *frames: bytes) -> None:
        """Publish frames as one message."""
        self._socket.send_multipart(frames)

    def close(self) -> None:
        """Stop publishing."""
        self._context.destroy(linger=0)


class Service:
    """`signal-scorer serve` in a state directory; restarts keep its address."""

    def __init__(self, folder: Path, feed: Feed | None = None, **values: str) -> None:
        self.folder = folder
        self.models_dir = folder / "models"
        self.journal_path = folder / "journal.db"
        self.address = "tcp://127.0.0.1:*"
        self.log: list[dict[str, Any]] = []
        self._feed = feed
        self._values = {
            "STATE_DIR": str(folder),
            "METRICS_BIND": "",
            "FEED_ENDPOINTS": feed.address if feed else "[]",
            "FEED_CLOCK_OFFSET": "0",
            "MODEL_POLL_S": "0.1",
        } | values
        self.options: tuple[str, ...] = ()
        self.program: tuple[str, ...] = ("-m", "service")
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> Service:
        """Start and wait for READY."""
        self.launch()
        started = len(self.log)
        ready = eventually(lambda: self._ready_since(started), "ready")
        self.address = ready["address"]
        if self._feed:
            self._feed.wait_for_subscriber()
        return self

    def launch(self, stderr: IO[bytes] | int = subprocess.PIPE) -> subprocess.Popen[str]:
        """Start without waiting."""
        values = self._values | {"SCORE_BIND": self._values.get("SCORE_BIND", self.address)}
        environ = {k: v for k, v in os.environ.items() if not k.startswith("SIGNAL_SCORER_")}
        environ |= {f"SIGNAL_SCORER_{key}": value for key, value in values.items()}
        self.process = subprocess.Popen(
            [sys.executable, *self.program, "serve", *self.options],
            env=environ,
            stderr=stderr,
            text=True,
        )
        if stderr == subprocess.PIPE:
            threading.Thread(target=self._read_log, args=(self.process,), daemon=True).start()
        return self.process

    @property
    def feed(self) -> Feed:
        """Which it listens to."""
        assert self._feed
        return self._feed

    def client(self, timeout_ms: float = 10_000, **options: Any) -> ScorerClient:
        """A client with a budget that a busy machine keeps."""
        return ScorerClient(self.address, timeout_ms, **options)

    def kill(self) -> None:
        """kill -9."""
        assert self.process
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def terminate(self) -> tuple[int, float]:
        """SIGTERM: (exit code, seconds until it had ended)."""
        assert self.process
        started_s = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE_S)
        return code, time.monotonic() - started_s

    def wait(self) -> int:
        """The exit code of a process that ends by itself."""
        assert self.process
        return self.process.wait(PATIENCE_S)

    def busy_s(self) -> float:
        """Processor time of its process so far, user and system."""
        assert self.process
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def received(self) -> int:
        """Messages of the feed that it has worked off."""
        with self.client() as client:
            return int(client.stats()["feed"]["received"])

    def metrics(self) -> str:
        """Where it shows its metrics."""

        def told() -> str | None:
            return next((e["address"] for e in self.log if e.get("event") == "metrics"), None)

        return eventually(told, "metrics")

    def warm(self, *symbols: str) -> None:
        """Feed candles and ticks until these symbols are warm."""
        frames = history(symbols or ("EURUSD", "GBPUSD"), time.time())
        before = self.received()
        self.feed.send(*frames)
        eventually(lambda: self.received() >= before + len(frames), "the history to arrive")

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Events of this kind in the journal."""
        found = rows(self.journal_path, "SELECT * FROM events ORDER BY seq")
        return [json.loads(row["detail"]) for row in found if row["kind"] == kind]

    def scores(self) -> list[dict[str, Any]]:
        """Scores in the journal, once it has taken in what was promised; killed, as it stands."""
        spool = spool_path(self.journal_path)
        if self.process and self.process.poll() is None:
            eventually(lambda: not spool.exists() or not spool.stat().st_size, "the spool to empty")
        return rows(self.journal_path, "SELECT * FROM scored ORDER BY seq")

    def segments(self) -> list[Path]:
        """What it has recorded, in order."""
        return sorted((self.folder / "segments").glob("*.rec.gz"))

    def close(self) -> None:
        """End it, whatever state it is in."""
        if self.process and self.process.poll() is None:
            self.kill()

    def _ready_since(self, started: int) -> dict[str, Any] | None:
        assert self.process
        if self.process.poll() is not None:
            raise AssertionError(f"ended with {self.process.returncode}: {self.log[-5:]}")
        return next((line for line in self.log[started:] if line.get("event") == "ready"), None)

    def _read_log(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr
        with process.stderr:
            for line in process.stderr:
                try:
                    self.log.append(json.loads(line))
                except ValueError:
                    self.log.append({"text": line.rstrip()})


@contextmanager
def running(folder: Path, *, with_feed: bool = False, **values: str) -> Iterator[Service]:
    """A service that is ready, and is ended with the block."""
    feed = Feed() if with_feed else None
    service = Service(folder, feed, **values)
    try:
        yield service.start()
    finally:
        service.close()
        if feed:
            feed.close()
