"""The asynchronous client's sockets: one for each call under way, bounded, of one event loop.

A call that is cancelled or not answered closes its socket: a REQ that waits for a reply
which nobody wants any more would give it to the next call.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import zmq
import zmq.asyncio

from protocol.connection import Sockets, no_answer
from protocol.home import Options
from protocol.questions import ScorerUnavailable, reply_to


class AllBusy(ScorerUnavailable):
    """More calls at a time than `max_sockets`; it says nothing about the service."""


class Pool:
    """The sockets of one loop. A slot holds an idle socket, or nothing until it is needed."""

    def __init__(self, sockets: Sockets[zmq.asyncio.Socket], options: Options, size: int) -> None:
        self._sockets = sockets
        self._options = options
        self._closed = False
        self._slots: asyncio.LifoQueue[zmq.asyncio.Socket | None] = asyncio.LifoQueue()
        for _ in range(size):
            self._slots.put_nowait(None)

    async def ask(self, body: bytes, request_id: int) -> dict[str, Any]:
        """The reply's map. Raises ScorerUnavailable once the budget of all tries is spent."""
        options = self._options
        deadline_s = time.monotonic() + options.budget_s
        socket = await self._slot()
        # Hardly any time to answer was left: no answer says nothing about the service.
        queued = deadline_s - time.monotonic() < options.budget_s / 2.0
        try:
            if time.monotonic() >= deadline_s:
                raise _all_busy(options.budget_s)
            for tries_left in range(options.tries, 0, -1):
                left_s = max(0.0, deadline_s - time.monotonic()) / tries_left
                socket = socket or self._open()
                asked = asyncio.ensure_future(_ask_once(socket, body, request_id))
                try:
                    reply = asked.result() if await _ended(asked, left_s) else None
                except zmq.ZMQError:
                    reply = None
                if reply is not None:
                    return reply
                self._sockets.close(socket)
                socket = None
        except BaseException:  # cancelled while it waited: the reply may still come
            if socket is not None:
                self._sockets.close(socket)
                socket = None
            raise
        finally:
            self._give_back(socket)
        if queued:
            raise _all_busy(options.budget_s)
        raise no_answer(options.endpoint, options.budget_s, options.tries)

    def close(self) -> None:
        """Close what is idle; what is in use is closed when it comes back."""
        self._closed = True
        if self._sockets.pid != os.getpid():
            return
        while not self._slots.empty():
            socket = self._slots.get_nowait()
            if socket is not None:
                self._sockets.close(socket)

    def __del__(self) -> None:
        self.close()

    async def _slot(self) -> zmq.asyncio.Socket | None:
        if not self._slots.empty():
            return self._slots.get_nowait()
        budget_s = self._options.budget_s
        waiting = asyncio.ensure_future(self._slots.get())
        try:
            if not await _ended(waiting, budget_s):
                raise _all_busy(budget_s)
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled():
                self._give_back(waiting.result())
            raise
        return waiting.result()

    def _open(self) -> zmq.asyncio.Socket:
        options = self._options
        return self._sockets.open(options.endpoint, options.curve)

    def _give_back(self, socket: zmq.asyncio.Socket | None) -> None:
        if self._closed and socket is not None:
            self._sockets.close(socket)
            socket = None
        self._slots.put_nowait(socket)


def _all_busy(budget_s: float) -> AllBusy:
    return AllBusy(f"no socket was free in time: {budget_s * 1000:.0f} ms for all of a call")


async def _ended(task: asyncio.Future[Any], within_s: float) -> bool:
    """Whether it ended in this time; otherwise, and where its caller is cancelled, it is cancelled.

    Not `wait_for`: before Python 3.12 that one swallows a cancellation which comes together
    with the result.
    """
    try:
        await asyncio.wait({task}, timeout=within_s)
        return task.done()
    finally:
        if not task.done():
            task.cancel()


async def _ask_once(
    socket: zmq.asyncio.Socket, body: bytes, request_id: int
) -> dict[str, Any] | None:
    await socket.send(body)
    return reply_to(await socket.recv(), request_id)
