"""A service turned by hand, whose feed and whose one client can both be filled to the brim."""

from __future__ import annotations

from pathlib import Path

import zmq
from harness import Feed
from served import Served
from serving import START_S, body, tick, unpacked

TICKS = 5_000


class Flooded:
    """The service with a feed and a client of its own."""

    def __init__(self, folder: Path, **values: str) -> None:
        self.feed = Feed()
        self.served = Served(folder, FEED_ENDPOINTS=self.feed.address, **values)
        self.feed.wait_for_subscriber()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.client = self._context.socket(zmq.DEALER)
        self.client.setsockopt(zmq.SNDHWM, 0)
        self.client.setsockopt(zmq.RCVHWM, 0)
        self.client.connect(self.served.address)

    @property
    def ticks(self) -> int:
        return self.served.engine.intake.received

    def send_ticks(self, count: int = TICKS) -> None:
        """More ticks than the service takes before it is turned."""
        self.feed.send(*(tick("EURUSD", START_S, 1.1 + n * 1e-6) for n in range(count)))
        (endpoint,) = self.served.server._feeds
        assert endpoint.socket.poll(20_000)

    def ask(self, *numbers: int) -> None:
        """One score for each number, all of which have arrived at least in part."""
        for n in numbers:
            self.client.send(body("score", id=n, symbol="EURUSD", base_score=n % 100))
        assert self.served.server._scoring.poll(20_000)

    def replies(self) -> list[dict[str, object]]:
        """What has come back by now."""
        found = []
        while self.client.poll(0):
            found.append(unpacked(self.client.recv()))
        return found

    def close(self) -> None:
        self.served.close()
        self.client.close(linger=0)
        self._context.term()
        self.feed.close()
