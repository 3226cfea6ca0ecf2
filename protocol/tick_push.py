"""Ticks pushed to the service's ingest without ever waiting: what cannot leave at once is dropped.

One PUSH socket for all threads of a process, under a lock that is held for a send that
does not block; a forked child makes its own. A signal's handler may find its own thread there.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import zmq

from protocol.connection import check_endpoint, connected, end
from protocol.curve import CurveKeys, check_keys
from protocol.ea_feed import Tick, encode_tick, parse_stamp
from protocol.market_features import number

WAITING_TICKS = 1000
"""So many may wait for a slow receiver; a newer tick is then dropped, not the caller held up."""


def tick_frame(symbol: str, tick: Mapping[str, Any], now_s: float) -> bytes:
    """A tick with the original's keys as a message of the feed. Raises ValueError for no quote.

    `timestamp` is epoch seconds or `YYYY.MM.DD HH:MM:SS`, `now_s` without one; `spread` is not
    read, it follows from bid and ask.
    """
    bid, ask = number(tick.get("bid"), low=0.0), number(tick.get("ask"), low=0.0)
    given = tick.get("timestamp")
    stamp_s = parse_stamp(given if isinstance(given, str) else number(given))
    if given is None:
        stamp_s = now_s
    if bid is None or ask is None or stamp_s is None or not isinstance(symbol, str):
        raise ValueError("a tick has a symbol, bid, ask and a time")
    volume = number(tick.get("volume"), low=0.0) or 0.0
    return encode_tick(Tick(str.__str__(symbol), bid, ask, volume, stamp_s))


class TickPush:
    """Pushes frames to an ingest endpoint; connects with the first one."""

    def __init__(self, endpoint: str, curve: CurveKeys | None = None) -> None:
        """Raises ValueError for what is no endpoint, and for keys that are none."""
        self._endpoint = check_endpoint(endpoint)
        self._curve = check_keys(curve)
        self._lines: dict[int, _Line] = {}  # by process: a forked child leaves its parent's alone

    def push(self, frame: bytes) -> bool:
        """Hand a frame over; False where it had to be dropped. Never waits, never raises."""
        try:
            return self._own_line().push(frame)
        except zmq.ZMQError:
            return False

    def close(self) -> None:
        """Close the socket; what has not left yet is dropped. The next push opens another."""
        line = self._lines.pop(os.getpid(), None)
        if line is not None:
            line.dropped()

    def _own_line(self) -> _Line:
        line = self._lines.get(os.getpid())
        if line is None:
            made = _Line(self._endpoint, self._curve)
            made.dropped = finalize = weakref.finalize(self, made.close)
            finalize.atexit = False
            line = self._lines.setdefault(made.pid, made)
            if line is not made:  # another thread, or a signal's handler, was first
                made.dropped()
        return line


class _Line:
    """The socket of one process."""

    def __init__(self, endpoint: str, curve: CurveKeys | None) -> None:
        self.pid = os.getpid()
        self.dropped: Callable[[], object] = self.close
        self._lock = threading.RLock()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            socket = self._context.socket(zmq.PUSH)
            socket.setsockopt(zmq.SNDHWM, WAITING_TICKS)
            self._socket = connected(socket, endpoint, curve)
        except zmq.ZMQError:
            self._context.destroy(linger=0)
            raise

    def push(self, frame: bytes) -> bool:
        with self._lock:
            try:
                self._socket.send(frame, zmq.NOBLOCK)
            except zmq.ZMQError:  # full, not connected, or closed meanwhile
                return False
            return True

    def close(self) -> None:
        if self.pid == os.getpid():
            with self._lock:
                self._socket.close()
                end(self._context)
