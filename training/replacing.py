"""Files that readers find whole: the new one or the old one, and never half of either.

The rule: only a regular file is replaced. Root's rename would take a device from the whole
machine, and a link from what it leads to. What waits for the rename has a name of its own process:
another one who writes there is not met, and no link that was put there is followed.
"""

from __future__ import annotations

import errno
import os
import stat
from glob import escape
from pathlib import Path

from service.files.durable import named
from service.files.unfinished import beside, remove_dead


class NotReplaced(OSError):  # noqa: N818  a state of things, not a fault
    """What lies there is no regular file."""


def may_replace(path: Path) -> None:
    """Raises NotReplaced where something lies there that is no regular file, be it a link."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISREG(mode):
        text = "is no regular file and is not replaced"
        raise NotReplaced(errno.EEXIST, text, str(path))


def replace(path: Path, content: bytes, mode: int | None = None) -> None:
    """Write a file by one rename; `mode` whatever the umask. Raises OSError, or NotReplaced."""
    may_replace(path)
    remove_dead(path.parent, f".{escape(path.name)}")
    scratch = beside(path)  # a name that Prometheus' node exporter passes over
    try:
        with named(path), scratch.open("xb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(content)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
