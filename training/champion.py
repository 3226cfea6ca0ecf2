"""The model that serves now, asked about what it had not seen; and whether it may go on.

The rule: a champion is judged on signals scored after every one that it was trained on had
ended, so neither its fit nor its calibration has met them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.bundle import load
from service.errors import ModelRejected
from service.model import Model
from training.bound import days
from training.conditions import MIN_DAYS
from training.gate import Unseen, improvement
from training.publish import current_pointer
from training.walk_forward import WalkForward

Floats = NDArray[np.float64]


def current_model(models_dir: Path) -> Model | None:
    """The model that the pointer names; None where there is none that the service would load."""
    pointer = current_pointer(models_dir)
    if pointer is None:
        return None
    try:
        return load(models_dir, pointer)
    except ModelRejected:
        return None


def seen_until_s(model: Model) -> float:
    """The moment up to which a model may have seen signals or their ends, UTC seconds.

    Never after it was made, whatever false stamp its samples carried.
    """
    made_of = model.manifest.samples
    return min(model.manifest.created_at, max(made_of.last_s, made_of.ended_s or 0.0))


def ask(model: Model, walk: WalkForward) -> Unseen:
    """Its answers to those of the tested rows that it had not seen."""
    at = walk.test.time_s > seen_until_s(model)
    if model.directed:
        at &= walk.test.direction != 0
    p = [answer.p for answer in model.probabilities(walk.test.x[at])]
    return Unseen(model.version, at, np.array(p, dtype=np.float64))


def still_better(champion: Unseen, walk: WalkForward) -> float | None:
    """By how many nats a signal the champion beat the constant on what came since.

    None where that is fewer than five days, or it did not.
    """
    rows = walk.test.take(champion.at)
    if len(np.unique(days(rows.time_s))) < MIN_DAYS:
        return None
    constant = walk.others["constant"][champion.at]
    gain = improvement(constant, champion.p, rows.win, rows.weight, rows.time_s)
    return gain.value if gain.value > 0.0 else None
