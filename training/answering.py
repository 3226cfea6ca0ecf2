"""Which model answers: the published one as a rule, and what it means where it is another one.

The rule: the journal says who answers, the pointer only who should. A model that the service
refuses, or a pointer that is gone, leaves the one before at work until a restart.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from protocol.manifest import Pointer
from service import presence
from service.alerting import Finding
from service.bundle import load, read_pointer
from service.errors import ModelRejected
from service.model import Model
from training.alerts import MODEL
from training.answered import Answer, last_answer
from training.publish import published_versions
from training.registry import RegistryError, pointer_to
from training.settings import Settings

FOLLOWED_S = 60.0
"""After the pointer has moved: the service looks each second and loads for another."""
NOT_JUDGED = ("input_drift", "calibration", "win_rate", "age", "expired")


class Answering(NamedTuple):
    """The model that answers, `published` where it is the one that should; what is wrong in that.

    None where there is none, or it can no longer be loaded: then nothing can be judged.
    """

    model: Model | None
    findings: tuple[Finding, ...] = ()
    published: bool = False
    pinned: bool = False


def look(settings: Settings, *, now_s: float) -> Answering:
    """Raises sqlite3.Error or FileNotFoundError where the journal cannot be read."""
    pointer, model, problem = _published(settings)
    since_s = 0.0 if pointer is None else pointer.published_at + FOLLOWED_S
    last = last_answer(settings.journals, since_s, now_s)
    version = None if last is None else last.version
    if problem:
        problem = f"the service would not load it: {problem}; `models` lists others"
    elif pointer is None:
        problem = _unpublished(settings, version)
    elif last is not None and version != pointer.version:
        problem = _another(last, pointer)
    else:
        text = "no score since it was published, so it is not known to answer"
        unasked = () if last else (Finding(MODEL, "unknown", text),)
        return Answering(model, unasked, published=True, pinned=pointer.pinned)
    if not problem:
        text = "no model is published: base scores are served, nothing was promised"
        return Answering(None, (Finding(MODEL, "unknown", text),))
    found = Finding(MODEL, "alert", problem)
    if version is not None:
        model = _loaded(settings, version, now_s)
    if model is None:
        text = "the model that answers cannot be looked at"
        return Answering(None, (found, *(Finding(name, "unknown", text) for name in NOT_JUDGED)))
    return Answering(model, (found,))


def _published(settings: Settings) -> tuple[Pointer | None, Model | None, str]:
    """The pointer, its model, and why the service would not load one of them."""
    pointer = None
    try:
        pointer = read_pointer(settings.models)
        return pointer, None if pointer is None else load(settings.models, pointer), ""
    except ModelRejected as error:
        return pointer, None, str(error)


def _unpublished(settings: Settings, version: str | None) -> str:
    """What is wrong where there is no pointer; nothing where there never was a model."""
    if version is not None:
        return (
            f"no model is published, though the service answers by {version}: after a restart "
            f"base scores are served. `signal-scorer-train rollback {version}` publishes it again"
        )
    there = published_versions(settings.models) if presence.is_dir(settings.models) else []
    if not there:
        return ""
    return (
        f"no model is published, though {len(there)} are there: base scores are served. `models` "
        "lists them, `rollback VERSION` publishes one again"
    )


def _another(last: Answer, pointer: Pointer) -> str:
    at = f"{datetime.fromtimestamp(pointer.published_at, UTC):%Y-%m-%d %H:%M} UTC"
    return (
        f"the service answers by {last.version or 'no model'}, and not by {pointer.version}, which "
        f"is published since {at}: `signal-scorer health` says why it was refused"
    )


def _loaded(settings: Settings, version: str, now_s: float) -> Model | None:
    try:
        named = pointer_to(settings.models, version, None, now_s=now_s, why="it answers")
        return load(settings.models, named)
    except (RegistryError, ModelRejected, FileNotFoundError):
        return None
