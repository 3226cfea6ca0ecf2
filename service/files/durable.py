"""Writes that survive a power cut: content, then name, each flushed before the next step.

The rule: a name either leads to a whole file or does not exist. `step` is told of every
action just before it happens, so that a test can end the process at each of them. Whoever comes
into the folder may read what is written, whatever the umask: the trainer writes for the service.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from service.console import exit_codes
from service.files.locks import HeldError, hold

READABLE = 0o644
Step = Callable[[str], None]


def no_step(name: str) -> None:
    """Watch nothing."""


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Let an OSError of the block name the file: one of a full disk does not by itself, and one
    of a name in an open folder not wholly."""
    try:
        yield
    except OSError as error:
        if error.filename is None or not Path(str(error.filename)).is_absolute():
            error.filename = str(path)
            del error.filename2  # set to None, it would be shown
        raise


class Unflushed(OSError):  # noqa: N818  a state of things, not a fault
    """What was done stands, and a power cut may undo it, or what tells of it lacks it."""


class LockHeld(Exception):  # noqa: N818  a state of things, not a fault
    """Another trainer is at work on these models. The command ends with `exit_code`."""

    exit_code = exit_codes.TRY_LATER


class TrainerLock:
    """Context manager: one trainer at a time, by a lock on `.lock`. Raises LockHeld.

    `folder` is the folder where it is open already, and `descriptor` the lock's file.
    """

    def __init__(self, models_dir: Path, folder: int | None = None) -> None:
        self._path = models_dir / ".lock"
        self._folder = folder
        self.descriptor = -1

    def __enter__(self) -> TrainerLock:
        if self._folder is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        name = self._path if self._folder is None else Path(self._path.name)
        try:
            with named(self._path):
                self.descriptor = hold(name, 0o644, self._folder)
        except HeldError:
            raise LockHeld(f"another trainer holds {self._path}; let it finish") from None
        return self

    def __exit__(self, *_raised: object) -> None:
        os.close(self.descriptor)


def write_file(path: Path, content: bytes, step: Step = no_step) -> None:
    """Write a new file and flush it to the disk. Its name is not safe yet: `sync_directory`.

    What a crash left there goes, and a link that somebody put there is not followed.
    """
    step(f"open {path.name}")
    path.unlink(missing_ok=True)
    with named(path), path.open("xb") as file:
        # In two parts, so that a test can end the process with half a file written.
        half = len(content) // 2
        file.write(content[:half])
        file.flush()
        step(f"write {path.name}")
        file.write(content[half:])
        file.flush()
        os.fchmod(file.fileno(), READABLE)
        step(f"fsync {path.name}")
        os.fsync(file.fileno())


def sync_directory(path: Path, step: Step = no_step) -> None:
    """Flush the names in a directory to the disk."""
    step(f"fsync {path.name}/")
    with named(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_name(path: Path, step: Step = no_step) -> None:
    """Flush a name by which a change takes effect. Raises Unflushed."""
    try:
        sync_directory(path.parent, step)
    except OSError as error:
        text = f"{path.name} is changed, but a power cut may undo it: {error.strerror}"
        raise Unflushed(error.errno, text, error.filename) from None


def rename(source: Path, target: Path, step: Step = no_step) -> None:
    """Rename within a directory, replacing a file of that name at once, and flush the name."""
    step(f"rename {source.name}")
    source.rename(target)
    sync_directory(target.parent, step)


def append_line(path: Path, line: bytes, step: Step) -> None:
    """Append one line and flush it; a line that an earlier crash cut short stays alone."""
    step(f"append {path.name}")
    with named(path), path.open("ab+") as file:
        end = file.seek(0, os.SEEK_END)
        if end and os.pread(file.fileno(), 1, end - 1) != b"\n":
            line = b"\n" + line
        file.write(line + b"\n")
        file.flush()
        if not end:
            os.fchmod(file.fileno(), READABLE)
        os.fsync(file.fileno())
    if not end:
        sync_directory(path.parent, step)
