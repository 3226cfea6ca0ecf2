"""How the sockets are set, each option on purpose, and the advice where a bind fails.

Options hold for the binds that follow them, so one ROUTER takes plain peers at an ipc path and
encrypted ones at a TCP address: what needs no keys is bound first.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

import zmq

from protocol.connection import speak_family
from protocol.curve import CurveKeys, KeyFileError, KeyPair, read_public, read_secret
from protocol.limits import MAX_MESSAGE_BYTES
from service.config.settings import Config
from service.errors import ConfigError
from service.sockets import zap
from service.sockets.addresses import (
    IPC,
    BindError,
    check_address,
    claim,
    ipc_path,
    is_open,
    narrow_umask,
)

REQUEST_HWM = 64
"""Messages that may wait of one peer, each of up to a MiB: many hold what `MemoryMax` allows."""
REPLY_HWM = 4096
"""Replies that may wait for one peer: a burst is refused faster than a busy machine lets
libzmq's thread send, and each refusal is a reply that is owed."""
FEED_HWM = 100_000
"""A burst of this many ticks waits for us; beyond it a PUB drops for this subscriber."""
HANDSHAKE_MS = 5_000
"""A peer that opens a connection and says nothing is cut off after this."""

_NOT_OURS = "no interface of this machine has it. Set one that it has"
_ADVICE = {
    errno.EADDRINUSE: "is another service running there (`signal-scorer doctor` names it)? "
    "Stop it, or set another address",
    errno.EADDRNOTAVAIL: _NOT_OURS,
    errno.ENODEV: _NOT_OURS,
    errno.EACCES: "this user may not use that port. Set one from 1024 on",
}

Context = zmq.Context[zmq.Socket[bytes]]
Socket = zmq.Socket[bytes]


@dataclass(frozen=True, slots=True)
class Guard:
    """What stands between an address and its peers.

    With `pair`, TCP beyond loopback is encrypted, with `loopback` all TCP; `insecure` lets
    it be open without.
    """

    pair: KeyPair | None = None
    loopback: bool = False
    insecure: bool = False
    ipc_mode: int = 0o660

    def encrypts(self, address: str) -> bool:
        """Whether peers at this address need keys."""
        if self.pair is None or address.startswith(IPC):
            return False
        return self.loopback or is_open(address)


def guard(config: Config) -> Guard:
    """The guard that the configuration asks for. Raises ConfigError for unusable key files."""
    curve, score = config.curve, config.score
    pair = None
    if curve.server_secret_file:
        pair = _read_pair(config, "server_secret_file", curve.server_secret_file)
    elif curve.loopback:
        raise ConfigError(
            "curve.loopback wants curve.server_secret_file; `signal-scorer keygen` makes one"
        )
    return Guard(pair, curve.loopback, score.allow_insecure, int(score.ipc_mode, 8))


def feed_keys(config: Config) -> dict[str, CurveKeys]:
    """The keys for each feed endpoint that wants some. Raises ConfigError."""
    curve = config.curve
    unknown = sorted(curve.feed_keys.keys() - set(config.feed.endpoints))
    if unknown:
        raise ConfigError(f"curve.feed_keys names {unknown[0]}, which is not in feed.endpoints")
    if not curve.feed_keys:
        return {}
    if curve.feed_secret_file:
        own = _read_pair(config, "feed_secret_file", curve.feed_secret_file)
    else:
        own = KeyPair(*zmq.curve_keypair())
    try:
        return {
            endpoint: CurveKeys(read_public(config.path(file)), own)
            for endpoint, file in curve.feed_keys.items()
        }
    except KeyFileError as error:
        raise ConfigError(f"curve.feed_keys: {error}") from error


