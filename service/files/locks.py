"""One process at a time for what two would spoil: a journal, an ipc path.

The lock is the kernel's (flock) and ends with the process however that ends. Its file stays:
one that was removed could be locked twice.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from pathlib import Path


class HeldError(Exception):
    """Another process has it; `holder` is its process id, as far as it said one."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"held by process {holder}")
        self.holder = holder


def lock_of(path: Path) -> Path:
    """The file whose lock stands for another's, which may come and go; it lies beside it."""
    return path.with_name(path.name + ".lock")


def hold(lock: Path, mode: int = 0o600, folder: int | None = None) -> int:
    """Lock a file, made with this mode where there is none; returns the descriptor that keeps it.

    By its name in a folder that is open, if one is.

    Raises HeldError, or OSError where the file cannot be made or locked.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(lock, flags, mode, dir_fd=folder)
    try:
        # A pipe can be locked, too, and who wants to read the holder's number from it waits.
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(lock))
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise HeldError(holder) from None
    except OSError:  # that, or a file system that knows no locks
        os.close(descriptor)
        raise
    # Who holds it is for people only, and a full disk has no room for it.
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor
