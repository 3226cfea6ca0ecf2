"""Which settings of a recording a replay reads, whichever version recorded them."""

from __future__ import annotations

import gzip
from pathlib import Path

import msgpack
import msgspec
import pytest

from protocol.schema import FINGERPRINT
from service.config.settings import Config
from service.recording import kinds
from service.recording.rerun import begin
from service.recording.segments import RecordingError, read_segments


def replayed(folder: Path, config: object) -> Config:
    """What the engine of a replay has for settings, of a run that was recorded with these."""
    header = [kinds.HEADER, kinds.FORMAT_VERSION, "run", "0", FINGERPRINT, config]
    path = folder / "run-000001.rec.gz"
    path.write_bytes(gzip.compress(msgpack.packb(header)))
    return begin(read_segments([path])).engine.config


@pytest.mark.parametrize(
    "changed",
    [
        {"limits": {"faults_per_minute": 10_000_000, "symbols": 3}},
        {"score": {"bind": [], "spin_us": "long", "base_weight": 0.25}},
        {"feed": {"endpoints": 7, "added_later": {"a": [1]}, "stale_after_s": 5.0}},
        {"model": {"poll_s": 0, "max_nodes": 0, "expire_after_days": 9.0}},
        {"monitor": {"warn_points": -1}},
        {"removed_since": {"a": 1}},
    ],
)
def test_those_that_the_engine_does_not_read_may_be_of_any_version(
    tmp_path: Path, changed: dict[str, dict[str, object]]
) -> None:
    recorded = msgspec.to_builtins(Config())
    for section, was in changed.items():
        recorded[section] = recorded.get(section, {}) | was
    read = msgspec.to_builtins(replayed(tmp_path, recorded))
    for section, key in (
        ("limits", "symbols"),
        ("score", "base_weight"),
        ("feed", "stale_after_s"),
        ("model", "expire_after_days"),
    ):
        assert read[section][key] == recorded[section][key]


@pytest.mark.parametrize(
    "config",
    [
        {"score": {"base_weight": 2.0}},
        {"limits": {"symbols": 0}},
        {"feed": {"symbol_map": {"A": 1}}},
        {"paper": {"enabled": "perhaps"}},
        {"paper": 7},
        [],
    ],
)
def test_those_that_no_engine_can_have_had_end_the_replay(tmp_path: Path, config: object) -> None:
    with pytest.raises(RecordingError, match="recorded configuration cannot be used"):
        replayed(tmp_path, config)
