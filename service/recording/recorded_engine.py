"""An engine that writes down each of its inputs before it acts on it.

The same methods as `Engine`, nothing else: a recording holds what went in, and the engine
being deterministic, what came out can be had again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

import protocol
from protocol import messages
from protocol.manifest import MANIFEST_NAME
from protocol.schema import FINGERPRINT
from service.config.settings import Config
from service.engine import Answer, Engine
from service.features.state import SymbolSnapshot
from service.feed.symbol_feed import Endpoint
from service.files.regular import open_regular
from service.journal.records import PaperRow, Remembered, ScoreRow
from service.model.model import Model
from service.recording import kinds
from service.recording.segments import SegmentWriter

MAX_MODEL_BYTES = 64 << 20
"""Of all files of a recorded model together: they are held three times over while packed."""


class RecordedEngine(Engine):
    """Records, then does what `Engine` does. `writer.fault` says when recording ended."""

    def __init__(self, config: Config, run_id: str, writer: SegmentWriter) -> None:
        super().__init__(config, run_id)
        self.writer = writer
        self._endpoints: dict[str, int] = {}
        writer.append(
            (
                kinds.HEADER,
                kinds.FORMAT_VERSION,
                run_id,
                protocol.__version__,
                FINGERPRINT,
                msgspec.to_builtins(config),
            )
        )

    def endpoint(self, name: str, *, volume_is_deal: bool) -> Endpoint:
        """See Engine."""
        self._endpoints[name] = len(self._endpoints)
        self.writer.append((kinds.ENDPOINT, self._endpoints[name], name, volume_is_deal))
        return super().endpoint(name, volume_is_deal=volume_is_deal)

    def on_frame(self, endpoint: Endpoint, frame: bytes, receive_time_s: float) -> None:
        """See Engine."""
        self.writer.append((kinds.FRAME, self._endpoints[endpoint.name], receive_time_s, frame))
        super().on_frame(endpoint, frame, receive_time_s)

    def advance(self, receive_time_s: float) -> None:
        """See Engine."""
        self.writer.append((kinds.ADVANCE, receive_time_s))
        super().advance(receive_time_s)

    def on_request(
        self,
        request: messages.Request,
        body: bytes,
        receive_time_s: float,
        waited_s: float = 0.0,
    ) -> Answer:
        """See Engine."""
        self.writer.append((kinds.REQUEST, request.op, receive_time_s, waited_s, body))
        return super().on_request(request, body, receive_time_s, waited_s)

    def install(self, model: Model | None) -> None:
        """See Engine. The model's files go into the segment: it has to stand alone."""
        if model is None:
            self.writer.append((kinds.MODEL, None, None, None))
        else:
            files = _files(self.config.models_dir / model.version, model)
            self.writer.append((kinds.MODEL, model.version, model.reviewed_at, files))
        super().install(model)

    def restore(self, snapshot: SymbolSnapshot, receive_time_s: float) -> None:
        """See Engine."""
        packed = msgspec.msgpack.encode(snapshot)
        self.writer.append((kinds.RESTORED, receive_time_s, packed))
        super().restore(snapshot, receive_time_s)

    def remember(self, signal_id: str, remembered: Remembered) -> None:
        """See Engine."""
        at_s, digest, reply = remembered.at_s, remembered.digest, remembered.reply
        self.writer.append((kinds.REMEMBERED, signal_id, at_s, digest, reply))
        super().remember(signal_id, remembered)

    def resume(self, positions: Sequence[PaperRow], scored: Sequence[str]) -> None:
        """See Engine."""
        packed = msgspec.msgpack.encode(positions)
        self.writer.append((kinds.RESUMED, packed, list(scored)))
        super().resume(positions, scored)

    def number_above(self, seq: int) -> None:
        """See Engine."""
        self.writer.append((kinds.NUMBERED, seq))
        super().number_above(seq)

    def written(self, row: ScoreRow) -> None:
        """See Engine."""
        self.writer.append((kinds.WRITTEN, row.score_id))
        super().written(row)

    def clock_stepped(self, step_s: float) -> None:
        """See Engine."""
        self.writer.append((kinds.STEPPED, step_s))
        super().clock_stepped(step_s)

    def set_mode(self, mode: messages.Mode) -> None:
        """See Engine."""
        self.writer.append((kinds.MODE, mode))
        super().set_mode(mode)


def _files(folder: Path, model: Model) -> dict[str, bytes]:
    room, files = MAX_MODEL_BYTES, {}
    for name in (MANIFEST_NAME, *model.manifest.files):
        files[name] = content = _read(folder / name, room)
        room -= len(content)
    return files


def _read(path: Path, room: int) -> bytes:
    """Empty where it was pruned meanwhile, or is not what it was: the replay will say so."""
    try:
        with open_regular(path) as file:
            return file.read(room) if os.fstat(file.fileno()).st_size <= room else b""
    except OSError:
        return b""
