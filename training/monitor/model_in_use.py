"""Which model answers: the published one as a rule, and what it means where it is another one.

The rule: the journals say who answers, each of its own service, the pointer only who should. A
model that a service refuses, or a pointer that is gone, leaves the one before at work until a
restart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from protocol.manifest import POINTER_NAME, Pointer
from service.alerting import CheckResult
from service.errors import ModelRejected
from service.files import presence
from service.model.bundle import load
from service.model.model import CLOCK_AHEAD_S, Model
from service.model.pointer import read_pointer
from training.bound import DAY_S
from training.dataset.answered import LastAnswer, last_answers
from training.models.publish import published_versions
from training.models.registry import UNTIMED, RegistryError, pointer_to
from training.monitor.alerts import MODEL
from training.settings import Settings

FOLLOWED_S = 60.0
"""After the pointer has moved: the service looks each second and loads for another."""
NOT_JUDGED = ("input_drift", "calibration", "win_rate", "age", "expired")


class Answering(NamedTuple):
    """The model that answers, `published` where it is the one that should; what is wrong in that.

    None where there is none, or it can no longer be loaded: then nothing can be judged.
    """

    model: Model | None
    findings: tuple[CheckResult, ...] = ()
    published: bool = False
    pinned: bool = False


def look(settings: Settings, *, now_s: float) -> Answering:
    """Raises sqlite3.Error or FileNotFoundError where the journal cannot be read."""
    pointer, model, problem = _published(settings)
    answers = answers_since(settings, pointer, now_s)
    version = _latest(answers)
    others = [one for one in answers if pointer is None or one.version != pointer.version]
    if problem:
        problem = f"the service would not load it: {problem}; `models` lists others"
    elif pointer is None:
        problem = _unpublished(settings, version)
    elif others:
        problem = _another(settings, others, pointer)
    if pointer is not None and model is not None and (not others or len(others) < len(answers)):
        found = _told(problem, answers)
        return Answering(model, found, published=True, pinned=pointer.pinned)
    if not problem:
        text = "no model is published: base scores are served, nothing was promised"
        return Answering(None, (CheckResult(MODEL, "unknown", text),))
    found = _told(problem, answers)
    model = None if version is None else _loaded(settings, version, now_s)
    if model is None:
        text = "the model that answers cannot be looked at"
        return Answering(
            None, (*found, *(CheckResult(name, "unknown", text) for name in NOT_JUDGED))
        )
    return Answering(model, found)


def answers_since(settings: Settings, pointer: Pointer | None, now_s: float) -> list[LastAnswer]:
    """The last of each journal since the services had time to follow the pointer.

    Where a clock was ahead when it moved, nobody knows when that was: the last of all counts.
    """
    moved_s = -math.inf if pointer is None else pointer.published_at
    since_s = moved_s + FOLLOWED_S if moved_s <= now_s + CLOCK_AHEAD_S else -math.inf
    return last_answers(settings.journals, since_s, now_s, _young(settings, pointer, now_s))


def _young(settings: Settings, pointer: Pointer | None, now_s: float) -> tuple[float, float]:
    """From when to when (UTC s) no service that had loaded the published model found it expired.

    From when its review was written, minutes after the moment that it counts from.
    """
    if pointer is None:
        return math.inf, math.inf
    life_s = settings.expire_after_days * DAY_S or math.inf
    written_s = (settings.models / POINTER_NAME).stat().st_mtime
    # As above, one of a clock that was ahead tells nothing.
    begin_s = max(pointer.reviewed_at, written_s if written_s <= now_s + CLOCK_AHEAD_S else 0.0)
    return begin_s + FOLLOWED_S, pointer.reviewed_at + life_s - FOLLOWED_S


def _latest(answers: Sequence[LastAnswer]) -> str | None:
    """The model that answered last; None where none did."""
    by_models = [one for one in answers if one.version is not None]
    return max(by_models).version if by_models else None


def _told(problem: str, answers: Sequence[LastAnswer]) -> tuple[CheckResult, ...]:
    if problem:
        return (CheckResult(MODEL, "alert", problem),)
    text = f"not yet known: no model has answered since {FOLLOWED_S:.0f} s after it was published"
    return () if answers else (CheckResult(MODEL, "unknown", text),)


def _published(settings: Settings) -> tuple[Pointer | None, Model | None, str]:
    """The pointer, its model, and why the service would not load one of them."""
    pointer = None
    try:
        pointer = read_pointer(settings.models)
        return pointer, None if pointer is None else load(settings.models, pointer, UNTIMED), ""
    except ModelRejected as error:
        return pointer, None, str(error)


def _unpublished(settings: Settings, version: str | None) -> str:
    """What is wrong where there is no pointer; nothing where there never was a model."""
    there = published_versions(settings.models) if presence.is_dir(settings.models) else []
    if version is not None:
        text = (
            f"no model is published, though the service answers by {version}: after a restart "
            "base scores are served. "
        )
        if version in there:
            return f"{text}`signal-scorer-train rollback {version}` publishes it again"
        return f"{text}A backup may have it: its folder is gone"
    if not there:
        return ""
    return (
        f"no model is published, though {len(there)} are there: base scores are served. `models` "
        "lists them, `rollback VERSION` publishes one again"
    )


def _another(settings: Settings, others: Sequence[LastAnswer], pointer: Pointer) -> str:
    """`others` are the answers that the published model did not give; their journals are named
    where there are several."""
    at = f"{datetime.fromtimestamp(pointer.published_at, UTC):%Y-%m-%d %H:%M} UTC"
    several = len(settings.journals) > 1
    they = "; ".join(
        f"the service{f' of {one.journal}' * several} answers by {one.version or 'no model'}"
        for one in others
    )
    return (
        f"{they}, and not by {pointer.version}, which is published since {at}: `signal-scorer "
        "health` says why it was refused"
    )


def _loaded(settings: Settings, version: str, now_s: float) -> Model | None:
    try:
        return pointer_to(settings.models, version, None, now_s=now_s, why="it answers")[1]
    except (RegistryError, FileNotFoundError):
        return None
