"""What is read as a recording: damage and what nobody of ours recorded cost an error, no more."""

from __future__ import annotations

import gzip
import os
import tempfile
import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import pytest
from harness import running
from serving import published_model

from protocol.manifest import FOREST_NAME, MANIFEST_NAME
from protocol.schema import FINGERPRINT
from service.config.settings import Config, FeedSection
from service.paper.positions import KNOWN_SIGNALS
from service.recording import kinds
from service.recording.recorded_engine import MAX_MODEL_BYTES, RecordedEngine
from service.recording.rerun import replay_segments
from service.recording.segments import RecordingError, SegmentWriter, read_segments


def replay_of(path: Path, *records: list[object]) -> Path:
    """A segment that begins as a run does and goes on with these records."""
    config = msgspec.to_builtins(Config())
    header = [kinds.HEADER, kinds.FORMAT_VERSION, "run", "0", FINGERPRINT, config]
    path.write_bytes(gzip.compress(b"".join(map(msgpack.packb, (header, *records)))))
    return path


@pytest.mark.parametrize("instead", ["a pipe", "a link", "nothing", "a large file"])
def test_what_lies_in_the_place_of_an_installed_models_file_is_not_recorded(
    tmp_path: Path, instead: str
):
    model = published_model(tmp_path / "models", time.time())
    writer = SegmentWriter(tmp_path / "segments", "run", segment_bytes=1 << 28, keep_bytes=1 << 28)
    engine = RecordedEngine(Config(state_dir=str(tmp_path)), "run", writer)
    file, secret = tmp_path / "models" / model.version / FOREST_NAME, tmp_path / "secret"
    secret.write_bytes(b"secret")
    file.unlink()
    if instead == "a pipe":
        os.mkfifo(file)
    elif instead == "a link":
        file.symlink_to(secret)
    elif instead == "a large file":
        file.touch()
        os.truncate(file, MAX_MODEL_BYTES)
    loop = threading.Thread(target=engine.install, args=(model,), daemon=True)
    loop.start()
    loop.join(20.0)
    assert not loop.is_alive()
    assert engine.model is model
    writer.close()
    (segment,) = (tmp_path / "segments").iterdir()
    *_, (kind, version, _, files) = read_segments([segment])
    assert (kind, version, files[FOREST_NAME]) == (kinds.MODEL, model.version, b"")
    assert files[MANIFEST_NAME]
    with pytest.raises(RecordingError, match=rf"the recorded model {version} .* {FOREST_NAME}"):
        list(replay_segments([segment]))


