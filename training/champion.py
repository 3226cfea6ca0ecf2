"""The model that serves now, asked about what it had not seen.

The rule: a champion is judged on signals scored after every one that it was trained on had
ended, so neither its fit nor its calibration has met them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from service.arrays import Bools
from service.bundle import load, machine_faults, read_pointer
from service.errors import ModelRejected
from service.model import Model
from training.gate import Unseen
from training.publish import current_pointer
from training.registry import too_old
from training.samples import Samples
from training.walk_forward import WalkForward
from training.wording import day


def current_model(models_dir: Path) -> Model | None:
    """The model that the pointer names; None where there is none that the service would load."""
    pointer = current_pointer(models_dir)
    if pointer is None:
        return None
    try:
        return load(models_dir, pointer)
    except ModelRejected:
        return None


def serving_model(models_dir: Path, expire_after_days: float, *, now_s: float) -> Model | None:
    """The model that the service answers by: the current one, unless it has expired."""
    model = current_model(models_dir)
    if model is None or too_old(model.reviewed_at, expire_after_days, now_s=now_s):
        return None
    return model


def serving(models_dir: Path, expire_after_days: float, *, now_s: float) -> str:
    """Which model the service answers by, or why by none. OSError where we cannot look."""
    try:
        with machine_faults():
            found = read_pointer(models_dir)
            if found is None:
                return "none is published: base scores are served"
            model = load(models_dir, found)
    except ModelRejected as error:
        return f"the service would not load it: {error}; `models` lists others"
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
