"""Which addresses may be bound or connected to, and who holds the path of an ipc one.

An ipc path is held by a lock beside it, since libzmq replaces whatever file it finds there,
the socket of a running service included.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from service.config.settings import Config
from service.console import exit_codes
from service.errors import ConfigError
from service.files.locks import HeldError, hold, lock_of

K = TypeVar("K")

IPC, TCP = "ipc://", "tcp://"
EVERY_IPV4 = "0.0.0.0"  # noqa: S104  compared with, not bound to
MAX_PORT = 65_535
MAX_IPC_PATH_BYTES = 107
"""What fits into sun_path of a socket's address, less its closing zero."""


class BindError(Exception):
    """An address that cannot be bound. The process that meets it ends with `exit_code`."""

    exit_code = exit_codes.UNAVAILABLE


def is_loopback(address: str) -> bool:
    """Whether a TCP address can only be reached from this machine, as far as its text says."""
    host = address[len(TCP) :].rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # an interface's name, or * for all


def is_open(address: str) -> bool:
    """Whether other machines may reach it."""
    return address.startswith(TCP) and not is_loopback(address)


def askable(config: Config, keys: K | None) -> list[tuple[str, K | None]]:
    """The addresses of the service that can be asked from here, the local ones first.

    Each with the keys that it wants: where it wants none, who shows some gets no answer. What
    knows nothing of CURVE, as the defaults, says nothing of what another service wants.
    """
    knows = bool(config.curve.server_secret_file)
    addresses: list[tuple[str, K | None]] = []
    for bind in config.score.bind:
        if bind.startswith(IPC):
            addresses.append((bind, None))
        elif bind.startswith(TCP):
            host, _, port = bind[len(TCP) :].rpartition(":")
            guarded = knows and (config.curve.loopback or not is_loopback(bind))
            if port.isdigit() and (keys is not None or not guarded):
                local = host if host not in ("*", EVERY_IPV4) else "127.0.0.1"
                addresses.append((f"{TCP}{local}:{port}", keys if guarded or not knows else None))
    return addresses


def check_address(address: str, *, protected: bool) -> None:
    """Refuse what is no address and, unless it is protected, what other machines can reach.

    Raises ConfigError with advice.
    """
    if address.startswith(IPC):
        _check_ipc(address)
    elif not address.startswith(TCP):
        raise ConfigError(
            f"{address!r} is no address to bind; write tcp://127.0.0.1:5561 or ipc:///path"
        )
    elif not (is_wildcard(address) or _has_port(address)):
        raise ConfigError(
            f"{address} names no port from 1 to 65535; write tcp://HOST:PORT, or * for any"
        )
    elif not protected and is_open(address):
        raise ConfigError(
            f"{address} can be reached from other machines without encryption or "
            "authentication; bind to 127.0.0.1, or make keys with `signal-scorer keygen "
            "--name CLIENT DIR` and set curve.server_secret_file and curve.clients_dir, or set "
            "score.allow_insecure = true if the network itself is trusted"
        )


def check_endpoint(address: str) -> None:
    """Refuse what cannot be connected to. Raises ConfigError with advice."""
    if address.startswith(IPC) and len(address) > len(IPC):
        _check_path(address)
    elif not _has_port(address):
        raise ConfigError(
            f"cannot connect to {address!r}; write it like tcp://127.0.0.1:5560, the port being "
            "1 to 65535, or ipc:///path"
        )


def check_http(bind: str) -> None:
    """Refuse what metrics cannot be bound to. Raises ConfigError with advice."""
    host, colon, port = bind.rpartition(":")
    whole = colon and not {"/", "*"} & {*host} and (port == "0" or _is_port(port))
    if not whole:
        raise ConfigError(
            f"{bind!r} is no address; write it like 127.0.0.1:9461, the port being 1 to 65535, "
            "or leave it empty for none"
        )


def overlap(one: str, other: str) -> bool:
    """Whether two addresses are one place, however they are written: one alone can listen there."""
    if one.startswith(IPC) or other.startswith(IPC):
        return _path_of(one) == _path_of(other)
    (host, port), (another, number) = _place(one), _place(other)
    hosts = {host, another}
    return port == number and (
        len(hosts) == 1 or (EVERY_IPV4 in hosts and all(map(_is_local_ipv4, hosts)))
    )


def is_wildcard(address: str) -> bool:
    """Whether a TCP address leaves the port to the system."""
    host, _, port = address[len(TCP) :].rpartition(":")
    return address.startswith(TCP) and bool(host) and port in ("*", "0")


def ipc_path(address: str) -> Path:
    """The path of an ipc address."""
    return Path(address[len(IPC) :])


def claim(path: Path) -> int:
    """Lock an ipc path for this process and make its folder; returns the descriptor to keep.

    Closing it, or the end of the process however it comes, gives the path free. Raises
    BindError.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_replaceable(path)
        return hold(lock_of(path))
    except OSError as error:
        raise BindError(
            f"cannot claim ipc://{path}: {error}; is the folder writable for this user?"
        ) from None
    except HeldError as error:
        raise BindError(
            f"ipc://{path} is served by another process ({error.holder}); stop that one, or set "
            "another path in score.bind"
        ) from None


@contextlib.contextmanager
def narrow_umask() -> Iterator[None]:
    """Files made inside are their owner's alone, until their mode is set."""
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)


def _check_ipc(address: str) -> None:
    name = address[len(IPC) :]
    if not name or name.startswith(("@", "*")):
        raise ConfigError(
            f"{address!r}: write a path, ipc:///run/signal-scorer/score.sock; a name without a "
            "file has no permissions that could keep others out"
        )
    _check_path(address)


def _check_path(address: str) -> None:
    if address.startswith(f"{IPC}~"):
        raise ConfigError(f"{address}: ~ stands for no folder in an address; write the whole path")
    size = len(os.fsencode(address[len(IPC) :]))
    if size > MAX_IPC_PATH_BYTES:
        raise ConfigError(
            f"{address}: the path has {size} bytes, a socket's address holds "
            f"{MAX_IPC_PATH_BYTES}; choose a shorter one, for example under /run"
        )


def _has_port(address: str) -> bool:
    """Whether a TCP address is whole; libzmq takes 99999 for 34463, and 5561x for 5561."""
    host, _, port = address[len(TCP) :].rpartition(":")
    return address.startswith(TCP) and bool(host) and _is_port(port)


def _is_port(text: str) -> bool:
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else 0
    return 0 < number <= MAX_PORT


def _path_of(address: str) -> str | None:
    # By its text: what a link leads to may be another thing when it is bound.
    return os.path.abspath(address[len(IPC) :]) if address.startswith(IPC) else None  # noqa: PTH100


def _place(address: str) -> tuple[str, str]:
    """Host and port of a TCP address, as two that mean the same share them."""
    host, _, port = address[len(TCP) :].rpartition(":")
    host = {"": EVERY_IPV4, "*": EVERY_IPV4, "localhost": "127.0.0.1"}.get(host, host.strip("[]"))
    with contextlib.suppress(ValueError):
        host = str(ipaddress.ip_address(host))
    return host, port.lstrip("0")


def _is_local_ipv4(host: str) -> bool:
    return host == EVERY_IPV4 or host.startswith("127.")


def _check_replaceable(path: Path) -> None:
    """A stale socket may go; anything else was put there for another purpose."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise BindError(f"{path} is there and is no socket: it is not replaced; move it away")
