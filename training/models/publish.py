"""Publication: a bundle that never changes, then the pointer, each whole or not there at all.

The rule: at every step a `kill -9` or a power cut leaves the old model or the new one. So
the bundle is written under a name that nobody reads, flushed, renamed, and only then does
`CURRENT.json` move, itself by a rename. The caller holds the TrainerLock.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace

from protocol.manifest import (
    FOREST_NAME,
    MANIFEST_NAME,
    POINTER_NAME,
    REPORT_NAME,
    Manifest,
    Pointer,
)
from service.errors import ModelRejected
from service.files import presence
from service.files.durable import (
    Step,
    Unflushed,
    append_line,
    no_step,
    rename,
    sync_directory,
    sync_name,
    write_file,
)
from service.model.bundle import load, machine_faults
from service.model.forest import Forest
from service.model.forest_file import encode
from service.model.history import HISTORY_NAME
from service.model.pointer import decode_pointer, read_pointer
from training.models.draft import ManifestDraft, manifest, versions

INCOMING = ".incoming-"
VERSION_PATTERN = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")


class Pinned(Exception):  # noqa: N818  a state of things, not a fault
    """The current model is pinned; nothing was written."""


def publish(
    models_dir: Path,
    forest: Forest,
    draft: ManifestDraft,
    report_html: bytes,
    *,
    now_s: float,
    why: str,
    keep: int = 5,
    clock: Callable[[], float] | None = None,
    step: Step = no_step,
) -> str:
    """Publish a model and point at it; returns its version.

    `now_s` is what the model knows up to, its making and its first review; `clock` says when the
    pointer moves (both UTC s), minutes later after a long run. Without one that is `now_s` too.
    Kept are the newest `keep` versions, this one among them, and what the pointer named before;
    the others go first, which makes room.
    Raises Pinned, or ModelRejected where the service would refuse the bundle: then the
    pointer has not moved. OSError as it comes (a full disk): whole is what is there.
    """
    models_dir.mkdir(parents=True, exist_ok=True)
    current = current_pointer(models_dir)
    if current is not None and current.pinned:
        raise Pinned(f"{current.version} is pinned; unpin it to publish another model")
    remove_leftovers(models_dir)
    _retain(models_dir, current, keep - 1, step)
    files = {FOREST_NAME: encode(forest.arrays), REPORT_NAME: report_html}
    names = versions(draft, files[FOREST_NAME], now_s)
    version = next(name for name in names if not presence.exists(models_dir / name))
    parent = None if current is None else current.version
    promised = manifest(draft, forest, files, version=version, parent=parent, now_s=now_s)
    content = msgspec.json.format(msgspec.json.encode(promised), indent=1)
    pointer = Pointer(
        version=version,
        manifest_sha256=hashlib.sha256(content).hexdigest(),
        manifest_size=len(content),
        published_at=now_s,
        why=why,
        reviewed_at=now_s,
        previous=parent,
    )
    pointer_file(pointer)
    _write_bundle(models_dir, pointer, {**files, MANIFEST_NAME: content}, step)
    if clock is not None:
        pointer = replace(pointer, published_at=clock())
    move_pointer(models_dir, pointer, publication(pointer, promised), step)
    return version


def publication(pointer: Pointer, told: Manifest) -> dict[str, object]:
    """A published model's line of `history.jsonl`, from what its own files tell."""
    return {
        "event": "published",
        "at": told.created_at,
        "version": pointer.version,
        "why": pointer.why,
        "reviewed_at": pointer.reviewed_at,
        "n": told.samples.n,
        "verdict": told.verdict,
        "newest_s": told.samples.last_s,
        "gain": told.verdict.metrics.get("constant", {}).get("improvement"),
    }


def current_pointer(models_dir: Path) -> Pointer | None:
    """Return `CURRENT.json`; None where there is none or it is damaged, to be replaced.

    OSError where it cannot be read: it may be sound, and pinned.
    """
    try:
        with machine_faults():
            return read_pointer(models_dir)
    except ModelRejected:
        return None


