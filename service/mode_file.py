"""The mode that an operator commanded: one small file in the state directory.

Who may write there may command; there is no request for it on any socket. The file is the
command and its memory at once: the service looks at it ten times a second, and reads it again
at its next start. Without it the configuration's mode holds.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from protocol.messages import Mode
from service.errors import passes
from service.files.durable import sync_name
from service.files.regular import open_regular
from service.files.unfinished import beside, remove_dead

FILE_NAME = "mode.json"
MAX_BYTES = 4096
MAX_TEXT_CHARS = 200


class Command(msgspec.Struct, frozen=True):
    """The mode, who wanted it and when (UTC s)."""

    mode: Mode
    by: Annotated[str, Meta(max_length=MAX_TEXT_CHARS)] = ""
    at: float = 0.0


class Look(NamedTuple):
    """What a look found that is new: a command, its withdrawal (None), or why it is refused."""

    command: Command | None
    refused: str | None = None


def write(folder: Path, command: Command | None) -> None:
    """Command a mode, or with None withdraw the command. Raises OSError, Unflushed among them.

    All or nothing, and on disk when this returns: a crash leaves the old word or the new one.
    """
    path = folder / FILE_NAME
    remove_dead(folder, f".{FILE_NAME}")
    if command is None:
        folder.stat()  # nothing stands where that is not there, and nothing is withdrawn
        path.unlink(missing_ok=True)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        fresh = beside(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        try:
            with os.fdopen(os.open(fresh, flags, 0o644), "wb") as file:
                file.write(msgspec.json.encode(command) + b"\n")
                file.flush()
                # The service may be another user: it has to read what root wrote.
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
            fresh.replace(path)
        finally:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
    sync_name(path)


def read(folder: Path, owner: int | None = None) -> Command | None:
    """The command that stands, None without one. Raises ValueError for one that is refused.

    `owner` is the user that the service runs as, where that is not ours.
    """
    try:
        file = open_regular(folder / FILE_NAME)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    with file:
        _check_writer(os.fstat(file.fileno()), os.geteuid() if owner is None else owner)
        try:
            content = file.read(MAX_BYTES)
        except OSError as error:
            raise ValueError(f"cannot be read: {error.strerror}") from error
    try:
        return msgspec.json.decode(content, type=Command)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"is no command: {error}") from None


def _check_writer(status: os.stat_result, owner: int) -> None:
    if status.st_uid not in (0, owner):
        raise ValueError(f"belongs to user {status.st_uid}: only the service's or root commands")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ValueError("may be written by others; run `signal-scorer mode` to write it anew")


class ModeWatch:
    """Looks whether the command changed; `look` costs one stat where it did not."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / FILE_NAME
        self._seen: tuple[int, ...] | None = None

    def look(self) -> Look | None:
        """What is new since the last look; None where nothing is."""
        try:
            status = os.lstat(self._path)
        except FileNotFoundError:
            before, self._seen = self._seen, None
            return None if before is None else Look(None)
        except OSError:
            return None  # a folder that cannot be looked into takes no command back
        # Changing the owner or mode moves ctime, so that a refused file is looked at again.
        seen = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if seen == self._seen:
            return None
        try:
            found = Look(read(self._folder))
        except ValueError as error:
            if passes(error.__cause__):
                return None  # the machine's fault, not the command's: it is read again
            found = Look(None, f"{self._path} {error}"[:MAX_TEXT_CHARS])
        self._seen = seen
        return found

    def again(self) -> Look | None:
        """What stands, whether or not it was seen before.

        None where nobody can tell just now; then what is found later is new.
        """
        self._seen = ()
        return self.look()
