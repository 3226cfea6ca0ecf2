"""What Linux says of ports, locks, processes and permissions, read from /proc and never tried out.

A port that is bound or a lock that is taken to find out whether it is free could be what a
service misses that starts at that moment.
"""

from __future__ import annotations

import ctypes
import os
import socket
import stat
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from service.files import presence

PROC = Path("/proc")
READ, WRITE, ENTER = 4, 2, 1
LISTEN = "0A"
TIME_ERROR = 5
MOUNT = "have it mounted for writing; dmesg says whether the kernel took it back for a fault"
"""What to do about a disk that is read-only."""
_TIMEX_BYTES = 256


class Process(NamedTuple):
    """A process; `name` is its command line's beginning, `uid` its user."""

    pid: int
    uid: int
    name: str


class Lock(NamedTuple):
    """A file lock that a process holds, on bytes `first` to `last` (empty: to the end)."""

    kind: str
    pid: int
    first: str
    last: str


def process(pid: int) -> Process | None:
    """What is known of a process; None where it is gone."""
    try:
        uid = (PROC / str(pid)).stat().st_uid
        words = (PROC / str(pid) / "cmdline").read_bytes().decode("utf-8", "replace")
    except OSError:
        return None
    return Process(pid, uid, " ".join(words.split("\0"))[:60].strip() or "a process")


def listener(host: str, port: int, *, in_the_way: bool = False) -> Process | None:
    """Who listens on a port of an address, also by listening on all; `in_the_way` of one that
    means all, also at any one of those.

    A process whose descriptors may not be read is named by pid 0.
    """
    inodes = _listening(host, port, in_the_way=in_the_way)
    if not inodes:
        return None
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for folder in PROC.glob("[0-9]*/fd"):
        try:
            links = {_target(link) for link in folder.iterdir()}
        except OSError:
            continue
        if links & wanted:
            found = process(int(folder.parent.name))
            if found is not None:
                return found
    return Process(0, -1, "a process of another user")


def locks(path: Path) -> list[Lock]:
    """The locks on a file, by any process that may be seen."""
    try:
        status = path.stat()
        lines = (PROC / "locks").read_text().splitlines()
    except OSError:
        return []
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    found = []
    for line in lines:
        words = line.split()
        # A lock that is waited for has an arrow in front of its kind.
        if len(words) == 8 and words[5] == place:
            found.append(Lock(f"{words[1]} {words[3]}", int(words[4]), words[6], words[7]))
    return found


def allows(path: Path, uid: int, wanted: int) -> bool:
    """Whether a user has `wanted` of the path itself, whatever the folders above say."""
    try:
        status = path.stat()
    except OSError:
        return False
    if uid == 0:
        return True
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid == uid:
        return mode >> 6 & wanted == wanted
    if status.st_gid in _groups(uid):
        return mode >> 3 & wanted == wanted
    return mode & wanted == wanted


def obstacle(path: Path, uid: int, wanted: int) -> Path | None:
    """What keeps a user from `wanted` (READ, WRITE, ENTER) on a path; None where nothing does.

    The path itself, or the first folder that it may not pass through.
    """
    for folder in reversed(path.absolute().parents):
        if not allows(folder, uid, ENTER):
            return folder
    return None if allows(path, uid, wanted) else path


def through(path: Path, uid: int, advice: str = "") -> str:
    """The advice, behind what lets a user pass the folders above a path that keep it out.

    None of it where a link is on the way that `unless_linked` knows."""
    closed = [
        quote(str(folder))
        for folder in reversed(path.absolute().parents)
        if presence.exists(folder) and not allows(folder, uid, ENTER)
    ]
    steps = [f"chmod a+x {' '.join(closed)}"] if closed else []
    return unless_linked(path, " && ".join([*steps, advice] if advice else steps))


def unless_linked(path: Path, advice: str) -> str:
    """The advice, a chmod or chown of a path, unless a link is on the way, or itself, that is not
    root's: who made it chose what root would open or give away."""
    path = path.absolute()
    for at in (path, *path.parents):
        if at.is_symlink() and at.lstat().st_uid != 0:
            return (
                f"{at} is a link, and not root's, look first where it leads: ls -l {quote(str(at))}"
            )
    return advice


def nearest_there(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    path = path.absolute()
    while not presence.exists(path) and path != path.parent:
        path = path.parent
    return path


def dangling(path: Path) -> Path | None:
    """The link on the way to it, or itself, that leads to nothing, as where a disk is missing."""
    steps = (path, *path.parents)
    return next((at for at in steps if at.is_symlink() and not presence.exists(at)), None)


def read_only(path: Path) -> bool:
    """Whether its disk is mounted, or was made by the kernel, so that nobody may write there."""
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return True
    # Under a newer Linux ext4 keeps its flag after a fault, and this option alone tells.
    device = path.stat().st_dev
    place = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = (PROC / "self" / "mountinfo").read_text(errors="replace").split("\n")
    except OSError:
        return False
    options = [line.split()[-1].split(",") for line in mounts if line.split()[2:3] == [place]]
    return any("emergency_ro" in one for one in options)


def others_may_write(path: Path) -> bool:
    """Whether any user of the machine may change it. A sticky folder keeps files apart."""
    mode = path.stat().st_mode
    return bool(mode & stat.S_IWOTH) and not mode & stat.S_ISVTX


def mode_text(path: Path) -> str:
    """The mode as chmod takes it."""
    return f"{stat.S_IMODE(path.stat().st_mode):04o}"


def clock_is_synchronised() -> bool | None:
    """Whether something keeps the clock right, as the kernel was told; None: not known."""
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes = 0: nothing is set
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(timex)
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != TIME_ERROR


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # closed meanwhile
        return ""


def _groups(uid: int) -> frozenset[int]:
    import pwd

    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return frozenset()
    return frozenset(os.getgrouplist(entry.pw_name, entry.pw_gid))


def _listening(host: str, port: int, *, in_the_way: bool) -> set[str]:
    """Inodes of the sockets that take connections to this address."""
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        infos = []
    addresses = {str(info[4][0]) for info in infos}
    found = set()
    for name in ("tcp", "tcp6"):
        try:
            lines = (PROC / "net" / name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            local, _, local_port = words[1].partition(":")
            if words[3] != LISTEN or int(local_port, 16) != port:
                continue
            there = _address(local)
            # What listens at ::1 alone is in the way of [::], and of 0.0.0.0 not.
            meant = in_the_way and (":" in host or "." in there)
            if meant or there in addresses or not there.strip("0.:"):
                found.add(words[9])
    return found


def _address(text: str) -> str:
    """An address of /proc/net/tcp: words of four bytes in the machine's order."""
    words = bytes.fromhex(text)
    ordered = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
    family = socket.AF_INET if len(ordered) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, ordered)
