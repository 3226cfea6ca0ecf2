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


_making = threading.RLock()


def _unlock() -> None:
    """In a forked child: another thread of the parent may have held it."""
    global _making  # noqa: PLW0603
    _making = threading.RLock()


os.register_at_fork(after_in_child=_unlock)


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
        self._line: _Line | None = None
        self._inherited: list[_Line] = []

    def push(self, frame: bytes) -> bool:
        """Hand a frame over; False where it had to be dropped. Never waits, never raises."""
        try:
            return self._own_line().push(frame)
        except zmq.ZMQError:
            return False

    def close(self) -> None:
        """Close the socket; what has not left yet is dropped. The next push opens another."""
        line = self._line
        if line is not None and line.pid == os.getpid():
            self._line = None
            line.dropped()

    def _own_line(self) -> _Line:
        line = self._line
        if line is not None and line.pid == os.getpid():
            return line
        with _making:
            line = self._line
            if line is not None and line.pid == os.getpid():  # another thread was first
                return line
            if line is not None:  # forked: the parent's socket, and its lock in whatever state
                self._inherited.append(line)
            line = _Line(self._endpoint, self._curve)
            line.dropped = finalize = weakref.finalize(self, line.close)
            finalize.atexit = False
            first, self._line = self._line, line
            if first is not None and first.pid == line.pid:  # of a signal's handler meanwhile
                first.dropped()
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
