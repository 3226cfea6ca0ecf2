"""One REQ socket that keeps a budget: Lazy Pirate. Its options are the same for every client.

A REQ without its reply is stuck, so each further try opens a fresh one; an answer to an earlier
try counts as long as there is budget. Then those are closed, which drops what is later.
"""

from __future__ import annotations

import os
import re
import select
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import zmq

from protocol.curve import CurveKeys
from protocol.limits import MAX_MESSAGE_BYTES
from protocol.questions import ScorerUnavailable, reply_to

CONNECTING_S = 0.5
"""So long a connection may be in the making, over several calls; then it is begun anew."""

_READABLE, _WRITABLE = int(zmq.POLLIN), int(zmq.POLLOUT)
"""As numbers: with a flag of an enumeration, comparing takes most of a microsecond."""

_ENDPOINT = re.compile(r"tcp://[^\s*;,/]+:(\d{1,5})|ipc://(?!.*,(?:tcp|ipc)://).+")


def check_endpoint(endpoint: str) -> str:
    """The endpoint itself. Raises ValueError for what cannot be connected to."""
    found = _ENDPOINT.fullmatch(endpoint) if isinstance(endpoint, str) else None
    if found is None or (found[1] is not None and not 1 <= int(found[1]) <= 65_535):
        raise ValueError(f"{endpoint!r} is no endpoint; for example tcp://127.0.0.1:5561")
    return endpoint


def speak_family(socket: zmq.Socket[bytes], address: str) -> None:
    """Let what is bound or connected next speak IPv6, where the address is one.

    Always on, `localhost` would no longer be the 127.0.0.1 that others listen on.
    """
    socket.setsockopt(zmq.IPV6, int(address.count(":") > 2))


def connected(
    socket: zmq.Socket[bytes], endpoint: str, curve: CurveKeys | None
) -> zmq.Socket[bytes]:
    """Set a fresh socket's options and connect it, encrypted where there are keys."""
    socket.setsockopt(zmq.LINGER, 0)
    # Without a connection a message waits in our budget, not in a queue for later.
    socket.setsockopt(zmq.IMMEDIATE, 1)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
    socket.setsockopt(zmq.RECONNECT_IVL, 20)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
    speak_family(socket, endpoint)
    try:
        if curve is not None:
            curve.apply(socket)
        socket.connect(endpoint)
    except zmq.ZMQError:
        socket.close()
        raise
    return socket


def end(context: zmq.Context[zmq.Socket[bytes]]) -> None:
    """End a context, whose sockets are closed, on a thread of its own.

    It waits for libzmq's thread, which may wait for a resolver; and whoever drops a client, or
    happens to collect its garbage, must not, unless no thread is to be had.
    """
    try:
        threading.Thread(target=context.term, name="scorer-end", daemon=True).start()
    except RuntimeError:  # no thread is to be had, as while some interpreters end
        context.term()


