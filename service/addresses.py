"""Which addresses may be bound, and who holds the path of an ipc one.

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

from service.errors import ConfigError
from service.locks import HeldError, hold

IPC, TCP = "ipc://", "tcp://"
LOCK_SUFFIX = ".lock"
MAX_IPC_PATH_BYTES = 107
"""What fits into sun_path of a socket's address, less its closing zero."""


class BindError(Exception):
    """An address that cannot be bound. The process that meets it ends with `exit_code`."""

    exit_code = 69  # EX_UNAVAILABLE of sysexits.h


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
    elif not protected and is_open(address):
        raise ConfigError(
            f"{address} can be reached from other machines without encryption or "
            "authentication; bind to 127.0.0.1, or make keys with `signal-scorer keygen "
            "--name CLIENT DIR` and set curve.server_secret_file and curve.clients_dir, or set "
            "score.allow_insecure = true if the network itself is trusted"
        )


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
        return hold(path.with_name(path.name + LOCK_SUFFIX))
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
    size = len(os.fsencode(name))
    if size > MAX_IPC_PATH_BYTES:
        raise ConfigError(
            f"{address}: the path has {size} bytes, a socket's address holds "
            f"{MAX_IPC_PATH_BYTES}; choose a shorter one, for example under /run"
        )


def _check_replaceable(path: Path) -> None:
    """A stale socket may go; anything else was put there for another purpose."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise BindError(f"{path} is there and is no socket: it is not replaced; move it away")
