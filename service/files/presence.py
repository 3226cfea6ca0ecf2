"""Whether something lies at a path, and of what kind: a no is said only where it is certain.

pathlib's own exists(), is_file(), is_dir() and is_socket() say no from Python 3.14 on also where
a folder or a disk does not let us look. A journal that is hidden from us would then pass for one
that was never made, and a backup go without it.
"""

from __future__ import annotations

import errno
import stat
from pathlib import Path

_NOTHING = (errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ELOOP)


def exists(path: Path) -> bool:
    """Whether anything is there, behind links. Raises OSError where that cannot be known."""
    return _mode(path) is not None


def is_file(path: Path) -> bool:
    """Whether a regular file is there, behind links. Raises OSError as `exists` does."""
    return stat.S_ISREG(_mode(path) or 0)


def is_dir(path: Path) -> bool:
    """Whether a folder is there, behind links. Raises OSError as `exists` does."""
    return stat.S_ISDIR(_mode(path) or 0)


def is_socket(path: Path) -> bool:
    """Whether a socket is there, behind links. Raises OSError as `exists` does."""
    return stat.S_ISSOCK(_mode(path) or 0)


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except OSError as error:
        if error.errno not in _NOTHING:
            raise
    except ValueError:
        pass  # no path has a NUL in it
    return None
