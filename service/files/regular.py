"""Files that are read without following where somebody may have put something else.

The rule: a link leads to no other file, and a pipe or a device keeps no reader waiting.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path, folder: int | None = None) -> BinaryIO:
    """A regular file and no link, for reading, by its name in a folder that is open, if one is.

    Raises OSError, which says what it is instead.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, dir_fd=folder)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise OSError(errno.ELOOP, "is a link, which is not followed", str(path)) from None
    # Of what was opened: the name may lead to something else by now.
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    return os.fdopen(descriptor, "rb")