@pytest.mark.parametrize("where", ["absolute", "upwards"])
def test_a_recorded_model_is_unpacked_nowhere_but_in_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
):
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(unpacked))
    version = {"absolute": str(tmp_path / "planted"), "upwards": "../../planted"}[where]
    files = {"manifest.json": b"{}", "forest.npz": b""}
    model = [kinds.MODEL, version, 0.0, files]
    with pytest.raises(RecordingError, match=r"is no recording|recorded model"):
        list(replay_segments([replay_of(tmp_path / "run-000001.rec.gz", model)]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run-000001.rec.gz", "unpacked"]


VERSION = "20250915T000000Z-3f9c2a"


@pytest.mark.parametrize(
    "values",
    [
        [VERSION, 0.0, {"../planted": b""}],
        [VERSION, 0.0, {"nul.\0": b""}],
        [VERSION, 0.0, {b"manifest.json": b"{}"}],
        [VERSION, 0.0, {"manifest.json": 1}],
        [VERSION, 0.0, {"forest.npz": b""}],
        [VERSION, "today", {"manifest.json": b"{}"}],
        [VERSION, 0.0, None],
        [VERSION],
    ],
    ids=["upwards", "nul", "bytes", "number", "no manifest", "date", "no files", "short"],
)
def test_a_recorded_model_that_is_none_is_an_error_of_the_recording(tmp_path: Path, values):
    path = replay_of(tmp_path / "run-000001.rec.gz", [kinds.MODEL, *values])
    with pytest.raises(RecordingError, match=r"is no recording|recorded model"):
        list(replay_segments([path]))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("record", "complaint"),
    [
        ([kinds.FRAME, 7, 0.0, b"{}"], "endpoint 7, which no record before it names"),
        ([kinds.REQUEST, "dance", 0.0, 0.0, b"\x80"], "asks for 'dance'"),
        ([kinds.REQUEST, "score", 0.0, 0.0, b"\xc1"], "kind 4 cannot be used: no msgpack map"),
        ([kinds.REQUEST, "score", 0.0, 0.0, b"\x80"], "kind 4 cannot be used: .*symbol"),
        ([kinds.RESTORED, 0.0, b"\x80"], "kind 6 cannot be used"),
        ([kinds.RESUMED, b"\x80", []], "kind 11 cannot be used"),
    ],
)
def test_a_record_that_does_not_fit_what_was_before_it_is_an_error_of_the_recording(
    tmp_path: Path, record: list[Any], complaint: str
):
    path = replay_of(tmp_path / "run-000001.rec.gz", record)
    with pytest.raises(RecordingError, match=complaint):
        list(replay_segments([path]))


def test_damage_is_an_error_and_a_cut_end_is_not(tmp_path: Path):
    with running(tmp_path, RECORD_ENABLED="true") as service:
        with service.client() as client:
            for number in range(20):
                client.score("EURUSD", 50.0 + number)
        assert service.terminate()[0] == 0
    (path,) = service.segments()
    content = path.read_bytes()
    whole = list(read_segments([path]))
    for cut_off in (content[:20], content[:-3]):
        path.write_bytes(content + cut_off)
        assert list(read_segments([path]))[: len(whole)] == whole
    path.write_bytes(content[:200])
    assert len(list(read_segments([path]))) < len(whole)
    path.write_bytes(content[:20] + bytes([content[20] ^ 0xFF]) + content[21:])
    with pytest.raises(RecordingError, match=r"damaged|no recording"):
        list(read_segments([path]))
    path.write_bytes(gzip.compress(b"\xc1\xc1"))
    with pytest.raises(RecordingError):
        list(read_segments([path]))


def many(item: bytes, count: int) -> bytes:
    """A msgpack array of as many times the same."""
    return b"\xdd" + count.to_bytes(4) + item * count


def packed(*values: object) -> bytes:
    """A record that goes on beyond these values, one longer than they are."""
    return bytes([0x91 + len(values)]) + b"".join(map(msgpack.packb, values))


HEAD = packed(kinds.HEADER, kinds.FORMAT_VERSION, "run", "0", FINGERPRINT)
UNFOLDING = {
    "a list for bytes": packed(kinds.FRAME, 0, 0.0) + many(b"\x90", 4 << 20),
    "lists in a list": packed(kinds.WRITTEN) + many(many(b"\x90", 1 << 14), 1 << 8),
    "signals": packed(kinds.RESUMED, b"") + many(b"\xa2ab", 1 << 20),
    "files": packed(kinds.MODEL, VERSION, 0.0)
    + many(b"\xa3a.b\xc4\0", 1 << 20).replace(b"\xdd", b"\xdf", 1),
    "a configuration": HEAD + many(b"\x81\xa1a\x80", 1 << 20),
    "a kind of none": b"\x92\x20" + many(b"\x90", 4 << 20),
    "no list": many(b"\x90", 4 << 20),
}


@pytest.mark.parametrize("record", UNFOLDING.values(), ids=UNFOLDING.keys())
def test_a_record_unfolds_into_no_more_than_one_of_ours(tmp_path: Path, record: bytes):
    path = tmp_path / "run-000001.rec.gz"
    path.write_bytes(gzip.compress(record, compresslevel=1))
    tracemalloc.start()
    try:
        with pytest.raises(RecordingError, match=r"run-000001\.rec\.gz is no recording"):
            list(read_segments([path]))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4 * len(record) + (1 << 20)


def test_the_longest_records_of_a_run_are_read_back(tmp_path: Path):
    """After each other: what one unfolds into is none of the next one's."""
    writer = SegmentWriter(tmp_path, "run", segment_bytes=1 << 30, keep_bytes=1 << 30)
    scored = [f"signal {number}" for number in range(KNOWN_SIGNALS)]
    symbols = {f"SYMBOL{number}.m": f"SYMBOL{number}" for number in range(10_000)}
    config = msgspec.to_builtins(Config(feed=FeedSection(symbol_map=symbols)))
    files = {MANIFEST_NAME: bytes(1 << 20), FOREST_NAME: bytes(MAX_MODEL_BYTES - (1 << 20))}
    records = [
        [kinds.HEADER, kinds.FORMAT_VERSION, "run", "0", FINGERPRINT, config],
        *9 * [[kinds.RESUMED, b"", scored]],
        [kinds.MODEL, VERSION, 0.0, files],
        *9 * [[kinds.RESUMED, b"", scored]],
    ]
    for record in records:
        writer.append(record)
    writer.close()
    assert writer.fault is None
    (segment,) = tmp_path.iterdir()
    header, *rest = read_segments([segment])
    assert msgspec.msgpack.decode(header[-1]) == msgpack.unpackb(msgpack.packb(config))
    assert rest == list(map(tuple, records[1:]))
