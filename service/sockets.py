"""How the sockets are set, each option on purpose, and the advice where a bind fails.

Here and in `server` and `replay` alone is zmq imported.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path

import zmq

from protocol.limits import MAX_MESSAGE_BYTES
from service.errors import ConfigError

REQUEST_HWM = 1024
FEED_HWM = 100_000
"""A burst of this many ticks waits for us; beyond it a PUB drops for this subscriber."""


class BindError(Exception):
    """An address that cannot be bound. The process that meets it ends with `exit_code`."""

    exit_code = 69  # EX_UNAVAILABLE of sysexits.h


def scoring_socket(
    context: zmq.Context[zmq.Socket[bytes]], addresses: tuple[str, ...], *, allow_insecure: bool
) -> zmq.Socket[bytes]:
    """A bound ROUTER. Raises ConfigError for an open address, BindError for a taken one."""
    socket = context.socket(zmq.ROUTER)
    _common(socket, REQUEST_HWM)
    # Replies that were accepted are worth half a second at the end.
    socket.setsockopt(zmq.LINGER, 500)
    for address in addresses:
        check_address(address, allow_insecure=allow_insecure)
        bind(socket, address)
    return socket


def feed_socket(context: zmq.Context[zmq.Socket[bytes]], address: str) -> zmq.Socket[bytes]:
    """A SUB connected to one endpoint, for all messages. Raises ConfigError for no address.

    Never CONFLATE: it keeps one message for all symbols together. The empty prefix is
    subscribed, since filters match prefixes and the feed's vary.
    """
    socket = context.socket(zmq.SUB)
    _common(socket, FEED_HWM)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RECONNECT_IVL, 100)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 2000)
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    try:
        socket.connect(address)
    except zmq.ZMQError as error:
        raise ConfigError(
            f"feed.endpoints: cannot connect to {address}: {error}; "
            "write it like tcp://127.0.0.1:5560"
        ) from None
    return socket


def ingest_socket(
    context: zmq.Context[zmq.Socket[bytes]], address: str, *, allow_insecure: bool
) -> zmq.Socket[bytes]:
    """A bound PULL, for callers that push ticks themselves."""
    check_address(address, allow_insecure=allow_insecure)
    socket = context.socket(zmq.PULL)
    _common(socket, FEED_HWM)
    socket.setsockopt(zmq.LINGER, 0)
    bind(socket, address)
    return socket


def bind(socket: zmq.Socket[bytes], address: str) -> None:
    """Bind, or raise BindError with advice."""
    try:
        if address.startswith("ipc://"):
            Path(address[len("ipc://") :]).parent.mkdir(parents=True, exist_ok=True)
        socket.bind(address)
    except (zmq.ZMQError, OSError) as error:
        raise BindError(
            f"cannot bind {address}: {error}; is another service running there? "
            "Stop it, or set another address (score.bind, feed.ingest)"
        ) from None


def check_address(address: str, *, allow_insecure: bool) -> None:
    """Refuse a TCP address that other machines can reach and that nothing protects."""
    if not address.startswith(("tcp://", "ipc://")):
        raise ConfigError(
            f"{address!r} is no address to bind; write tcp://127.0.0.1:5561 or ipc://"
        )
    if allow_insecure or address.startswith("ipc://"):
        return
    host = address[len("tcp://") :].rpartition(":")[0].strip("[]")
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise ConfigError(
            f"{address} can be reached from other machines without encryption or "
            "authentication; bind to 127.0.0.1, or set score.allow_insecure = true if the "
            "network itself is trusted"
        )


def _common(socket: zmq.Socket[bytes], hwm: int) -> None:
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
    socket.setsockopt(zmq.RCVHWM, hwm)
    socket.setsockopt(zmq.SNDHWM, hwm)
    # A peer that vanished without closing is noticed after 30 s instead of hours.
    socket.setsockopt(zmq.HEARTBEAT_IVL, 10_000)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 30_000)
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
