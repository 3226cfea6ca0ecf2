"""The model that serves now, asked about what it had not seen.

The rule: a champion is judged on signals scored after every one that it was trained on had
ended, so neither its fit nor its calibration has met them. One that cannot be read now may be
sound, so nothing displaces it meanwhile.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from service.arrays import Bools
from service.errors import ModelRejected
from service.files.durable import named
from service.model.bundle import load, machine_faults
from service.model.model import Model
from service.model.pointer import read_pointer
from training.dataset.samples import Samples
from training.gate import Unseen
from training.models.registry import UNTIMED, too_old
from training.walk_forward import WalkForward
from training.wording import day


def published_model(models_dir: Path) -> Model | None:
    """The model that the pointer names, None where no pointer is there.

    Raises ModelRejected where the service would not load it, however quick it is, and OSError where
    it cannot be read, which says nothing of it.
    """
    with machine_faults():
        pointer = read_pointer(models_dir)
    if pointer is None:
        return None
    with named(models_dir / pointer.version), machine_faults():
        return load(models_dir, pointer, UNTIMED)


def current_model(models_dir: Path) -> Model | None:
    """As `published_model`, and None also where the service would not load it."""
    try:
        return published_model(models_dir)
    except ModelRejected:
        return None


def serving_model(models_dir: Path, expire_after_days: float, *, now_s: float) -> Model | None:
    """The model that the service answers by: the published one, unless it has expired.

    Raises as `published_model`.
    """
    model = published_model(models_dir)
    if model is None or too_old(model.reviewed_at, expire_after_days, now_s=now_s):
        return None
    return model


def serving(models_dir: Path, expire_after_days: float, *, now_s: float) -> str:
    """Which model the service answers by, or why by none. OSError where we cannot look."""
    try:
        model = published_model(models_dir)
    except ModelRejected as error:
        return f"the service would not load it: {error}; `models` lists others"
    if model is None:
        return "none is published here: without one base scores are served"
    if old := too_old(model.reviewed_at, expire_after_days, now_s=now_s):
        return f"{model.version}: {old}: base scores are served"
    return f"{model.version} serves, last reviewed {day(model.reviewed_at)}"


def seen_until_s(model: Model) -> float:
    """The moment up to which a model may have seen signals or their ends, UTC seconds.

    Never after it was made, whatever false stamp its samples carried.
    """
    made_of = model.manifest.samples
    return min(model.manifest.created_at, max(made_of.last_s, made_of.ended_s or 0.0))


def unseen(model: Model, samples: Samples) -> Bools:
    """Which live samples (n,) it would be asked about and had not seen."""
    at = (samples.time_s > seen_until_s(model)) & ~samples.backfilled
    return at & (samples.direction != 0) if model.directed else at


def ask(model: Model, walk: WalkForward) -> Unseen:
    """Its answers to those of the tested rows that it had not seen."""
    at = unseen(model, walk.test)
    p = [answer.p for answer in model.probabilities(walk.test.x[at])]
    return Unseen(model.version, at, np.array(p, dtype=np.float64))
