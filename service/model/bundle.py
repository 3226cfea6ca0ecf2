"""Reading a published model from disk, trusting nothing that lies there.

The rule: what comes out is a model that was verified in every respect; whatever a file
holds, nothing but `ModelRejected` comes out instead, and nothing of it is executed. Each
file is read once, through one descriptor, and only what was read is examined. One file at a
time is in memory, beside the manifest.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np

from protocol.manifest import (
    FOREST_NAME,
    GOLDEN_TOLERANCE,
    MANIFEST_NAME,
    FileEntry,
    Manifest,
    Pointer,
)
from protocol.schema import SCHEMA
from service.errors import ModelRejected, RejectReason
from service.model.forest import Forest
from service.model.forest_arrays import check_structure
from service.model.forest_file import decode
from service.model.model import Model
from service.model.pointer import read_whole, unreadable

MAX_MANIFEST_BYTES = 1 << 20
"""Thirty times one of ours, and twice one with all the golden rows that are allowed. Decoded it may
take 25 times as much memory before it is known to be none."""
ROWS_AT_A_TIME = 4
_OF_WHAT_LIES_THERE = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EINVAL, errno.ELOOP, errno.ENXIO}
)


class ModelLimits(msgspec.Struct, frozen=True):
    """What a candidate may cost: bytes of a file, nodes of all trees, seconds for one row."""

    file_bytes: int = 64 << 20
    nodes: int = 2_000_000
    row_s: float = 0.005


DEFAULT_LIMITS = ModelLimits()
"""The service's, and the trainer's before it publishes: what that publishes is not refused."""


def read_manifest_bytes(models_dir: Path, version: str) -> bytes:
    """Return the bytes of a version's `manifest.json`, unverified.

    Raises OSError, also where that is no regular file, or ModelRejected where it is too large.
    """
    return read_whole(models_dir / version / MANIFEST_NAME, None, MAX_MANIFEST_BYTES)


def load(
    models_dir: Path,
    pointer: Pointer,
    limits: ModelLimits = DEFAULT_LIMITS,
    *,
    folder_name: str | None = None,
    clock: Callable[[], float] = time.perf_counter,
    pause: Callable[[], object] = lambda: None,
) -> Model:
    """Read and verify the model that `pointer` names. Raises ModelRejected, nothing else.

    `folder_name` is another than the version's: the trainer examines a bundle before it is one.
    `pause` is called after each small part of the work, up to some hundreds of times.
    """
    directory = models_dir / (folder_name or pointer.version)
    try:
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise unreadable(directory.name, error) from error
    try:
        entry = FileEntry(pointer.manifest_sha256, pointer.manifest_size)
        most = min(MAX_MANIFEST_BYTES, limits.file_bytes)
        said = _verified(folder, MANIFEST_NAME, entry, most)
        pause()
        manifest = _manifest(said, pointer)
        for name, entry in manifest.files.items():
            pause()
            if name != FOREST_NAME:
                _verified(folder, name, entry, limits.file_bytes)
        pause()
        packed = _verified(folder, FOREST_NAME, manifest.files[FOREST_NAME], limits.file_bytes)
    finally:
        os.close(folder)
    pause()
    forest = _forest(packed, manifest, limits.nodes, pause)
    pause()
    model = Model(
        version=pointer.version,
        manifest=manifest,
        forest=forest,
        digest=pointer.manifest_sha256,
        reviewed_at=pointer.reviewed_at,
    )
    _check_answers(model, limits.row_s, clock, pause)
    return model


def _verified(folder: int, name: str, entry: FileEntry, limit: int) -> bytes:
    """Read a file of the bundle; it must be the one that was published."""
    try:
        content = read_whole(Path(name), folder, limit)
    except OSError as error:
        raise unreadable(name, error) from error
    if len(content) != entry.size:
        detail = f"{name} has {len(content)} bytes, {entry.size} were published"
        raise ModelRejected(RejectReason.DIGEST, detail)
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise ModelRejected(RejectReason.DIGEST, f"{name} is not the file that was published")
    return content


def _manifest(content: bytes, pointer: Pointer) -> Manifest:
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ModelRejected(RejectReason.MANIFEST, f"{MANIFEST_NAME}: {error}") from error
    if manifest.model_version != pointer.version:
        detail = f"{MANIFEST_NAME} is of {manifest.model_version}, not of {pointer.version}"
        raise ModelRejected(RejectReason.MANIFEST, detail)
    theirs = (manifest.fingerprint, manifest.schema_version, manifest.feature_names)
    if theirs != (SCHEMA.fingerprint, SCHEMA.version, SCHEMA.names):
        detail = (
            f"made for features {manifest.fingerprint} (schema {manifest.schema_version}), "
            f"here they are {SCHEMA.fingerprint} (schema {SCHEMA.version}): train anew"
        )
        raise ModelRejected(RejectReason.FINGERPRINT, detail)
    return manifest


def _forest(
    content: bytes, manifest: Manifest, max_nodes: int, pause: Callable[[], object]
) -> Forest:
    declared = manifest.forest
    if declared.nodes > max_nodes:
        detail = f"{declared.nodes} nodes, at most {max_nodes} allowed"
        raise ModelRejected(RejectReason.STRUCTURE, detail)
    arrays = decode(content, nodes=declared.nodes, trees=declared.trees)
    pause()
    check_structure(arrays, declared.depth, len(manifest.feature_names), max_nodes, pause)
    pause()
    return Forest(arrays, declared.depth, pause=pause)


def _check_answers(
    model: Model, limit_s: float, clock: Callable[[], float], pause: Callable[[], object]
) -> None:
    """The model must give the answers that it gave when it was published, and soon enough.

    The quickest row decides: another one may have waited for the processor. It is warm then.
    """
    quickest = float("inf")
    for number, row in enumerate(model.manifest.golden):
        vector = np.array(row.features, np.float64)
        begun = clock()
        found = model.probability(vector)
        quickest = min(quickest, clock() - begun)
        pairs = ((found.raw, row.raw), (found.calibrated, row.calibrated), (found.p, row.served))
        if any(abs(ours - theirs) > GOLDEN_TOLERANCE for ours, theirs in pairs):
            detail = (
                f"golden row {number} gives {found.raw:.12g}, {found.calibrated:.12g}, "
                f"{found.p:.12g}; published were {row.raw:.12g}, {row.calibrated:.12g}, "
                f"{row.served:.12g}"
            )
            raise ModelRejected(RejectReason.GOLDEN, detail)
        if number % ROWS_AT_A_TIME == 0:
            pause()
    if quickest > limit_s:
        detail = f"a row takes {1e3 * quickest:.3g} ms, at most {1e3 * limit_s:.3g} ms allowed"
        raise ModelRejected(RejectReason.LATENCY, detail)


@contextmanager
def machine_faults() -> Iterator[None]:
    """Let what says nothing of a model leave the block as the OSError that it is.

    What lies there instead of a file, or that nothing does, says something.
    """
    try:
        yield
    except ModelRejected as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno not in _OF_WHAT_LIES_THERE:
            raise cause from None
        raise
