"""The HTTP side of the metrics: few connections at a time, none of which may idle.

Its port knows no keys, and a connection costs a thread and a descriptor, which the scoring
socket needs as well: whoever opens many and says nothing is shut out.
"""

from __future__ import annotations

import socket
import sys
import threading
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog

log = structlog.get_logger("scorer")

MOST_CONNECTIONS = 16
IDLE_S = 5.0
"""A connection that says or takes nothing for so long is closed."""


class Handler(WSGIRequestHandler):
    """One connection; what it asks is nobody's business."""

    timeout = IDLE_S

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


class Server(ThreadingMixIn, WSGIServer):
    """Listens at once. Raises OSError."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, host: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._room = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__((host, port), Handler)

    def server_bind(self) -> None:
        """Without looking the host's name up, for which a name server may be waited for long."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        """On a thread, where there is room; else it is closed."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
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

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """A connection that ended before its answer is none of ours."""
        log.debug("metrics connection ended", error=repr(sys.exc_info()[1]))