def zap_socket(context: Context) -> Socket:
    """The socket that libzmq asks about keys. It has to stand before anything is bound."""
    socket = context.socket(zmq.ROUTER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.bind(zap.ZAP_ADDRESS)
    return socket


def scoring_socket(
    context: Context, addresses: tuple[str, ...], guarded: Guard, locks: list[int]
) -> tuple[Socket, list[str]]:
    """A bound ROUTER and its addresses, wildcard ports resolved; locks of ipc paths are added.

    Raises ConfigError for an open address, BindError for a taken one.
    """
    for address in addresses:
        check_address(address, protected=guarded.insecure or guarded.encrypts(address))
    socket = context.socket(zmq.ROUTER)
    _common(socket, REQUEST_HWM)
    socket.setsockopt(zmq.SNDHWM, REPLY_HWM)
    # Without it libzmq drops in silence what a peer takes too slowly; with it the server counts.
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    # Replies that were accepted are worth half a second at the end.
    socket.setsockopt(zmq.LINGER, 500)
    resolved = {
        address: _bind(socket, address, guarded, locks)
        for address in sorted(addresses, key=guarded.encrypts)
    }
    return socket, [resolved[address] for address in addresses]


def feed_socket(context: Context, address: str, keys: CurveKeys | None) -> Socket:
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
    if keys is not None:
        keys.apply(socket)
    speak_family(socket, address)
    try:
        socket.connect(address)
    except zmq.ZMQError as error:
        raise ConfigError(
            f"feed.endpoints: cannot connect to {address}: {error}; "
            "write it like tcp://127.0.0.1:5560"
        ) from None
    return socket


def ingest_socket(context: Context, address: str, guarded: Guard, locks: list[int]) -> Socket:
    """A bound PULL, for callers that push ticks themselves. Raises like `scoring_socket`."""
    check_address(address, protected=guarded.insecure or guarded.encrypts(address))
    socket = context.socket(zmq.PULL)
    _common(socket, FEED_HWM)
    socket.setsockopt(zmq.LINGER, 0)
    _bind(socket, address, guarded, locks)
    return socket


def _bind(socket: Socket, address: str, guarded: Guard, locks: list[int]) -> str:
    """Bind, encrypted where it is due; returns the address with its port."""
    if address.startswith(IPC):
        _bind_ipc(socket, address, guarded.ipc_mode, locks)
        return address
    if guarded.encrypts(address):
        assert guarded.pair is not None
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, guarded.pair.secret)
        # Without a handler behind the domain nobody gets in, rather than anybody.
        socket.setsockopt(zmq.ZAP_DOMAIN, zap.DOMAIN)
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
    _bound(socket, address)
    endpoint = socket.getsockopt(zmq.LAST_ENDPOINT)
    assert isinstance(endpoint, bytes)
    return endpoint.decode().rstrip("\0")


def _bind_ipc(socket: Socket, address: str, mode: int, locks: list[int]) -> None:
    """Bind a path that no other process holds; a stale socket there is replaced."""
    path = ipc_path(address)
    locks.append(claim(path))
    with narrow_umask():
        _bound(socket, address)
    try:
        path.chmod(mode)
    except OSError as error:
        raise BindError(f"cannot set the mode of {path}: {error.strerror}") from None


def _bound(socket: Socket, address: str) -> None:
    speak_family(socket, address)
    try:
        socket.bind(address)
    except zmq.ZMQError as error:
        advice = _ADVICE.get(error.errno or 0, "Set another address")
        raise BindError(
            f"cannot bind {address}: {error.strerror}; {advice} (score.bind, feed.ingest)"
        ) from None


def _read_pair(config: Config, key: str, file: str) -> KeyPair:
    try:
        return read_secret(config.path(file))
    except KeyFileError as error:
        raise ConfigError(f"curve.{key}: {error}") from error


def _common(socket: Socket, hwm: int) -> None:
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
    socket.setsockopt(zmq.RCVHWM, hwm)
    socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
    # A peer that vanished without closing is noticed after 30 s instead of hours; one that has read
    # nothing for as long, until its queues were full, counts as vanished too, and loses what waits.
    # By the kernel, not by HEARTBEAT_IVL: libzmq 4.3.5 aborts the process where a heartbeat is due
    # to a peer that closed while its queue here was full.
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 10)
    socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 5)
    socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, 4)
    socket.setsockopt(zmq.TCP_MAXRT, 30_000)
