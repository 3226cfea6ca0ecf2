"""Publication: a bundle that never changes, then the pointer, each whole or not there at all.

The rule: at every step a `kill -9` or a power cut leaves the old model or the new one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from protocol.manifest import Calibration, Reference, Samples, Verdict
from service.forest import Forest

Floats = NDArray[np.float64]


class LockHeld(Exception):  # noqa: N818
    """Another trainer is at work on these models. The command ends with 75."""


class Pinned(Exception):  # noqa: N818
    """The current model is pinned; nothing was written."""


@dataclass(frozen=True, slots=True)
class ManifestDraft:
    """What the trainer knows of a model; publication adds version, digests and golden answers.

    `golden` (m, 11), 32 rows or more: see `golden_inputs`.
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


class TrainerLock:
    """Context manager: one trainer at a time, by flock on `models/.lock`. Raises LockHeld."""

    def __init__(self, models_dir: Path) -> None:
        self._path = models_dir / ".lock"

    def __enter__(self) -> TrainerLock:
        raise NotImplementedError

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        raise NotImplementedError


def golden_inputs(x: Floats, forest: Forest, *, seed: int = 42) -> Floats:
    """Rows (64, 11) to publish answers for: samples, ties with thresholds, extremes."""
    raise NotImplementedError


def reference(x: Floats, p: Floats) -> Reference:
    """Deciles of each column of `x` (n, 11) and of the served probabilities `p` (n,)."""
    raise NotImplementedError


def publish(
    models_dir: Path,
    forest: Forest,
    draft: ManifestDraft,
    report_html: bytes,
    *,
    now_s: float,
    why: str,
    keep: int = 5,
    step: Callable[[str], None] = lambda _name: None,
) -> str:
    """Publish a model and point at it; returns its version. The caller holds the TrainerLock.

    Raises Pinned, or ModelRejected where the service would refuse the bundle; then the
    pointer has not moved.
    """
    raise NotImplementedError


def append_history(models_dir: Path, event: Mapping[str, object]) -> None:
    """Append one line to `history.jsonl`, durably; `event` has at least `event` and `at`."""
    raise NotImplementedError
