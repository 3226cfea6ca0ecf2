"""From what the trainer knows of a model to its manifest.

The rule: the answers a manifest promises are computed by the code that will serve them.
"""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version as installed

import msgspec
import numpy as np

from protocol.manifest import (
    FORMAT_VERSION,
    Calibration,
    FileEntry,
    ForestParameters,
    GoldenRow,
    Manifest,
    Reference,
    Samples,
    Verdict,
)
from protocol.schema import SCHEMA
from service.arrays import Floats
from service.model.forest import Forest
from service.model.model import calibrate

GOLDEN_ROWS = 64
DECILES = np.linspace(0.1, 0.9, 9)
LIBRARIES = ("numpy", "scikit-learn", "msgspec")


@dataclass(frozen=True, slots=True)
class ManifestDraft:
    """What the trainer knows of a model; publication adds version, digests and golden answers.

    `golden` (64, 11): see `golden_inputs`.
    """

    directed: bool
    min_samples_leaf: int
    max_features: int
    seed: int
    calibration: Calibration
    importances: dict[str, float]
    samples: Samples
    verdict: Verdict
    reference: Reference
    golden: Floats
    break_even: str = ""


def golden_inputs(x: Floats, forest: Forest, *, seed: int = 42) -> Floats:
    """Return rows (64, 11) to publish answers for: samples, ties with thresholds, extremes."""
    rng = np.random.default_rng(seed)
    rows = x[rng.integers(len(x), size=GOLDEN_ROWS)].copy()
    thresholds = forest.arrays.threshold
    splits = rng.permutation(np.flatnonzero(np.isfinite(thresholds)))[: GOLDEN_ROWS // 2 - 2]
    rows[np.arange(len(splits)), forest.arrays.feature[splits].astype(np.intp)] = thresholds[splits]
    rows[-2], rows[-1] = 0.0, 100.0
    return rows


def reference(x: Floats, p: Floats) -> Reference:
    """Return the deciles of each column of `x` (n, 11) and of the served probabilities `p` (n,)."""
    columns = {name: _deciles(x[:, at]) for at, name in enumerate(SCHEMA.names)}
    return Reference(features=columns, probability=_deciles(p))


def _deciles(values: Floats) -> tuple[float, ...]:
    # Interpolation may fall by an ulp between equal neighbours.
    return tuple(np.maximum.accumulate(np.quantile(values, DECILES)).tolist())


def versions(draft: ManifestDraft, forest_file: bytes, now_s: float) -> Iterator[str]:
    """Yield names for a version: its UTC second, and a digest that differs with each try."""
    second = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
    content = hashlib.sha256(forest_file + msgspec.json.encode(draft.calibration))
    while True:
        content.update(b"+")
        yield f"{second}-{content.hexdigest()[:6]}"


def manifest(
    draft: ManifestDraft,
    forest: Forest,
    files: Mapping[str, bytes],
    *,
    version: str,
    parent: str | None,
    now_s: float,
) -> Manifest:
    """Complete a draft."""
    return Manifest(
        format_version=FORMAT_VERSION,
        model_version=version,
        parent=parent,
        created_at=now_s,
        feature_names=SCHEMA.names,
        schema_version=SCHEMA.version,
        fingerprint=SCHEMA.fingerprint,
        directed=draft.directed,
        forest=ForestParameters(
            trees=forest.trees,
            depth=forest.depth,
            nodes=forest.nodes,
            min_samples_leaf=draft.min_samples_leaf,
            max_features=draft.max_features,
            seed=draft.seed,
        ),
        calibration=draft.calibration,
        importances=draft.importances,
        samples=draft.samples,
        verdict=draft.verdict,
        reference=draft.reference,
        golden=tuple(_golden(draft.calibration, forest, row) for row in draft.golden),
        break_even=draft.break_even,
        libraries={name: installed(name) for name in LIBRARIES}
        | {"python": platform.python_version()},
        files={name: entry(content) for name, content in files.items()},
    )


def entry(content: bytes) -> FileEntry:
    """Return digest and size of a file's content."""
    return FileEntry(hashlib.sha256(content).hexdigest(), len(content))


def _golden(calibration: Calibration, forest: Forest, row: Floats) -> GoldenRow:
    answer = calibrate(calibration, forest.predict(row))
    return GoldenRow(tuple(row.tolist()), answer.raw, answer.calibrated, answer.p)
