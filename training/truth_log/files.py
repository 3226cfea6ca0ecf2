"""Lines of plain and gzipped logs, streamed: one bounded line in memory at a time."""

from __future__ import annotations

import codecs
import errno
import gzip
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from service.files import presence
from service.files.regular import open_regular
from service.files.rotated import INNER

MAX_LINE_BYTES = 256 * 1024
MAX_UNPACKED_BYTES = 4 << 30
"""Of a packed file: years of a busy log. One made to be large takes a thousandth on the disk."""
SHORT_LINE_BYTES = 128
"""As so many a shorter line counts there: each takes its time, and hardly one of a trade is."""
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_KEPT = "[._](?:old|bak|orig)"
MOVED = (
    "gone, cut or replaced since reading began, as after a rotation: what was there may not have "
    "been read; the next run reads it"
)
UNPACKS_TO_TOO_MUCH = (
    f"unpacks to more than {MAX_UNPACKED_BYTES >> 30} GiB, where a short line counts as "
    f"{SHORT_LINE_BYTES} bytes; what came before was read. No log is so large: look who put it "
    "there. If it is one all the same, unpack it"
)
PICKLED = (
    "a pickled model, which is refused unread: opening one runs whatever code it holds. What it "
    "was trained on is in ml_training_data.jsonl: give that with --truth-log and train anew"
)


def lines_of(path: Path, problem: Callable[[str], None]) -> Iterator[bytes | None]:
    """Each line with its newline; None for one over MAX_LINE_BYTES. Never raises.

    What is wrong with the file itself is told to `problem` in words; the lines before it
    count. A last line without its newline is given as it is, and a byte order mark left out.
    """
    try:
        if is_pickle(path):
            problem(f"{path}: {PICKLED}")
            return
        if head_of(path) in UTF_16:
            problem(f"{path}: is UTF-16, as PowerShell's > writes, and not UTF-8")
            return
        with _open(path) as stream:
            while line := stream.readline(MAX_LINE_BYTES + 1):
                if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
                    while (rest := stream.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                        pass
                    yield None
                else:
                    # As programs on Windows begin a file, and so each of several put together.
                    yield line.removeprefix(codecs.BOM_UTF8)
    except EOFError:
        problem(f"{path}: the compressed file ends early; what came before was read")
    except zlib.error as error:
        problem(f"{path}: damaged compression ({error}); what came before was read")
    except OSError as error:
        problem(f"{path}: {error.strerror or error}")


def is_pickle(path: Path) -> bool:
    """Whether a file says that it is one: by its name, or its first two bytes. Raises OSError."""
    if path.suffix in (".pkl", ".pickle", ".joblib"):
        return True
    head = head_of(path)
    return head[:1] == b"\x80" and head[1:] in (b"\x02", b"\x03", b"\x04", b"\x05")


def head_of(path: Path) -> bytes:
    """A file's first two bytes. Raises OSError."""
    with _regular(path) as probe:
        return probe.read(2)


class Seen(NamedTuple):
    """Which file bore a name, by device and inode, and its size in bytes."""

    file: tuple[int, int]
    size: int

    @classmethod
    def of(cls, path: Path) -> Seen | None:
        """What bears the name now; None where nothing can be seen. Never raises."""
        try:
            found = path.stat()
        except (OSError, ValueError):
            return None
        return cls((found.st_dev, found.st_ino), found.st_size)

    def is_moved(self, now: Seen | None) -> bool:
        """Whether what bears the name now is not all that bore it."""
        return now is None or now.file != self.file or self.is_cut(now)

    def is_cut(self, now: Seen | None) -> bool:
        """Whether it is the same file and shorter, as `copytruncate` leaves one."""
        return now is not None and now.file == self.file and now.size < self.size


def unread_beside(path: Path, read: Iterable[Path]) -> str:
    """Which parts of a log, packed otherwise or renamed, are none of those `read`; else nothing.

    Or why that cannot be told.
    """
    name, stem, suffix = map(re.escape, (path.name, path.stem, path.suffix))
    packed = rf"(?:{name}(?:[.-]\d[\d-]*)?|{stem}(?:{INNER}){suffix})\.(?:xz|zst|bz2)"
    looks = re.compile(rf"{packed}|{name}{_KEPT}|{stem}{_KEPT}{suffix}")
    try:
        beside = set(path.parent.iterdir()).difference(read)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        return (
            f"{path}: its folder cannot be listed ({error.strerror}): rotated parts are not found"
        )
    found = (other for other in beside if looks.fullmatch(other.name))
    names = sorted(other.name for other in found if _is_file(other))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{path}: beside it, not read: {', '.join(names[:3])}{more}" if names else ""


def _is_file(path: Path) -> bool:
    """Also where it may not be looked at: there is something, and it is not read."""
    try:
        return presence.is_file(path)
    except OSError:
        return True


def _regular(path: Path) -> BinaryIO:
    # A writer may keep its log elsewhere, so a link is followed; a pipe would never end.
    return open_regular(Path(os.path.realpath(path)))


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO | gzip.GzipFile]:
    with _regular(path) as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not packed:
            yield raw
            return
        with _Unpacked(fileobj=raw) as unpacked:
            yield unpacked


class _Unpacked(gzip.GzipFile):
    """Of which lines are read up to a limit: some KiB may unpack to what takes hours."""

    read_bytes = 0

    def readline(self, size: int | None = -1) -> bytes:
        """The next line, or so much of it. Raises OSError beyond the limit."""
        line = super().readline(size)
        self.read_bytes += max(len(line), SHORT_LINE_BYTES)
        if self.read_bytes > MAX_UNPACKED_BYTES:
            raise OSError(errno.EFBIG, UNPACKS_TO_TOO_MUCH)
        return line
