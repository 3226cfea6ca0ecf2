"""The service's parts behind real sockets, in this process: turned by hand or run in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq
from harness import eventually
from serving import Parts, body

from service.server import Server

PATIENCE_MS = 20_000


class Served(Parts):
    """The parts behind sockets on ports of the system's choice."""

    def __init__(self, folder: Path, clock: Any = None, **values: str) -> None:
        super().__init__(
            folder,
            clock,
            **({"SCORE_BIND": "tcp://127.0.0.1:*", "FEED_ENDPOINTS": "[]"} | values),
        )
        self.server = Server(
            self.config, self.clock, self.engine, self.responder, self.housekeeping, self.vitals
        )
        self.address = self.server.score_address
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def run(self) -> Served:
        """Serve in a thread until closed."""
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def turn_until(self, look: Callable[[], Any], what: str) -> None:
        """Turn the cycle by hand until something holds."""

        def once() -> bool:
            self.server.turn()
            return bool(look())

        eventually(once, what)

    def connected(self, peer: zmq.Socket[bytes]) -> zmq.Socket[bytes]:
        """The peer, once the service, turned by hand, has answered it."""
        peer.send(body("health", id="first"))
        self.turn_until(lambda: peer.poll(0), "the connection")
        peer.recv()
        return peer

    def close(self) -> None:
        self._stop.set()
        if self._thread is None:
            self._serve()
        else:
            self._thread.join()

    def _serve(self) -> None:
        self.server.run(self._stop.is_set)
        self.journal.close()  # which SQLite lets only the thread do that opened it
