"""Runs recorded segments through the engine again and compares with what was journalled.

The same engine, the same inputs in the same order: on the same machine and lock file the
rows that come out are those of the journal, byte for byte.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from protocol import codec
from protocol.errors import DecodeError
from protocol.manifest import MANIFEST_NAME, Pointer
from protocol.messages import REQUESTS
from protocol.schema import FINGERPRINT
from service.config.settings import Config
from service.engine import Engine
from service.errors import ModelRejected
from service.features.state import SymbolSnapshot
from service.feed.symbol_feed import Endpoint
from service.journal.reading import reading, spooled
from service.journal.records import PaperRow, Remembered, ScoreRow
from service.model import bundle
from service.model.model import Model
from service.recording import kinds
from service.recording.kinds import Files
from service.recording.segments import RecordingError, by_run, read_segments

MAX_DIFFERENCES = 10

_ENGINES_SECTIONS = {"score", "feed", "model", "paper", "limits"}
# What is not named here is read: a key that the engine comes to use is so by itself.
_NOT_THE_ENGINES = {
    "score": {"bind", "allow_insecure", "ipc_mode", "spin_us"},
    "feed": {"endpoints", "ingest"},
    "model": {"directory", "poll_s"},
    "limits": {"waiting_requests", "requests_per_cycle", "ticks_per_cycle", "faults_per_minute"},
}


@dataclass(slots=True)
class Account:
    """What was replayed, and how the rows compare with the journal's."""

    records: int = 0
    frames: int = 0
    requests: int = 0
    models: int = 0
    rows: int = 0
    identical: int = 0
    absent: int = 0
    differences: list[str] = field(default_factory=list)
    different: int = 0

    def lines(self) -> list[str]:
        """The account for people."""
        head = (
            f"replayed {self.records} records: {self.frames} feed frames, "
            f"{self.requests} requests, {self.models} models, {self.rows} scores"
        )
        compared = (
            f"against the journal: {self.identical} identical to the bit, "
            f"{self.different} different, {self.absent} not in it"
        )
        return [head, compared, *self.differences]


def replay_segments(paths: Sequence[Path]) -> Iterator[tuple[int, ScoreRow | None]]:
    """Each record's kind and, where it made one, the row of a score; each run has its engine.

    Raises RecordingError for segments that are damaged, of other features, or without the
    beginning of their run.
    """
    for segments in by_run(paths):
        records = read_segments(segments)
        try:
            run = begin(records)
        except RecordingError as error:
            raise RecordingError(f"{segments[0]}: {error}") from None
        yield kinds.HEADER, None
        for record in records:
            yield record[0], run.apply(record)


def begin(
    records: Iterator[tuple[Any, ...]],
    configured: Callable[[Config], Config] = lambda config: config,
) -> Rerun:
    """An engine for what follows the header, which is taken off `records`. Raises RecordingError.

    `configured` may change the configuration that was recorded.
    """
    header = next(records, None)
    if header is None or header[0] != kinds.HEADER:
        raise RecordingError("the first segment of the run is missing: name all of a run or none")
    _, version, run_id, program, fingerprint, config = header
    if version != kinds.FORMAT_VERSION or fingerprint != FINGERPRINT:
        raise RecordingError(
            f"recorded by version {program} with features {fingerprint}; "
            f"this one has {FINGERPRINT}: replay with the version that recorded"
        )
    try:
        recorded = _engines_part(config)
    except msgspec.MsgspecError as error:
        raise RecordingError(f"the recorded configuration cannot be used: {error}") from None
    return Rerun(Engine(configured(recorded), run_id))


def _engines_part(packed: bytes) -> Config:
    """What the engine reads of a recorded configuration. Raises msgspec.MsgspecError.

    All else may be of a version with other keys and bounds: no score depends on it.
    """
    found = msgspec.msgpack.decode(packed, type=dict[str, Any])
    read: dict[str, Any] = {}
    for name in _ENGINES_SECTIONS & found.keys():
        section, known = found[name], getattr(Config(), name).__struct_fields__
        read[name] = section
        if isinstance(section, dict):
            keys = set(known) - _NOT_THE_ENGINES.get(name, set())
            read[name] = {key: value for key, value in section.items() if key in keys}
    return msgspec.convert(read, Config)


