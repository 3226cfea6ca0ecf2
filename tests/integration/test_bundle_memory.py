"""What examining a bundle costs in memory, however its maker means it."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from builders import model_of, pointer_of, small_model
from seals import seal, seal_manifest

from protocol.manifest import MANIFEST_NAME, MIN_GOLDEN_ROWS, GoldenRow, Manifest
from protocol.schema import FEATURE_COUNT
from service.errors import ModelRejected, RejectReason
from service.model.bundle import MAX_MANIFEST_BYTES, load

MIB = 1 << 20
FILE_BYTES = 4 * MIB


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tmp_path / small_model(tmp_path)


@contextmanager
def held() -> Iterator[list[int]]:
    """The most bytes that are held meanwhile, once it is over."""
    most: list[int] = []
    tracemalloc.start()
    try:
        yield most
    finally:
        most.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()


def test_of_many_files_one_is_held_at_a_time(bundle: Path) -> None:
    models, path = bundle.parent, bundle / MANIFEST_NAME
    manifest = json.loads(path.read_bytes())
    for number in range(16 - len(manifest["files"])):
        name = f"extra{number}.bin"
        (bundle / name).write_bytes(bytes(FILE_BYTES))
        manifest["files"][name] = {}
    path.write_text(json.dumps(manifest))
    seal(models)
    model_of(models)  # what is imported on the way is none of the bundle's
    with held() as most:
        model_of(models)
    assert FILE_BYTES < most[0] < 2 * FILE_BYTES


@pytest.mark.parametrize("part", ["golden", "metrics", "failed"])
def test_a_manifest_too_large_to_be_one_is_not_read(bundle: Path, part: str) -> None:
    """However many numbers, maps or words it would unfold into."""
    models, path = bundle.parent, bundle / MANIFEST_NAME
    manifest = json.loads(path.read_bytes())
    # Written as text: what it unfolds into would take long to make.
    if part == "golden":
        manifest["golden"][0]["features"] = "HERE"
        large = "[0" + ",0" * (8 * MIB) + "]"
    elif part == "metrics":
        manifest["verdict"]["metrics"] = "HERE"
        large = "{" + ",".join(map('"a%d":{}'.__mod__, range(MIB))) + "}"
    else:
        manifest["verdict"]["failed"] = "HERE"
        large = '[""' + ',""' * (4 * MIB) + "]"
    text = json.dumps(manifest, separators=(",", ":")).replace('"HERE"', large)
    seal_manifest(models, text.encode())
    pointer = pointer_of(models)
    with held() as most, pytest.raises(ModelRejected) as caught:
        load(models, pointer)
    error = caught.value
    assert error.reason is RejectReason.TOO_LARGE
    assert f"at most {MAX_MANIFEST_BYTES}" in error.detail
    assert error.detail.endswith("publish again or roll back")
    assert most[0] < MIB


def test_the_largest_manifest_that_would_be_accepted_has_room(bundle: Path) -> None:
    """As many golden rows as are allowed, each number as long as numbers get."""
    models, path = bundle.parent, bundle / MANIFEST_NAME
    manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    row = manifest.golden[0]
    long = GoldenRow((-123456.78901234567,) * FEATURE_COUNT, row.raw, row.calibrated, row.served)
    full = msgspec.structs.replace(manifest, golden=(*manifest.golden, *(1024 - 64) * (long,)))
    assert len(full.golden) == 1024 > MIN_GOLDEN_ROWS
    content = msgspec.json.format(msgspec.json.encode(full), indent=1)
    assert len(content) < MAX_MANIFEST_BYTES / 2
    assert pointer_of(models).manifest_size < MAX_MANIFEST_BYTES / 30