def move_pointer(
    models_dir: Path, pointer: Pointer, event: Mapping[str, object], step: Step
) -> None:
    """Replace `CURRENT.json`, then tell the history, also of a move that was not flushed.

    Raises Unflushed where the move stands and one of the two or both did not go well, else as
    `write_pointer`, and nothing has moved.
    """
    unflushed: Unflushed | None = None
    try:
        write_pointer(models_dir, pointer, step)
    except Unflushed as error:
        unflushed = error
    try:
        append_history(models_dir, event, step)
    except OSError as error:
        text = f"{HISTORY_NAME} may not say so: {error.strerror}"
        if unflushed is None:
            text = f"{POINTER_NAME} is changed, but {text}"
            unflushed = Unflushed(error.errno, text, error.filename)
        else:
            unflushed.strerror = f"{unflushed.strerror}, and {text}"
    if unflushed is not None:
        unflushed.strerror = f"{unflushed.strerror}; {pointer.version} is current"
        raise unflushed


def write_pointer(models_dir: Path, pointer: Pointer, step: Step = no_step) -> None:
    """Replace `CURRENT.json` by one rename. Raises ModelRejected, see `pointer_file`."""
    waiting = models_dir / f"{POINTER_NAME}.tmp"
    write_file(waiting, pointer_file(pointer), step)
    step(f"rename {waiting.name}")
    waiting.rename(models_dir / POINTER_NAME)
    sync_name(models_dir / POINTER_NAME, step)


def pointer_file(pointer: Pointer) -> bytes:
    """Return a pointer as a file. Raises ModelRejected where the service would not read it."""
    content = msgspec.json.format(msgspec.json.encode(pointer), indent=1)
    decode_pointer(content)
    return content


def append_history(models_dir: Path, event: Mapping[str, object], step: Step = no_step) -> None:
    """Append one line to `history.jsonl`, durably.

    `event` has at least `event` (published, rejected, withheld, re-validated, rolled back,
    pinned, unpinned) and `at` (UTC seconds).
    """
    append_line(models_dir / HISTORY_NAME, msgspec.json.encode(event), step)


def published_versions(models_dir: Path) -> list[str]:
    """List the versions that are there, newest first."""
    found = [path.name for path in models_dir.iterdir() if VERSION_PATTERN.fullmatch(path.name)]
    return sorted(found, reverse=True)


def remove_leftovers(models_dir: Path) -> None:
    """Remove what an interrupted publication or removal left behind."""
    for path in models_dir.glob(f"{INCOMING}*"):
        shutil.rmtree(path)
    (models_dir / f"{POINTER_NAME}.tmp").unlink(missing_ok=True)


def _write_bundle(
    models_dir: Path, pointer: Pointer, files: Mapping[str, bytes], step: Step
) -> None:
    incoming = models_dir / f"{INCOMING}{pointer.version}"
    try:
        step("mkdir")
        incoming.mkdir()
        incoming.chmod(0o755)  # as its files, for the service's user
        for name, content in files.items():
            write_file(incoming / name, content, step)
        sync_directory(incoming, step)
        # What the service would refuse is not to become a version.
        step("verify")
        with machine_faults():
            load(models_dir, pointer, folder_name=incoming.name)
        rename(incoming, models_dir / pointer.version, step)
    except BaseException:
        shutil.rmtree(incoming, ignore_errors=True)
        raise


def _retain(models_dir: Path, pointer: Pointer | None, keep: int, step: Step) -> None:
    """Keep the newest versions and what the pointer names; the others go.

    Each is renamed first: a version that is there is whole.
    """
    present = published_versions(models_dir)
    kept = set(present[:keep])
    if pointer is not None:
        kept |= {pointer.version, pointer.previous or ""}
    for version in present:
        if version not in kept:
            leaving = models_dir / f"{INCOMING}removed-{version}"
            rename(models_dir / version, leaving, step)
            step(f"remove {version}")
            shutil.rmtree(leaving)