class Sockets:
    """The sockets of one context and one process, each known until it is closed.

    The context itself knows its sockets by weak references. Those are gone when the garbage
    collector takes a client apart, and ending a context waits for ever for a socket that is open.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._known: set[zmq.Socket[bytes]] = set()

    def open(self, kind: int, endpoint: str, curve: CurveKeys | None) -> zmq.Socket[bytes]:
        """A fresh socket, connected. Raises zmq.ZMQError."""
        socket = connected(self._context.socket(kind), endpoint, curve)
        self._known.add(socket)
        return socket

    def close(self, socket: zmq.Socket[bytes]) -> None:
        """Close one, unless it belongs to the process that this one was forked from."""
        if self.pid == os.getpid():
            self._known.discard(socket)
            socket.close()

    def end(self) -> None:
        """Close all of them and their context, likewise."""
        if self.pid == os.getpid():
            while self._known:
                self._known.pop().close()
            end(self._context)


class Connection:
    """A thread's socket; it is closed when its thread is gone."""

    def __init__(
        self,
        sockets: Sockets,
        endpoint: str,
        curve: CurveKeys | None,
    ) -> None:
        """Raises zmq.ZMQError, for example where no descriptor is left."""
        self._sockets = sockets
        self._endpoint = endpoint
        self._curve = curve
        self._fresh = False
        self._socket = self._open()

    def ask(self, body: bytes, request_id: int, budget_s: float, tries: int) -> dict[str, Any]:
        """The reply's map. Raises ScorerUnavailable once the budget of all tries is spent."""
        deadline_s = time.monotonic() + budget_s
        earlier: list[zmq.Socket[bytes]] = []
        try:
            if self._socket.closed:  # no other could be opened in its place
                self._socket = self._open()
            # While it connects, another would only have to begin anew. Without a connection nothing
            # is sent: the budget is spent, and the next call may find it connected.
            if self._fresh and not _ready([(self._socket, _WRITABLE)], deadline_s):
                tries = 0
                if time.monotonic() - self._opened_s >= CONNECTING_S:
                    earlier.append(self._socket)
                    self._socket = self._open()
            else:
                self._fresh = False
            for tries_left in range(tries, 0, -1):
                now_s = time.monotonic()
                until_s = now_s + max(0.0, deadline_s - now_s) / tries_left
                reply = self._try_once(body, request_id, until_s, earlier)
                if reply is not None:
                    return reply
                earlier.append(self._socket)
                self._socket = self._open()
        except zmq.ZMQError as error:
            raise no_socket(self._endpoint, error) from None
        except BaseException:  # interrupted while it waited: the reply may still come
            earlier.append(self._socket)
            with suppress(zmq.ZMQError):
                self._socket = self._open()
            raise
        finally:
            for socket in earlier:
                self._sockets.close(socket)
        raise no_answer(self._endpoint, self._curve, budget_s)

    def close(self) -> None:
        """Close the socket, unless it belongs to the process that this one was forked from."""
        self._sockets.close(self._socket)

    def __del__(self) -> None:
        if hasattr(self, "_socket"):
            self.close()

    def _open(self) -> zmq.Socket[bytes]:
        socket = self._sockets.open(zmq.REQ, self._endpoint, self._curve)
        self._fresh, self._opened_s = True, time.monotonic()
        return socket

    def _try_once(
        self,
        body: bytes,
        request_id: int,
        until_s: float,
        earlier: list[zmq.Socket[bytes]],
    ) -> dict[str, Any] | None:
        """The reply, which may as well be to an earlier try; None where it is time for another."""
        sent = False
        try:
            while True:
                sent = sent or _sent(self._socket, body)
                watched = [(self._socket, _READABLE if sent else _WRITABLE)]
                ready = _ready(watched + [(socket, _READABLE) for socket in earlier], until_s)
                for socket in ready:
                    if not sent and socket is self._socket:
                        continue
                    reply = reply_to(socket.recv(zmq.NOBLOCK), request_id)
                    if socket is self._socket:
                        return reply
                    if reply is not None:
                        earlier.remove(socket)  # free again, while the present one still waits
                        earlier.append(self._socket)
                        self._socket = socket
                        return reply
                if not ready or time.monotonic() >= until_s:
                    return None
        except zmq.ZMQError:
            return None


def no_answer(endpoint: str, curve: CurveKeys | None, budget_s: float) -> ScorerUnavailable:
    """What is said when the budget is spent."""
    advice = "is signal-scorer running?"
    if curve is not None:  # which gives no reason
        advice += (
            " One that runs is silent to keys that are not on its list (its log names them), and "
            "to any key where it asks for none: at ipc and, unless curve.loopback is true, where "
            "its score.bind names an address of its own machine; give none there"
        )
    elif endpoint.startswith("tcp"):
        advice = "is signal-scorer running, and does that address ask for keys?"
    if _closed_to_us(endpoint):
        advice = (
            "this user may not use that socket: put it into the socket's group, and log in anew"
        )
    return ScorerUnavailable(f"{endpoint} did not answer within {budget_s * 1000:.0f} ms; {advice}")


def not_asked(endpoint: str) -> ScorerUnavailable:
    """What is said while the circuit is open."""
    return ScorerUnavailable(
        f"{endpoint} did not answer before and was not asked again; it is being probed"
    )


def no_socket(endpoint: str, error: zmq.ZMQError) -> ScorerUnavailable:
    """What is said where the system gives no socket."""
    return ScorerUnavailable(f"no socket to {endpoint}: {error}")


def _closed_to_us(endpoint: str) -> bool:
    """Whether an ipc path is there and not for this user; libzmq only ever says nothing."""
    scheme, _, path = endpoint.partition("://")
    if scheme != "ipc":
        return False
    try:
        os.stat(path)  # noqa: PTH116  Path.exists raises in some versions and not in others
    except PermissionError:
        return True
    except OSError:
        return False
    return not os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _sent(socket: zmq.Socket[bytes], body: bytes) -> bool:
    try:
        socket.send(body, zmq.NOBLOCK)
    except zmq.Again:
        return False
    return True


def _ready(
    watched: Sequence[tuple[zmq.Socket[bytes], int]], until_s: float
) -> list[zmq.Socket[bytes]]:
    """Those that are ready for what they are watched for, as soon as one is; none at that time.

    The system's poll keeps its time whatever signals are caught. pyzmq's begins anew with each,
    which made a second of 50 ms.
    """
    news = None
    while True:
        # A descriptor of libzmq's tells of news, not of a state: the state is asked as well.
        ready = [one for one, wanted in watched if int(one.getsockopt(zmq.EVENTS)) & wanted]
        left_s = until_s - time.monotonic()
        if ready or left_s <= 0.0:
            return ready
        if news is None:
            news = select.poll()
            for one, _ in watched:
                news.register(int(one.getsockopt(zmq.FD)), select.POLLIN)
        news.poll(left_s * 1000.0)
