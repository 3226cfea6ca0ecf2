"""The asynchronous client's socket: one DEALER for all calls of an event loop.

Each request goes under a frame of its own, which comes back with its reply: calls that run
together share a connection, and an answer that nobody waits for any more is nobody's.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import zmq

from protocol.connection import Sockets, no_answer
from protocol.home import Options
from protocol.questions import reply_to


class Dealer:
    """The calls of one loop. A try that hears nothing at all is followed by a fresh socket."""

    def __init__(self, sockets: Sockets, options: Options) -> None:
        self._sockets = sockets
        self._options = options
        self._line: _Line | None = None

    async def ask(self, body: bytes, request_id: int) -> dict[str, Any]:
        """The reply's map. Raises ScorerUnavailable once the budget of all tries is spent."""
        options = self._options
        deadline_s = time.monotonic() + options.budget_s
        for tries_left in range(options.tries, 0, -1):
            within_s = max(0.0, deadline_s - time.monotonic()) / tries_left
            line = self._line = self._line or _Line(self._sockets, options)
            heard = line.heard
            reply = await line.ask(body, request_id, within_s)
            if reply is not None:
                return reply
            if line is self._line and line.heard == heard:
                self.close()
        raise no_answer(options.endpoint, options.curve, options.budget_s, options.tries)

    def close(self) -> None:
        """Close the socket, once the calls that are under way are done with it."""
        line, self._line = self._line, None
        if line is not None:
            line.leave()


class _Line:
    """A DEALER and who waits for an answer by it; `heard` counts what came.

    The loop watches it only while somebody waits: nothing of it is left there afterwards.
    """

    def __init__(self, sockets: Sockets, options: Options) -> None:
        self.heard = 0
        self._loop = asyncio.get_running_loop()
        self._sockets = sockets
        self._socket = sockets.open(zmq.DEALER, options.endpoint, options.curve)
        self._descriptor = self._socket.FD
        self._waiting: dict[bytes, asyncio.Future[bytes | None]] = {}
        self._unsent: dict[bytes, bytes] = {}
        self._left = False

    async def ask(self, body: bytes, request_id: int, within_s: float) -> dict[str, Any] | None:
        """The reply's map; None where none came within the time, or one that is no answer."""
        if not self._waiting:
            self._loop.add_reader(self._descriptor, self._look)
        key = request_id.to_bytes(8, "big")
        answer = self._waiting[key] = self._loop.create_future()
        self._unsent[key] = body
        timer = self._loop.call_later(within_s, self._give_up, answer)
        try:
            self._look()
            reply = await answer
        finally:
            timer.cancel()
            self._unsent.pop(key, None)
            del self._waiting[key]
            if not self._waiting:
                self._rest()
        return None if reply is None else reply_to(reply, request_id)

    def leave(self) -> None:
        """Close when nobody waits any more."""
        self._left = True
        if not self._waiting or self._loop.is_closed():
            self._rest()

    def _rest(self) -> None:
        if not self._loop.is_closed():
            self._loop.remove_reader(self._descriptor)
        if self._left:
            self._sockets.close(self._socket)

    def _look(self) -> None:
        """Receive all that is there and send what there is room for: none before it is connected.

        Until nothing is left to do, since libzmq's descriptor tells of news, not of a state.
        """
        socket = self._socket
        while True:
            events = socket.getsockopt(zmq.EVENTS)
            assert isinstance(events, int)
            if events & zmq.POLLIN:
                self._deliver(socket.recv_multipart(zmq.NOBLOCK))
            elif events & zmq.POLLOUT and self._unsent:
                key = next(iter(self._unsent))
                socket.send_multipart([key, b"", self._unsent.pop(key)], zmq.NOBLOCK)
            else:
                return

    def _deliver(self, frames: list[bytes]) -> None:
        self.heard += 1
        answer = self._waiting.get(frames[0])
        if answer is not None and not answer.done():
            answer.set_result(frames[-1])

    def _give_up(self, answer: asyncio.Future[bytes | None]) -> None:
        self._look()  # the loop itself may have been held up
        if not answer.done():
            answer.set_result(None)
