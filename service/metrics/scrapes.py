"""The HTTP side of the metrics: few connections at a time, none of which may last.

Its port knows no keys, and a connection costs a thread and a descriptor, which the scoring
socket needs as well: whoever opens many and says nothing, or little by little, loses them to
those who ask.
"""

from __future__ import annotations

import socket
import sys
import threading
from contextlib import suppress
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog

from service.clock import Clock

log = structlog.get_logger("scorer")

MOST_CONNECTIONS = 16
REQUEST_S = 5.0
"""A connection that has not asked and taken its answer by then is closed."""
ENDS_WITHIN_S = 1.0
"""The thread of one that was closed, as a rule at once; no other connection is taken meanwhile."""


class Handler(WSGIRequestHandler):
    """One connection; what it asks is nobody's business."""

    server: Server

    def parse_request(self) -> bool:
        """Read all of it; False where it is not answered."""
        return super().parse_request() and self.server.has_asked(self.connection)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


class Server(ThreadingMixIn, WSGIServer):
    """Listens at once. Raises OSError."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, host: str, port: int, clock: Clock) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._clock = clock
        self._lock = threading.Lock()
        self._due_s: dict[socket.socket, float] = {}
        self._silent: dict[socket.socket, None] = {}  # the oldest first
        self._room = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__((host, port), Handler)

    def server_bind(self) -> None:
        """Without looking the host's name up, for which a name server may be waited for long."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        """On a thread, where there is room or some can be made; else it is closed."""
        if not self._room.acquire(blocking=False) and not self._made_room():
            self.shutdown_request(request)
            return
        with self._lock:
            self._due_s[request] = self._clock.monotonic_s() + REQUEST_S
            self._silent[request] = None
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread was to be had, to make room when it ends
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The thread of one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def has_asked(self, request: socket.socket) -> bool:
        """Let nobody have its place; False where somebody has it already."""
        with self._lock:
            is_there = request in self._silent
            self._silent.pop(request, None)
        return is_there

    def _made_room(self) -> bool:
        """End the one that has not asked for longest; False where all have."""
        with self._lock:
            oldest = next(iter(self._silent), None)
            if oldest is None:
                return False
            del self._silent[oldest]
            _end(oldest)
        return self._room.acquire(timeout=ENDS_WITHIN_S)

    def service_actions(self) -> None:
        """Every half second: end what is overdue, whose thread then finds it closed."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            for request, due_s in self._due_s.items():
                if now_s >= due_s:
                    _end(request)

    def shutdown_request(self, request: Any) -> None:
        """Close it, as no more to be ended: its descriptor's number may soon be another's."""
        with self._lock:
            self._due_s.pop(request, None)
            self._silent.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """A connection that ended before its answer is none of ours."""
        log.debug("metrics connection ended", error=repr(sys.exc_info()[1]))


def _end(request: socket.socket) -> None:
    """Its thread finds it closed, and closes it."""
    with suppress(OSError):  # gone by itself
        request.shutdown(socket.SHUT_RDWR)
