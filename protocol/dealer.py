"""The asynchronous client's socket: one DEALER for all calls of an event loop.

Each request goes under a frame of its own, which comes back with its reply: calls that run
together share a connection, and an answer that nobody waits for any more is nobody's.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from typing import Any

import zmq

from protocol.connection import CONNECTING_S, Sockets, no_answer
from protocol.options import Options
from protocol.questions import reply_to

MAX_UNDER_WAY = 128
"""Requests sent and not answered: the service lets 1,024 wait, of all its clients."""


Answer = asyncio.Future[bytes | None]


class Dealer:
    """The calls of one loop.

    A try that hears nothing at all is followed by a fresh socket, unless the present one may have
    taken until then to connect. The silence of calls that are given up early adds up to a time-out.
    """

    def __init__(self, sockets: Sockets, options: Options) -> None:
        self._sockets = sockets
        self._options = options
        self._line: _Line | None = None
        self._closed = False
        self._opened_s = time.monotonic()
        self._silent_s = self._counted_s = 0.0

    async def ask(self, body: bytes, request_id: int) -> dict[str, Any]:
        """The reply's map. Raises ScorerUnavailable once the budget of all tries is spent."""
        options, loop = self._options, asyncio.get_running_loop()
        deadline_s = time.monotonic() + options.budget_s
        key = request_id.to_bytes(8, "big")
        asked: list[_Line] = []
        try:
            for tries_left in range(options.tries, 0, -1):
                began_s = time.monotonic()
                within_s = max(0.0, deadline_s - began_s) / tries_left
                line = self._line = self._line or _Line(self._sockets, options)
                if line not in asked:
                    asked.append(line)
                heard = line.heard
                answer: Answer = loop.create_future()
                for one in asked:  # to an earlier try a late answer may still come
                    one.expect(key, answer)
                timer = loop.call_later(within_s, _give_up, answer, asked)
                try:
                    line.send(key, body)
                    if answer.done():  # at once, and whoever asks and asks must let others run
                        await asyncio.sleep(0)
                    came = await answer
                finally:
                    timer.cancel()
                reply = None if came is None else reply_to(came, request_id)
                if reply is not None:
                    self._silent_s = 0.0
                    return reply
                self._count(line, heard, self._silent_since(line, key, began_s))
                if line is self._line and line.heard == heard and not line.connecting:
                    self._leave()
        except asyncio.CancelledError:
            self._given_up(key, asked, heard, began_s)
            raise
        finally:
            for line in asked:
                line.forget(key)
            if self._closed:  # meanwhile, and then asked by another socket
                self._leave()
        self._silent_s = 0.0  # the caller counts it
        raise no_answer(options.endpoint, options.curve, options.budget_s)

    def timed_out(self) -> bool:
        """Whether calls that were given up waited for a budget in vain, since it last did so."""
        if self._silent_s < self._options.budget_s:
            return False
        self._silent_s = 0.0
        return True

    def _given_up(self, key: bytes, asked: list[_Line], heard: int, began_s: float) -> None:
        line = asked[-1]
        try:
            since_s = self._silent_since(line, key, began_s)
            while asked:  # before the line is looked at, which would send it
                asked.pop().forget(key)
            line.look()  # the loop itself may have been held up
        except zmq.ZMQError:
            return
        self._count(line, heard, since_s)
        silent = self._silent_s >= self._options.budget_s
        if silent and line is self._line and not line.connecting:
            self._leave()

    def _silent_since(self, line: _Line, key: bytes, began_s: float) -> float:
        """Since when a call waits for more than its own loop or the first connection."""
        sent_s = line.sent_s(key)
        if sent_s is not None:
            return sent_s
        first = time.monotonic() - self._opened_s < CONNECTING_S
        return math.inf if first or line.stands() else began_s

    def _count(self, line: _Line, heard: int, since_s: float) -> None:
        now_s = time.monotonic()
        if line.heard != heard:
            self._silent_s = 0.0
            return
        since_s = max(since_s, self._counted_s)  # together with other calls: once
        if since_s < now_s:
            self._silent_s += now_s - since_s
            self._counted_s = now_s

    def close(self) -> None:
        """Close the socket, once the calls that are under way are done with it."""
        self._closed = True
        self._leave()

    def _leave(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.leave()


class _Line:
    """A DEALER and who expects an answer by it; `heard` counts what came.

    The loop watches it only while somebody does: nothing of it is left there afterwards.
    """

    def __init__(self, sockets: Sockets, options: Options) -> None:
        self.heard = 0
        self._loop = asyncio.get_running_loop()
        self._sockets = sockets
        self._socket = sockets.open(zmq.DEALER, options.endpoint, options.curve)
        self._descriptor = self._socket.FD
        self._expected: dict[bytes, Answer] = {}
        self._unsent: dict[bytes, bytes] = {}
        self._under_way: dict[bytes, float] = {}  # when each was sent
        self._left = False
        self._fresh, self._opened_s = True, time.monotonic()

    @property
    def connecting(self) -> bool:
        """Whether it may have stood too late for an answer: another would begin anew."""
        return self._fresh and time.monotonic() - self._opened_s < CONNECTING_S

    def sent_s(self, key: bytes) -> float | None:
        """When it was sent; None where it still waits for that."""
        return self._under_way.get(key)

    def stands(self) -> bool:
        """Whether there is a connection to send by."""
        return bool(int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLOUT)

    def expect(self, key: bytes, answer: Answer) -> None:
        """Give this future what comes under the key, until it is forgotten."""
        if not self._expected:
            self._loop.add_reader(self._descriptor, self.look)
        self._expected[key] = answer

    def send(self, key: bytes, body: bytes) -> None:
        """Send, as soon as there is room."""
        self._under_way.pop(key, None)  # an earlier try may have been lost, and would keep its room
        self._unsent[key] = body
        self.look()

    def forget(self, key: bytes) -> None:
        """Nobody waits for this one any more."""
        self._expected.pop(key, None)
        self._unsent.pop(key, None)
        self._under_way.pop(key, None)
        if not self._expected:
            self._rest()
        elif self._unsent:
            self.look()  # there may be room for one more

    def leave(self) -> None:
        """Close when nothing is expected any more."""
        self._left = True
        if not self._expected or self._loop.is_closed():
            self._rest()

    def look(self) -> None:
        """Receive all that is there, and send as many as may be under way once it is connected.

        Until nothing is left to do, since libzmq's descriptor tells of news, not of a state.
        """
        socket = self._socket
        while True:
            events = socket.getsockopt(zmq.EVENTS)
            assert isinstance(events, int)
            if events & zmq.POLLIN:
                self._deliver(socket.recv_multipart(zmq.NOBLOCK))
            elif events & zmq.POLLOUT and self._unsent and len(self._under_way) < MAX_UNDER_WAY:
                key = next(iter(self._unsent))
                socket.send_multipart([key, b"", self._unsent.pop(key)], zmq.NOBLOCK)
                self._under_way[key] = time.monotonic()
            else:
                return

    def _deliver(self, frames: list[bytes]) -> None:
        self.heard += 1
        self._fresh = False
        self._under_way.pop(frames[0], None)
        answer = self._expected.get(frames[0])
        if answer is not None and not answer.done():
            answer.set_result(frames[-1])

    def _rest(self) -> None:
        # In a process forked from the loop's, what is taken off its list is off that one's as well.
        if not self._loop.is_closed() and self._sockets.pid == os.getpid():
            self._loop.remove_reader(self._descriptor)
        if self._left:
            self._sockets.close(self._socket)


def _give_up(answer: Answer, lines: list[_Line]) -> None:
    try:
        for line in lines:
            if not answer.done():
                line.look()  # the loop itself may have been held up
    finally:  # whatever a socket says: who asked waits for this alone
        if not answer.done():
            answer.set_result(None)
