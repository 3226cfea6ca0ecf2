"""The published models: what there is, pointing back, reviewing and pinning.

The rule: a version is pointed at only after the service's own reader has accepted it.
Every function that writes is called with the TrainerLock held, and `step` is told of each of
its actions (see `service.files.durable`): the pointer moves first, by one rename, the history
follows.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec.structs import replace

from protocol.manifest import MANIFEST_NAME, Manifest, Pointer
from service.errors import ModelRejected
from service.files import presence
from service.files.durable import Step, no_step
from service.model.bundle import ModelLimits, load, read_manifest_bytes
from service.model.history import read_history
from service.model.model import Model
from training.bound import DAY_S
from training.models.publish import (
    append_history,
    current_pointer,
    move_pointer,
    pointer_file,
    publication,
    published_versions,
)

NOT_USED = (
    ": the service does not use it, base scores are served. `signal-scorer-train train` reviews "
    "it, and renews its age where it is still better than a constant; `signal-scorer-train models` "
    "lists the others"
)
"""What follows from a model that is too old, behind its version and `too_old`."""
UNTIMED = ModelLimits(row_s=math.inf)
"""For what is published: its time was taken then, and is longer where a trainer works."""
_UNREADABLE = (OSError, ModelRejected, msgspec.MsgspecError, ValueError)


class RegistryError(Exception):
    """What was asked for cannot be done; the text says why and what there is instead."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One version; `problem` says why it cannot be served, and then the rest may be unknown."""

    version: str
    current: bool
    previous: bool
    pinned: bool
    created_at: float = 0.0
    n: int = 0
    reason: str = ""
    problem: str = ""


def too_old(reviewed_at: float, expire_after_days: float, *, now_s: float) -> str:
    """Why the service would not use a model reviewed then (UTC s); empty where it would."""
    days = (now_s - reviewed_at) / DAY_S
    if expire_after_days == 0.0 or days <= expire_after_days:
        return ""
    return f"it was last reviewed {days:.0f} days ago and expired after {expire_after_days:g}"


def list_models(models_dir: Path) -> list[Listed]:
    """List the versions, newest first; none where there is no such directory."""
    if not presence.is_dir(models_dir):
        return []
    pointer = current_pointer(models_dir)
    return [_listed(models_dir, name, pointer) for name in published_versions(models_dir)]


def _listed(models_dir: Path, version: str, pointer: Pointer | None) -> Listed:
    current = pointer is not None and pointer.version == version
    previous = pointer is not None and pointer.previous == version
    pinned = current and pointer is not None and pointer.pinned
    try:
        manifest = _manifest(models_dir, version)
    except _UNREADABLE as error:
        return Listed(version, current, previous, pinned, problem=f"unreadable: {error}")
    return Listed(
        version=version,
        current=current,
        previous=previous,
        pinned=pinned,
        created_at=manifest.created_at,
        n=manifest.samples.n,
        reason=manifest.verdict.reason,
        problem=_refused(models_dir, version, pointer if current else None),
    )


def _refused(models_dir: Path, version: str, pointer: Pointer | None) -> str:
    """Why the service would refuse a version, which its `pointer` names where it is current."""
    try:
        if pointer is None:
            pointer_to(models_dir, version, None, now_s=0.0, why="")
        else:
            load(models_dir, pointer, UNTIMED)
    except RegistryError as error:
        return str(error).removeprefix(f"{version} ")
    except ModelRejected as error:
        return f"cannot be served: {error}"
    return ""


def rollback(
    models_dir: Path,
    version: str | None = None,
    *,
    now_s: float,
    why: str,
    step: Step = no_step,
) -> str:
    """Point at `version`, or at the previous one; returns it.

    What was current becomes the previous one, so that a second rollback undoes the first.
    The model keeps the age that its last review gave it. A pin is lifted. Raises
    RegistryError where there is no such version or the service would refuse it.
    """
    pointer = current_pointer(models_dir)
    if version is None:
        if pointer is None or pointer.previous is None:
            raise RegistryError("no previous model; name the version, `models` lists them")
        version = pointer.previous
    if pointer is not None and pointer.version == version:
        raise RegistryError(
            f"{version} is current already; if it is damaged: signal-scorer-train train --force "
            "(after signal-scorer-train unpin, where it is pinned)"
        )
    moved, _ = pointer_to(models_dir, version, pointer, now_s=now_s, why=why)
    event = {"event": "rolled back", "at": now_s, "version": version, "why": why}
    move_pointer(models_dir, moved, event, step)
    return version


