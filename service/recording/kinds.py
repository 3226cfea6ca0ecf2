"""The kinds of records: what goes into the engine, with the shapes and bounds of what follows."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from protocol.manifest import FileName, Time, Version
from protocol.messages import Mode

FORMAT_VERSION = 1

(HEADER, ENDPOINT, FRAME, ADVANCE, REQUEST, MODEL) = range(6)
(RESTORED, REMEMBERED, WRITTEN, MODE, STEPPED, RESUMED, NUMBERED) = range(6, 13)
"""Kinds of records; docs/recording.md lists what follows each."""

MAX_CONFIG_BYTES = 1 << 20
MAX_SNAPSHOT_BYTES = 1 << 20
MAX_FILES = 64
MAX_SIGNALS = 1 << 16
"""Of what a record unfolds: an empty list is a byte there and 64 in memory. The service writes some
KiB of a configuration and of a snapshot, a model's three files, and 16,384 signals."""

Files = Annotated[dict[FileName, bytes], Meta(max_length=MAX_FILES)]
SHAPES: dict[int, Any] = {
    HEADER: tuple[int, int, str, str, str, msgspec.Raw],
    ENDPOINT: tuple[int, int, str, bool],
    FRAME: tuple[int, int, float, bytes],
    ADVANCE: tuple[int, float],
    REQUEST: tuple[int, str, float, float, bytes],
    MODEL: tuple[int, Version | None, Time | None, Files | None],
    RESTORED: tuple[int, float, Annotated[bytes, Meta(max_length=MAX_SNAPSHOT_BYTES)]],
    REMEMBERED: tuple[int, str, float, bytes, bytes],
    WRITTEN: tuple[int, str],
    MODE: tuple[int, Mode],
    STEPPED: tuple[int, float],
    RESUMED: tuple[int, bytes, Annotated[list[str], Meta(max_length=MAX_SIGNALS)]],
    NUMBERED: tuple[int, int],
}
