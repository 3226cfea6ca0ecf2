"""Folders of other users that root works in: held open, and what is in them named from there.

The rule: whoever owns a folder can put a link to a folder of root's into it at any moment. So none
of his is followed, and owner and mode are set of what is open, never of a name. What has to be
written by a path root writes elsewhere.
"""

from __future__ import annotations

import errno
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from service.files import presence
from service.files.durable import named

_ON_THE_WAY = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LINKS = 40  # as many as the kernel follows


@contextmanager
def opened(path: Path, *, make: bool = False) -> Iterator[int]:
    """A folder's descriptor; with `make` it is made, for the owner of the one around it.

    Root gets there only by links of its own or of the folder's owner: one of anybody else would
    choose where root writes. Raises OSError.
    """
    with named(path):
        folder = _reached(path, make=make)
    try:
        yield folder
    finally:
        os.close(folder)


@contextmanager
def below(folder: int, path: Path) -> Iterator[int]:
    """The descriptor of a folder, and no link, by its name in an open one. Raises OSError."""
    with named(path):
        descriptor = os.open(path.name, _FOLDER, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def new_folder(folder: int, name: str, mode: int = 0o777) -> int:
    """Make a folder in an open one, where nothing may be yet; returns its descriptor."""
    os.mkdir(name, mode, dir_fd=folder)
    return os.open(name, _FOLDER, dir_fd=folder)


def without_links(path: Path) -> Path:
    """The same path without links, as far as it is there; `opened` follows them. Raises OSError."""
    there = next(at for at in (path, *path.parents) if presence.exists(at) or at.is_symlink())
    # Only a path that goes on behind it mounts a disk that is mounted on demand.
    with suppress(OSError):
        os.stat(f"{there}/.")  # noqa: PTH116  Path drops the dot
    with opened(there) as folder:
        return Path(f"/proc/self/fd/{folder}").readlink() / path.relative_to(there)


def make_unshared(path: Path) -> Path | None:
    """Make a folder and those above it, by a path without links. Root comes no further than to
    the first in which another user could exchange the next one, which is returned.

    Raises OSError.
    """
    for folder in reversed((path, *path.parents)):
        folder.mkdir(0o755, exist_ok=True)
        if os.geteuid() == 0 and _is_shared(folder):
            return folder
    return None


def _is_shared(folder: Path) -> bool:
    status = folder.lstat()
    # In a folder like /tmp others move nothing of root's.
    if status.st_uid != 0 or status.st_mode & stat.S_ISVTX:
        return status.st_uid != 0
    if status.st_mode & stat.S_IWOTH:
        return True
    # With a list of access, what the mode lets the group do it may let a user do.
    return bool(status.st_mode & stat.S_IWGRP) and (status.st_gid != 0 or _has_list(folder))


def _has_list(folder: Path) -> bool:
    try:
        return "system.posix_acl_access" in os.listxattr(folder)
    except OSError:  # a file system without
        return False


def give(descriptor: int, folder: int) -> None:
    """Let what root has open belong to the owner of an open folder."""
    if os.geteuid() == 0:
        status = os.fstat(folder)
        os.fchown(descriptor, status.st_uid, status.st_gid)


@contextmanager
def as_owner_of(folder: int) -> Iterator[None]:
    """Within the block root has the rights of an open folder's owner and no more, for what can be
    opened by its path alone. So have its other threads meanwhile. Raises OSError."""
    status = os.fstat(folder)
    if os.geteuid() != 0 or status.st_uid == 0:
        yield
        return
    group, groups = os.getegid(), os.getgroups()
    try:
        os.setgroups(_groups_of(status))
        os.setegid(status.st_gid)
        os.seteuid(status.st_uid)
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def is_kept_from_owner(folder: int) -> bool:
    """Whether a folder of somebody else's above it keeps an open folder's owner out: who comes by
    its path, and has no other way in as a container has, changes nothing in it. Raises OSError.
    """
    owner, above = os.fstat(folder).st_uid, Path(f"/proc/self/fd/{folder}").readlink().parents
    with as_owner_of(folder):
        closed = (at for at in reversed(above) if not os.access(at, os.X_OK, effective_ids=True))
        first = next(closed, None)
        return first is not None and first.stat().st_uid != owner


def _groups_of(status: os.stat_result) -> list[int]:
    try:
        user = pwd.getpwuid(status.st_uid)
    except KeyError:  # of another machine, or a container
        return [status.st_gid]
    return [status.st_gid, *os.getgrouplist(user.pw_name, user.pw_gid)]


def _reached(path: Path, *, make: bool) -> int:
    names = list(reversed(path.absolute().parts))
    links: list[int] = []
    own = len(names)  # so many are of the path itself, the others of what a link leads to
    at = os.open("/", _ON_THE_WAY)
    try:
        while names:
            name = names.pop()
            try:
                found = _next(at, name, links, make=make and len(names) < own)
            except FileNotFoundError:
                if len(names) < own:
                    raise
                text = (
                    "a link leads to what is not there; have that disk mounted, or make the folder"
                )
                raise OSError(errno.ENOENT, text) from None
            status = os.fstat(found)
            if not stat.S_ISLNK(status.st_mode):
                os.close(at)
                at = found
                continue
            links.append(status.st_uid)
            own = min(own, len(names))
            names += reversed(Path(os.readlink("", dir_fd=found)).parts)
            os.close(found)
            if len(links) > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        _refuse_others(links, at)
        return os.open(".", _FOLDER, dir_fd=at)
    finally:
        os.close(at)


def _next(at: int, name: str, links: list[int], *, make: bool) -> int:
    try:
        return os.open(name, _ON_THE_WAY, dir_fd=at)
    except FileNotFoundError:
        if not make:
            raise
    _refuse_others(links, at)
    made = new_folder(at, name)
    give(made, at)
    return made


def _refuse_others(links: list[int], folder: int) -> None:
    if os.geteuid() == 0 and not {0, os.fstat(folder).st_uid}.issuperset(links):
        raise OSError(
            errno.ELOOP,
            "a link leads there that is neither root's nor of the owner of what it leads to; "
            "if it is right: chown -h root LINK",
        )
