"""A model of the usual size, 150 trees on 3,000 rows, published as the trainer does it.

Its trees have 20 leaves, since a leaf holds 50 rows at least; on 20,000 rows they have 118.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

    from service.model.forest import Forest
    from training.models.draft import ManifestDraft

ROWS = 3000


class Grown(NamedTuple):
    """scikit-learn's forest, ours, and what its manifest is to say."""

    estimator: RandomForestClassifier
    forest: Forest
    draft: ManifestDraft


def market(seed: int = 1, rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    """Vectors, and wins that depend on them."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 100, (rows, 11))
    logit = (x[:, 0] + x[:, 5] + x[:, 10] - 150) / 40
    return x, rng.uniform(size=rows) < 1 / (1 + np.exp(-logit))


def grown(seed: int, market_seed: int = 1, rows: int = ROWS) -> Grown:
    """A forest and its draft. What scikit-learn takes to import, only who calls this pays."""
    from protocol.manifest import Samples, Verdict
    from training.calibration.calibrate import fit_calibration
    from training.fit import fit_forest, importances, min_samples_leaf, pack
    from training.models.draft import ManifestDraft, golden_inputs, reference

    x, y = market(market_seed, rows)
    estimator = fit_forest(x, y, n_effective=float(rows), seed=seed, n_jobs=2)
    forest = pack(estimator)
    raw, now_s = forest.predict_many(x), time.time()
    draft = ManifestDraft(
        directed=False,
        min_samples_leaf=min_samples_leaf(rows),
        max_features=3,
        seed=seed,
        calibration=fit_calibration(raw, y, n_effective=float(rows)),
        importances=importances(estimator),
        samples=Samples(now_s - 864_000.0, now_s, rows, float(rows), float(y.mean())),
        verdict=Verdict(True, "benchmark", {}),
        reference=reference(x, raw),
        golden=golden_inputs(x, forest),
        break_even="none",
    )
    return Grown(estimator, forest, draft)


def publish_model(models: Path, seed: int = 42, rows: int = ROWS) -> RandomForestClassifier:
    """Publish one, and give scikit-learn's forest."""
    found = grown(seed, rows=rows)
    publish_grown(models, found)
    return found.estimator


def publish_grown(models: Path, found: Grown, report: bytes = b"<p>benchmark</p>") -> None:
    """Publish it under a version of its own."""
    from service.files.durable import TrainerLock
    from training.models.publish import publish

    with TrainerLock(models):
        publish(models, found.forest, found.draft, report, now_s=time.time(), why="benchmark")
