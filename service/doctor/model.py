"""The model that would be served, read and verified as the service does it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from shlex import quote

import msgspec

from protocol.manifest import MANIFEST_NAME, POINTER_NAME, Version
from service.console.words import span
from service.doctor.finding import Finding, fail, lost_link, ok, warn
from service.doctor.scene import Scene
from service.doctor.system import READ, dangling, obstacle, unless_linked
from service.errors import ModelRejected, RejectReason
from service.files import presence
from service.model.bundle import load
from service.model.history import moves, read_history
from service.model.model import Model
from service.model.pointer import REVIEW_DUE, read_pointer
from service.spans import DAY_S

TRAIN = "signal-scorer-train train --force (after signal-scorer-train unpin, where it is pinned)"
BACK = (
    "serve another one: signal-scorer-train models, then signal-scorer-train rollback VERSION; "
    f"if there is no other: {TRAIN}"
)


def check(scene: Scene) -> Iterator[Finding]:
    """Pointer, bundle, age, and whether it is what the running service serves."""
    models = scene.config.models_dir
    try:
        found = read_pointer(models)
        if found is None:
            yield _none(scene, models)
            return
        model = load(models, found)
    except ModelRejected as error:
        if isinstance(error.__cause__, PermissionError) and os.geteuid() != scene.owner:
            raise error.__cause__ from None  # hidden from who asks, which says nothing of it
        yield _rejected(models, error)
        return
    yield from _rights(scene, models, model.version)
    yield _age(scene, model)
    yield from _served(scene, model)


def _none(scene: Scene, models: Path) -> Finding:
    link = dangling(models)
    if link is not None:
        return lost_link(link, "model.directory")
    versions = []
    with suppress(OSError):
        for path in models.iterdir():
            # One that is closed, as lost+found, hides no other; any other name is no model's, and
            # is not to be part of a command.
            with suppress(OSError, msgspec.ValidationError):
                if presence.exists(path / MANIFEST_NAME):
                    versions.append(msgspec.convert(path.name, Version))
    served = _served_version(scene)
    if versions:
        # The newest may be the one that was rolled back from, or was never pointed at.
        known = [served, *(event.version for event in moves(read_history(models))[::-1])]
        version = next((name for name in known if name in versions), max(versions))
        return fail(
            models / POINTER_NAME,
            f"is missing, though {len(versions)} models are there",
            f"point at one: signal-scorer-train rollback {version}",
        )
    if served is not None:
        return fail(
            models,
            f"is empty or not there, though the service serves {served}: a restart would serve "
            "base scores",
            "have its disk mounted or bring it back, before a restart: docs/runbook.md, "
            "ScorerModelGone",
        )
    return warn(
        models,
        "no model yet: base scores are served",
        "normal in the first weeks; signal-scorer-train status says how far the outcomes have come",
    )


def _rejected(models: Path, error: ModelRejected) -> Finding:
    advice = {
        RejectReason.FINGERPRINT: f"train anew with this version: {TRAIN}",
        RejectReason.UNREADABLE: "if it is there, let the service's user read it: "
        f"{unless_linked(models, f'chmod -R g+rX {quote(str(models))}')}; if not, {BACK}",
        RejectReason.LATENCY: "run doctor again on a quieter machine; if it stays, " + BACK,
    }.get(error.reason, BACK)
    return fail(models, f"the published model is not usable: {error}", advice)


def _rights(scene: Scene, models: Path, version: str) -> Iterator[Finding]:
    for path in (models / POINTER_NAME, *sorted((models / version).iterdir())):
        hindrance = obstacle(path, scene.owner, READ)
        if hindrance is not None:
            yield fail(
                hindrance,
                f"user {scene.owner_name}, as whom the service runs, may not read it",
                unless_linked(path, f"chmod -R o+rX,g+rX {quote(str(models))}")
                + f", or add {scene.owner_name} to its group",
            )
            return


def _age(scene: Scene, model: Model) -> Finding:
    passed = max(0.0, (scene.now_s - model.reviewed_at) / DAY_S)
    limit = scene.config.model.expire_after_days
    said = f"reviewed {passed:.0f} days ago" + (f", expires after {limit:.0f}" if limit else "")
    train = "run signal-scorer-train train, and see that cron does (doctor's trainer check)"
    if limit and model.reviewed_ahead(scene.now_s):
        ahead = span(model.reviewed_at - scene.now_s)
        said = f"reviewed {ahead} from now: until then its age is not known"
        clock = (
            "this clock is behind, or one was ahead then: compare `date -u` with the true time. "
            "Where the review's date is false: signal-scorer-train train --force"
        )
        return warn(model.version, said, clock)
    if limit and passed >= limit:
        return fail(
            model.version,
            f"{said}: no longer used, base scores are served",
            f"where `date -u` is right, {train}",
        )
    if limit and passed >= REVIEW_DUE * limit:
        return warn(model.version, said, train)
    return ok(model.version, f"verified, {model.manifest.samples.n} samples, {said}")


def _served(scene: Scene, model: Model) -> Iterator[Finding]:
    if scene.running is None:
        return
    served = _served_version(scene)
    if served != model.version:
        yield fail(
            model.version,
            f"is published, but the service serves {served or 'base scores'}",
            "its log and `signal-scorer health` say why it was refused; a restart tries again",
        )


def _served_version(scene: Scene) -> str | None:
    model = scene.running.health.get("model") if scene.running else None
    return model["version"] if model else None
