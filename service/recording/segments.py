"""Segments: every input of the engine, in order, so that it can be run again to the same bits.

A segment is a file of gzip members, each holding whole msgpack arrays `[kind, ...]`; what was
written before a crash stays readable, of the member that it cut off what is whole. The writer
copies into memory and a thread of its own compresses: the loop never waits for a disk. A
disk that cannot follow, or a run that fills its room, ends the recording rather than leaving a
hole in it or going on without its beginning.
"""

from __future__ import annotations

import gzip
import queue
import threading
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgpack
import msgspec

from service.console import exit_codes
from service.recording.kinds import HEADER, MAX_CONFIG_BYTES, SHAPES

CHUNK_BYTES = 256 * 1024
WAITING_CHUNKS = 64
MAX_RECORD_BYTES = 128 * 1024 * 1024

_DECODERS = {kind: msgspec.msgpack.Decoder(shape) for kind, shape in SHAPES.items()}


class RecordingError(Exception):
    """A segment that cannot be read; the text says which and why."""

    exit_code = exit_codes.NO_INPUT


class SegmentWriter:
    """Appends records; rotates by size, has earlier runs make room and ends where none is left.

    `segment_bytes` counts uncompressed bytes, `keep_bytes` the files of earlier segments.
    """

    def __init__(self, folder: Path, run_id: str, *, segment_bytes: int, keep_bytes: int) -> None:
        self.fault: str | None = None
        self.records = 0
        self._folder = folder
        self._run_id = run_id
        self._segment_bytes = segment_bytes
        self._keep_bytes = keep_bytes
        self._packer = msgpack.Packer(autoreset=False)
        self._chunks: queue.Queue[bytes | None] = queue.Queue(WAITING_CHUNKS)
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._thread.start()

    def append(self, record: Sequence[Any]) -> None:
        """Add one record. Never blocks and never raises; after a fault it does nothing."""
        if self.fault is not None:
            return
        self._packer.pack(record)
        self.records += 1
        if self._packer.getbuffer().nbytes >= CHUNK_BYTES:
            self._hand_over()

    def flush(self) -> None:
        """Hand what was appended to the thread."""
        if self.fault is None and self._packer.getbuffer().nbytes:
            self._hand_over()

    def close(self) -> None:
        """Write all that was appended and end the thread."""
        self.flush()
        self._chunks.put(None)
        self._thread.join()

    def _hand_over(self) -> None:
        chunk = self._packer.bytes()
        self._packer.reset()
        try:
            self._chunks.put_nowait(chunk)
        except queue.Full:
            self.fault = "the disk does not keep up; the recording ended"

    def _write(self) -> None:
        number, size, path = 0, self._segment_bytes, Path()
        while (chunk := self._chunks.get()) is not None:
            if self.fault is not None:
                continue
            try:
                if size >= self._segment_bytes:
                    number, size = number + 1, 0
                    path = self._folder / f"{self._run_id}-{number:06d}.rec.gz"
                    self._folder.mkdir(parents=True, exist_ok=True)
                    if not self._make_room():
                        self.fault = (
                            f"record.keep_bytes ({self._keep_bytes:,}) is full of this run; "
                            "the recording ended"
                        )
                        continue
                with path.open("ab") as file:
                    file.write(gzip.compress(chunk, compresslevel=1, mtime=0))
                size += len(chunk)
            except OSError as error:
                self.fault = f"{path}: {error.strerror}; the recording ended"

    def _make_room(self) -> bool:
        """Earlier runs go, the oldest first, until what stays fits; False where it does not.

        Each goes from its end, and this one not at all: without its beginning a run is lost.
        """
        runs = by_run(self._folder.glob("*.rec.gz"))
        total = sum(path.stat().st_size for segments in runs for path in segments)
        earlier = [segments for segments in runs if _run_of(segments[0]) != self._run_id]
        earlier.sort(key=lambda segments: segments[0].stat().st_mtime_ns)
        for path in (path for segments in earlier for path in reversed(segments)):
            if total <= self._keep_bytes:
                break
            total -= path.stat().st_size
            path.unlink()
        return total <= self._keep_bytes


def by_run(paths: Iterable[Path]) -> list[list[Path]]:
    """The segments (`RUN-NNNNNN.rec.gz`) of each run in order, the runs as they were named."""
    found: defaultdict[tuple[Path, str], list[Path]] = defaultdict(list)
    for path in paths:
        found[path.parent, _run_of(path)].append(path)
    return [sorted(segments) for segments in found.values()]


def _run_of(path: Path) -> str:
    return path.name.rpartition("-")[0]


def read_segments(paths: Sequence[Path]) -> Iterator[tuple[Any, ...]]:
    """The records of a run's segments, in order. Raises RecordingError.

    A last member that a crash cut off is read as far as it goes; damage anywhere else is an error.
    """
    for index, path in enumerate(paths):
        try:
            yield from _records(_blocks(path, is_last=index == len(paths) - 1))
        except (ValueError, msgpack.UnpackException, msgspec.MsgspecError) as error:
            raise RecordingError(f"{path} is no recording: {error}") from None


def _blocks(path: Path, *, is_last: bool) -> Iterator[bytes]:
    """What a segment holds, as it is decompressed. Raises RecordingError."""
    try:
        content = path.open("rb")
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}") from None
    with content, gzip.GzipFile(fileobj=content) as stream:
        while True:
            try:
                # Not `read`: it goes on until it has so much, and of an end that was cut off says
                # only that, whatever it had read before.
                block = stream.read1(CHUNK_BYTES)
            except (EOFError, OSError, zlib.error) as error:
                if is_last and isinstance(error, EOFError):
                    return
                raise RecordingError(f"{path} is damaged: {error}") from None
            if not block:
                return
            yield block


def _records(blocks: Iterable[bytes]) -> Iterator[tuple[Any, ...]]:
    """Each record, found whole before it is unpacked in the shape that its kind has."""
    ends = msgpack.Unpacker(max_buffer_size=MAX_RECORD_BYTES)
    waiting, begun = bytearray(), 0
    for block in blocks:
        ends.feed(block)
        waiting += block
        with suppress(msgpack.OutOfData):
            while True:
                ends.skip()
                length = ends.tell() - begun
                yield _record(bytes(waiting[:length]))
                del waiting[:length]
                begun += length


def _record(packed: bytes) -> tuple[Any, ...]:
    # A list of fewer than 16 and a kind below 128 are a byte each.
    decoder = _DECODERS.get(packed[1]) if 0x90 < packed[0] < 0xA0 else None
    if decoder is None:
        raise ValueError("a record is no list that begins with its kind")
    record: tuple[Any, ...] = decoder.decode(packed)
    if record[0] == HEADER and memoryview(record[-1]).nbytes > MAX_CONFIG_BYTES:
        raise ValueError(f"a configuration has more than {MAX_CONFIG_BYTES} bytes")
    return record
