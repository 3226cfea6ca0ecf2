"""Asks in the background whether the service is back, while a client's circuit is open.

One daemon thread at a time, with a socket of its own, which ends with the first answer or
when its client is gone. It holds no reference to the client. A call that finds it ended otherwise
begins another: the circuit never stays open with nobody asking.
"""

from __future__ import annotations

import itertools
import random
import threading
from contextlib import suppress

import zmq

from protocol import codec, messages
from protocol.breaker import Breaker, pause_s
from protocol.connection import Connection, Sockets, not_asked
from protocol.options import Options
from protocol.questions import ScorerUnavailable


class Guard:
    """A breaker and its prober, of one client in one process."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._breaker = Breaker(options.open_after)
        self._lock = threading.RLock()  # which a signal's handler may find its own thread in
        # Held while the probe is to go on. No Event: what a handler raises within its `set` may
        # leave it locked, and whoever sets it next would wait for ever.
        self._going = threading.Lock()
        self._prober: threading.Thread | None = None

    @property
    def is_open(self) -> bool:
        """Whether calls are answered without asking."""
        return self._breaker.is_open

    def check(self) -> int:
        """The `news` at which a call begins. Raises ScorerUnavailable at once while it is open."""
        if self._breaker.is_open:
            if not self._probed():
                with self._lock:
                    if not self._probed() and self._breaker.is_open:
                        self._begin()
            raise not_asked(self._options.endpoint)
        return self._breaker.news

    def answered(self) -> None:
        """A call was answered."""
        if self._breaker.is_open:
            with self._lock:
                self._end()
        self._breaker.answered()

    def timed_out(self, news: int) -> None:
        """A call that began at this `news` was not; where that opens the circuit, it is probed."""
        with self._lock:
            if self._breaker.timed_out(news):
                self._begin()

    def reset(self) -> None:
        """End the probing and close the circuit: the next call asks."""
        self._end()
        self._breaker.answered()

    def _probed(self) -> bool:
        return self._prober is not None and self._prober.is_alive()

    def _begin(self) -> None:
        """Probe; a signal's handler may raise anywhere here, which the next call makes good."""
        self._end()
        going = threading.Lock()
        going.acquire()
        self._going = going
        self._prober = threading.Thread(
            target=self._probe, args=(going,), name="scorer-probe", daemon=True
        )
        try:
            self._prober.start()
        except RuntimeError:  # no thread is to be had: calls go on asking
            self._breaker.answered()

    def _end(self) -> None:
        with suppress(RuntimeError):  # it was told before
            self._going.release()

    def _probe(self, going: threading.Lock) -> None:
        options = self._options
        sockets: Sockets | None = None
        connection: Connection | None = None
        try:
            for number in itertools.count(1):
                pause = pause_s(options.probe_interval_s, random.random())  # noqa: S311
                if going.acquire(timeout=pause):
                    return
                try:
                    sockets = sockets or Sockets()
                    # Kept from probe to probe, so that it is connected when it is asked.
                    connection = connection or Connection(sockets, options.endpoint, options.curve)
                    body = codec.encode_request(messages.HealthRequest(), number)
                    connection.ask(body, number, options.budget_s, 1)
                except (ScorerUnavailable, zmq.ZMQError):
                    continue
                if going.locked():
                    self._breaker.answered()
                return
        finally:
            if sockets is not None:
                sockets.end()
