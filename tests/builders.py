"""Small published models for tests that need one and are not about how it came to be."""

from __future__ import annotations

import functools
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
from msgspec.structs import replace as with_fields
from numpy.typing import NDArray

from protocol.manifest import Calibration, Pointer, Samples, Verdict
from protocol.schema import FEATURE_COUNT
from service.files.durable import TrainerLock
from service.model.bundle import load
from service.model.forest import Forest
from service.model.model import Model
from service.model.pointer import read_pointer
from training.calibration.calibrate import fit_calibration
from training.fit import fit_forest, importances, min_samples_leaf, pack
from training.models.draft import ManifestDraft, golden_inputs, reference
from training.models.publish import publish

NOW_S = 1_757_900_000.0
ROWS = 300


@functools.cache
def training_rows(seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Vectors (300, FEATURE_COUNT) in 0..100 and wins that follow atr_volatility and base_score."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.0, 100.0, (ROWS, FEATURE_COUNT))
    chance = np.clip(0.1 + 0.4 * x[:, 0] / 100.0 + 0.4 * x[:, -1] / 100.0, 0.0, 1.0)
    return x, rng.uniform(size=ROWS) < chance


@functools.cache
def small_calibration() -> Calibration:
    """Of the first small forest, for all of them: its interval takes longer than a forest."""
    x, y = training_rows()
    forest = pack(fit_forest(x, y, n_effective=ROWS, trees=20, seed=0, n_jobs=1))
    return fit_calibration(forest.predict_many(x), y, n_effective=ROWS)


@functools.cache
def small_draft(seed: int = 0) -> tuple[Forest, ManifestDraft]:
    """A fitted forest of 20 trees and what its manifest is to say."""
    x, y = training_rows(seed)
    estimator = fit_forest(x, y, n_effective=ROWS, trees=20, seed=seed, n_jobs=1)
    forest = pack(estimator)
    base_rate = float(y.mean())
    return forest, ManifestDraft(
        directed=False,
        min_samples_leaf=min_samples_leaf(ROWS),
        max_features=3,
        seed=seed,
        calibration=small_calibration(),
        importances=importances(estimator),
        samples=Samples(NOW_S - 864_000.0, NOW_S, ROWS, float(ROWS), base_rate),
        verdict=Verdict(True, "test", {"challenger": {"log_loss": 0.6}}),
        reference=reference(x, forest.predict_many(x)),
        golden=golden_inputs(x, forest),
        break_even="none",
    )


def write_draft(path: Path, seed: int) -> Path:
    """The same for another program, which reads it with `pickle`: scikit-learn takes two seconds
    to import."""
    path.write_bytes(pickle.dumps(small_draft(seed)))
    return path


def biased(calibration: Calibration, by: float) -> Calibration:
    """The same calibration with `by` added to the intercept, trusted fully."""
    return with_fields(calibration, intercept=calibration.intercept + by, shrink_weight=1.0)


def pointer_of(models_dir: Path) -> Pointer:
    """What is current."""
    pointer = read_pointer(models_dir)
    assert pointer is not None
    return pointer


def model_of(models_dir: Path) -> Model:
    """The current model, read and verified as the service does it."""
    return load(models_dir, pointer_of(models_dir))


def small_model(
    models_dir: Path,
    seed: int = 0,
    *,
    probability_bias: float = 0.0,
    directed: bool = False,
    now_s: float = NOW_S,
) -> str:
    """Publish a small model and return its version.

    `probability_bias` is added on the logit, so that two models differ plainly.
    """
    forest, draft = small_draft(seed)
    draft = replace(
        draft, directed=directed, calibration=biased(draft.calibration, probability_bias)
    )
    with TrainerLock(models_dir):
        return publish(models_dir, forest, draft, b"<html></html>", now_s=now_s, why="test")