class Rerun:
    """An engine and what has to be kept to feed it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._endpoints: dict[int, Endpoint] = {}
        self._unwritten: dict[str, ScoreRow] = {}
        self._as_they_are: dict[int, Callable[..., None]] = {
            kinds.ADVANCE: engine.advance,
            kinds.MODE: engine.set_mode,
            kinds.NUMBERED: engine.number_above,
            kinds.STEPPED: self._clock_stepped,
        }

    def _clock_stepped(self, step_s: float) -> None:
        self.engine.clock_stepped(step_s)
        for endpoint in self._endpoints.values():
            endpoint.clock_stepped(step_s)

    def apply(self, record: tuple[Any, ...]) -> ScoreRow | None:
        """Feed one record; the row of a score that it made. Raises RecordingError."""
        try:
            return self._apply(record)
        except (DecodeError, msgspec.MsgspecError) as error:
            raise RecordingError(f"a record of kind {record[0]} cannot be used: {error}") from None

    def _apply(self, record: tuple[Any, ...]) -> ScoreRow | None:
        kind, *values = record
        engine = self.engine
        if kind == kinds.FRAME:
            index, receive_time_s, frame = values
            engine.on_frame(self._endpoint(index), frame, receive_time_s)
        elif kind == kinds.REQUEST:
            return self._request(*values)
        elif kind == kinds.WRITTEN:
            row = self._unwritten.pop(values[0], None)
            if row is not None:
                engine.written(row)
        elif kind == kinds.ENDPOINT:
            index, name, is_deal = values
            self._endpoints[index] = engine.endpoint(name, volume_is_deal=is_deal)
        elif kind == kinds.MODEL:
            engine.install(_model(*values))
        elif kind == kinds.RESTORED:
            receive_time_s, packed = values
            engine.restore(msgspec.msgpack.decode(packed, type=SymbolSnapshot), receive_time_s)
        elif kind == kinds.REMEMBERED:
            signal_id, at_s, digest, reply = values
            engine.remember(signal_id, Remembered(at_s, digest, reply))
        elif kind == kinds.RESUMED:
            packed, scored = values
            engine.resume(msgspec.msgpack.decode(packed, type=list[PaperRow]), scored)
        elif kind in self._as_they_are:
            self._as_they_are[kind](*values)
        return None

    def _endpoint(self, index: int) -> Endpoint:
        if index not in self._endpoints:
            raise RecordingError(f"a frame of endpoint {index}, which no record before it names")
        return self._endpoints[index]

    def _request(
        self, op: str, receive_time_s: float, waited_s: float, body: bytes
    ) -> ScoreRow | None:
        if op not in REQUESTS:
            raise RecordingError(f"a recorded request asks for {op!r}, which there is not")
        request = msgspec.convert(codec.unpack(body), type=REQUESTS[op])
        answer = self.engine.on_request(request, body, receive_time_s, waited_s)
        if not isinstance(answer.row, ScoreRow):
            return None
        self._unwritten[answer.row.score_id] = answer.row
        return answer.row


def _model(version: str | None, reviewed_at: float | None, files: Files | None) -> Model | None:
    """Load a recorded model by the same checks as a published one."""
    if version is None:
        return None
    try:
        return _unpacked(version, reviewed_at or 0.0, files or {})
    except OSError as error:
        raise RecordingError(f"a recorded model cannot be unpacked: {error}") from error


def _unpacked(version: str, reviewed_at: float, files: Files) -> Model:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        folder.mkdir()
        for file_name, content in files.items():
            (folder / file_name).write_bytes(content)
        manifest = files.get(MANIFEST_NAME, b"")
        pointer = Pointer(
            version=version,
            manifest_sha256=hashlib.sha256(manifest).hexdigest(),
            manifest_size=len(manifest),
            published_at=reviewed_at,
            why="recorded",
            reviewed_at=reviewed_at,
        )
        try:
            return bundle.load(Path(name), pointer, folder_name=folder.name)
        except ModelRejected as error:
            raise RecordingError(f"the recorded model {version} is refused: {error}") from None


def compare(paths: Sequence[Path], journal: Path) -> Account:
    """Replay and hold each row against the journal's. Raises RecordingError, JournalUnreadable."""
    account = Account()
    columns = ", ".join(ScoreRow.__struct_fields__)
    # Before the table: what is taken there meanwhile is found there.
    waiting = {row.seq: tuple(row.columns.values()) for row in spooled(journal)}
    with reading(journal) as reader:
        for kind, row in replay_segments(paths):
            account.records += 1
            account.frames += kind == kinds.FRAME
            account.requests += kind == kinds.REQUEST
            account.models += kind == kinds.MODEL
            if row is None:
                continue
            account.rows += 1
            found = reader.execute(
                f"SELECT {columns} FROM scores WHERE seq = ?",  # noqa: S608  our own names
                (row.seq,),
            ).fetchone()
            _hold_against(account, row, found or waiting.get(row.seq))
    return account


def _hold_against(account: Account, row: ScoreRow, found: tuple[Any, ...] | None) -> None:
    if found is None:
        account.absent += 1
        return
    ours = msgspec.structs.astuple(row)
    names = ScoreRow.__struct_fields__
    unlike = [n for n, mine, theirs in zip(names, ours, found, strict=True) if mine != theirs]
    if not unlike:
        account.identical += 1
        return
    account.different += 1
    if len(account.differences) < MAX_DIFFERENCES:
        account.differences.append(f"{row.score_id}: {', '.join(unlike)} differ")
