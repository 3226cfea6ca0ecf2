"""Rows that were promised and are not in the journal's tables yet, in a file beside it.

The rule: a row is in the file before its reply leaves, and goes only once a table has it. One
append costs a quarter of a commit, and rows that reach the tables together share pages.
Like a commit of the journal an append outlives the process, not a power cut.

A record is the length of its content (uint32, little endian), the content's CRC-32 (uint32)
and the content, msgpack. A record cut short by a kill was never promised; behind one that
has changed the next is looked for, since its length may be what has.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from service.files.regular import open_regular

MAX_BYTES = 256 << 20
"""Of a file that is read: far above what ever waits, far below what would hurt."""

MAX_ROW_BYTES = 2 << 20
"""More than the largest request and the largest reply take together."""

MOST_IN_VAIN_BYTES = 1 << 30
"""Of a file, to find sound records among damage: what reads as a length may do so at every byte.
A full spool of which every other record is damaged takes a part of it, and this about a second."""

_HEAD = struct.Struct("<II")
_RECORD = re.compile(rb"(?s)(?=..[\x00-\x20]\x00.{4}[\x90-\x9f\xdc\xdd])")
"""Where one may begin: a length up to MAX_ROW_BYTES, a checksum, and an array of msgpack's."""
_encode = msgspec.msgpack.Encoder().encode


class Damaged(Exception):  # noqa: N818  what it is, not what happened
    """A record is not what was written; `rows` are the others, each proven by its checksum."""

    def __init__(self, message: str, rows: list[list[Any]]) -> None:
        super().__init__(message)
        self.rows = rows


class Spool:
    """The file. `size_bytes` is what it holds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size_bytes = 0
        self._file: int | None = None

    def open(self) -> None:
        """Open or create the file. Raises OSError."""
        if self._file is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            self._file = os.open(self.path, flags, 0o640)
            self.size_bytes = os.fstat(self._file).st_size

    def append(self, rows: Sequence[Sequence[Any]]) -> None:
        """Add rows of values, all or none of them. Raises OSError."""
        assert self._file is not None
        records: list[bytes] = []
        for row in rows:
            content = _encode(row)
            records += (_HEAD.pack(len(content), zlib.crc32(content)), content)
        record = b"".join(records)
        try:
            if os.write(self._file, record) != len(record):
                raise OSError(f"{self.path}: the disk took only a part of a row")
        except OSError:
            os.ftruncate(self._file, self.size_bytes)
            raise
        self.size_bytes += len(record)

    def clear(self) -> None:
        """Forget all rows. Raises OSError."""
        if self._file is not None and self.size_bytes:
            os.ftruncate(self._file, 0)
            self.size_bytes = 0

    @property
    def is_in_place(self) -> bool:
        """Whether what is written goes where the next process looks for it."""
        if self._file is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._file), os.lstat(self.path))
        except OSError:
            return False

    def close(self, *, tidy: bool = False) -> None:
        """Close the file; `tidy` removes one without rows. What was never opened stays."""
        if self._file is None:
            return
        # A disk that refuses leaves an empty file, which says the same.
        with suppress(OSError):
            if tidy and not os.fstat(self._file).st_size and self.is_in_place:
                self.path.unlink()
        descriptor, self._file = self._file, None
        with suppress(OSError):
            os.close(descriptor)


def spool_path(journal: Path) -> Path:
    """Where a journal's rows wait."""
    return journal.with_name(journal.name + "-spool")


def read_spool(path: Path) -> list[list[Any]]:
    """The rows of a file, oldest first; none where there is no file.

    Raises Damaged where a record has changed, OSError where the file cannot be read
    or is a link or no regular file.
    """
    try:
        with open_regular(path) as file:
            content = file.read(MAX_BYTES)
    except FileNotFoundError:
        return []
    records = _Records(content)
    rows: list[list[Any]] = []
    at, damaged = 0, None
    while at < len(content):
        found = records.sound(at)
        if found is not None:
            row, at = found
            rows.append(row)
            continue
        following = records.next_after(at)
        if damaged is None and (following is not None or not _cut_short(content, at)):
            damaged = at
        if following is None:
            break
        at = following
    if damaged is not None:
        raise Damaged(f"{path}: the record at byte {damaged} is damaged", rows)
    return rows


class _Records:
    """The records of a file's content, and how many more bytes may be checksummed in vain."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._left = MOST_IN_VAIN_BYTES

    def sound(self, at: int) -> tuple[list[Any], int] | None:
        """The row of the record there and where that ends; None where it is not as written."""
        if _RECORD.match(self._content, at) is None:
            return None
        length, checksum = _HEAD.unpack_from(self._content, at)
        start, end = at + _HEAD.size, at + _HEAD.size + length
        if length > MAX_ROW_BYTES or end > len(self._content):
            return None
        content = self._content[start:end]
        row = _row(content) if zlib.crc32(content) == checksum else None
        if row is None:
            self._left -= length
            return None
        return row, end

    def next_after(self, damaged: int) -> int | None:
        """Where the next sound record begins: the length of the damaged one may be what is wrong.

        The end of the file where too much was looked at in vain: there may be one, unfound.
        """
        furthest = damaged + _HEAD.size + MAX_ROW_BYTES
        for found in _RECORD.finditer(self._content, damaged + 1, furthest + _HEAD.size + 1):
            if self._left <= 0:
                return len(self._content)
            if self.sound(found.start()):
                return found.start()
        return None


def _row(content: bytes) -> list[Any] | None:
    try:
        row = msgspec.msgpack.decode(content)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return row if type(row) is list else None


def _cut_short(content: bytes, at: int) -> bool:
    """Whether the rest may be the beginning of a record, whose reply was never sent."""
    left = len(content) - at
    if left < _HEAD.size:
        return True
    length, _ = _HEAD.unpack_from(content, at)
    return bool(length <= MAX_ROW_BYTES and left < _HEAD.size + length)
