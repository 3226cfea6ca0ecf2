"""What is being written and not whole yet lies beside its place, under a name with its process.

The rule: who began it finishes or removes it, and nobody else does while that process lives.
What a killed one left the next one removes.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

_NAME = re.compile(r"\..+\.incoming-([0-9]+)")


def beside(target: Path) -> Path:
    """Where this process writes what is to become `target`."""
    return target.with_name(f".{target.name}.incoming-{os.getpid()}")


def remove_dead(folder: Path, pattern: str = ".*") -> None:
    """Remove what processes that are gone left in a folder, as far as we may.

    To be called before anything is begun: what has our own number was another's.
    """
    with suppress(OSError):
        for path in folder.glob(f"{pattern}.incoming-*"):
            named = _NAME.fullmatch(path.name)
            if named is None or _lives(int(named.group(1))):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    return pid != os.getpid() and Path(f"/proc/{pid}").exists()


class _Terminated(BaseException):
    """SIGTERM came."""


@contextmanager
def undone_on_sigterm() -> Iterator[None]:
    """Let SIGTERM unwind what is inside, as Ctrl-C does; then it ends the process as ever."""

    def unwind(_number: int, _frame: FrameType | None) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    except _Terminated:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