def revalidate(models_dir: Path, *, now_s: float, why: str, step: Step = no_step) -> str:
    """Renew `reviewed_at` of the current model; returns its version. Raises RegistryError."""
    pointer = _current(models_dir)
    moved = replace(pointer, reviewed_at=now_s, why=why)
    move_pointer(models_dir, moved, _review(moved), step)
    return pointer.version


def complete_history(models_dir: Path) -> str | None:
    """Write down the current model's publication or last review where a crash came before.

    The pointer moves before the history is told. Returns the version; None where nothing was
    missing, or where the manifest cannot be read. With the TrainerLock held, as all that writes;
    before the pointer moves on, or nobody knows any more.
    """
    pointer = current_pointer(models_dir)
    if pointer is None:
        return None
    try:
        told = _manifest(models_dir, pointer.version)
    except _UNREADABLE:
        return None
    if not any(event.version == pointer.version for event in read_history(models_dir)):
        append_history(models_dir, publication(pointer, told))
    elif pointer.reviewed_at > _last_review(models_dir, pointer.version, told.created_at):
        append_history(models_dir, _review(pointer))
    else:
        return None
    return pointer.version


def _review(pointer: Pointer) -> dict[str, object]:
    return {
        "event": "re-validated",
        "at": pointer.reviewed_at,
        "version": pointer.version,
        "why": pointer.why,
        "reviewed_at": pointer.reviewed_at,
    }


def pin(models_dir: Path, version: str, *, now_s: float, step: Step = no_step) -> None:
    """Point at `version` and keep publications from displacing it. Raises RegistryError."""
    pointer = current_pointer(models_dir)
    if pointer is not None and pointer.version == version:
        try:  # pinned, it would keep away what is to take the place of a damaged one
            load(models_dir, pointer, UNTIMED)
        except ModelRejected as error:
            raise RegistryError(f"{version} cannot be served: {error}") from error
        moved = replace(pointer, pinned=True)
    else:
        moved, _ = pointer_to(models_dir, version, pointer, now_s=now_s, why="pinned", pinned=True)
    if moved != pointer:
        event = {"event": "pinned", "at": now_s, "version": version}
        move_pointer(models_dir, moved, event, step)


def unpin(models_dir: Path, *, now_s: float, step: Step = no_step) -> None:
    """Let publications displace the current model again. Raises RegistryError."""
    pointer = _current(models_dir)
    if pointer.pinned:
        event = {"event": "unpinned", "at": now_s, "version": pointer.version}
        move_pointer(models_dir, replace(pointer, pinned=False), event, step)


def _current(models_dir: Path) -> Pointer:
    pointer = current_pointer(models_dir)
    if pointer is None:
        raise RegistryError(f"no model is published in {models_dir}")
    return pointer


def pointer_to(
    models_dir: Path,
    version: str,
    displaced: Pointer | None,
    *,
    now_s: float,
    why: str,
    pinned: bool = False,
) -> tuple[Pointer, Model]:
    """A pointer to a version that the service accepts, of its last review's age, and its model.

    Raises RegistryError where there is no such version or the service would refuse it.
    """
    if version not in published_versions(models_dir):
        raise RegistryError(f"no version {version} in {models_dir}; `models` lists them")
    try:
        content = read_manifest_bytes(models_dir, version)
        created_at = msgspec.json.decode(content, type=Manifest).created_at
        pointer = Pointer(
            version=version,
            manifest_sha256=hashlib.sha256(content).hexdigest(),
            manifest_size=len(content),
            published_at=now_s,
            why=why,
            reviewed_at=_last_review(models_dir, version, created_at),
            previous=None if displaced is None else displaced.version,
            pinned=pinned,
        )
        pointer_file(pointer)
        return pointer, load(models_dir, pointer)
    except _UNREADABLE as error:
        raise RegistryError(f"{version} cannot be served: {error}") from error


def _manifest(models_dir: Path, version: str) -> Manifest:
    content = read_manifest_bytes(models_dir, version)
    manifest = msgspec.json.decode(content, type=Manifest)
    if manifest.model_version != version:  # a folder that was copied
        raise ValueError(f"{MANIFEST_NAME} is that of {manifest.model_version}")
    return manifest


def _last_review(models_dir: Path, version: str, created_at: float) -> float:
    """When a version was reviewed last (UTC s), as far as the history can be read."""
    reviews = [
        event.reviewed_at or 0.0 for event in read_history(models_dir) if event.version == version
    ]
    return max([created_at, *reviews])
