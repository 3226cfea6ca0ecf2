"""Asks in the background whether the service is back, while a client's circuit is open.

One daemon thread at a time, with a socket of its own, which ends with the first answer or
when its client is gone. It holds no reference to the client.
"""

from __future__ import annotations

import itertools
import random
import threading
from typing import TYPE_CHECKING

import zmq

from protocol import codec, messages
from protocol.breaker import Breaker, pause_s
from protocol.connection import Connection, Sockets, not_asked
from protocol.questions import ScorerUnavailable

if TYPE_CHECKING:
    from protocol.home import Options


class Guard:
    """A breaker and its prober, of one client in one process."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._breaker = Breaker(options.open_after)
        self._lock = threading.RLock()  # which a signal's handler may find its own thread in
        self._stop = threading.Event()

    @property
    def is_open(self) -> bool:
        """Whether calls are answered without asking."""
        return self._breaker.is_open

    def check(self) -> int:
        """The `news` at which a call begins. Raises ScorerUnavailable at once while it is open."""
        if self._breaker.is_open:
            raise not_asked(self._options.endpoint)
        return self._breaker.news

    def answered(self) -> None:
        """A call was answered."""
        if self._breaker.is_open:
            with self._lock:
                self._stop.set()
        self._breaker.answered()

    def timed_out(self, news: int) -> None:
        """A call that began at this `news` was not; where that opens the circuit, it is probed."""
        with self._lock:
            if not self._breaker.timed_out(news):
                return
            self._stop.set()
            self._stop = threading.Event()
            probe = threading.Thread(
                target=self._probe, args=(self._stop,), name="scorer-probe", daemon=True
            )
            try:
                probe.start()
            except RuntimeError:  # no thread is to be had, and open it would stay so for ever
                self._breaker.answered()

    def reset(self) -> None:
        """End the probing and close the circuit: the next call asks."""
        self._stop.set()
        self._breaker.answered()

    def _probe(self, stop: threading.Event) -> None:
        options = self._options
        sockets: Sockets | None = None
        connection: Connection | None = None
        try:
            for number in itertools.count(1):
                if stop.wait(pause_s(options.probe_interval_s, random.random())):  # noqa: S311
                    return
                try:
                    sockets = sockets or Sockets()
                    # Kept from probe to probe, so that it is connected when it is asked.
                    connection = connection or Connection(sockets, options.endpoint, options.curve)
                    body = codec.encode_request(messages.HealthRequest(), number)
                    connection.ask(body, number, options.budget_s, 1)
                except (ScorerUnavailable, zmq.ZMQError):
                    continue
                if not stop.is_set():
                    self._breaker.answered()
                return
        finally:
            if sockets is not None:
                sockets.end()
