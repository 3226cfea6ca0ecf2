"""A candidate model: walked forward, judged, fitted on all. Nothing is written here."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np
from sklearn.ensemble import RandomForestClassifier

from protocol.manifest import Calibration, Verdict
from protocol.manifest import Samples as Span
from service.arrays import Floats
from service.model.forest import Forest
from service.model.model import Model
from training.bound import blocks, stretches
from training.calibration.calibrate import fit_calibration, served
from training.dataset.samples import Samples
from training.fit import fit_forest, importances, pack, parity
from training.gate import Checks, judge
from training.logit import moved
from training.models import champion
from training.models.draft import ManifestDraft, golden_inputs, reference
from training.settings import Settings
from training.walk_forward import Fit, WalkForward, walk_forward
from training.workers import Place, workers

_BREAK_EVEN = (
    "A signal of reward:risk b and cost c (in units of the risk) breaks even at a win "
    "probability of (1 + c) / (1 + b)."
)


_TIMED_ROWS = 64


@dataclass(frozen=True, slots=True)
class Candidate:
    """The forest fitted on all samples, and what its like did on samples it had not seen."""

    made_s: float
    samples: Samples
    walk: WalkForward
    verdict: Verdict
    estimator: RandomForestClassifier
    forest: Forest
    importances: dict[str, float]
    seed: int

    @property
    def gain(self) -> float:
        """The challenger's log loss below the constant's, in nats a signal."""
        return self.verdict.metrics["constant"]["improvement"]


def make(
    samples: Samples,
    settings: Settings,
    *,
    now_s: float,
    current: Model | None = None,
    remark: str = "",
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Candidate:
    """Walk forward, fit on all, judge against `current` too. Raises NotEnough, WorkersError.

    `remark` goes behind the verdict's reason, and so wherever that is told.
    """
    walk = _walk(samples, settings, progress)
    estimator = grow(samples, settings)
    forest = pack(estimator)
    asked = current is not None and (not current.directed or bool(samples.direction.any()))
    unseen = champion.ask(current, walk) if current is not None and asked else None
    checks = Checks(parity(estimator, forest, samples.x), row_seconds(forest, samples.x))
    verdict = judge(walk, checks, unseen)
    return Candidate(
        made_s=now_s,
        samples=samples,
        walk=walk,
        verdict=msgspec.structs.replace(verdict, reason=f"{verdict.reason} {remark}".rstrip()),
        estimator=estimator,
        forest=forest,
        importances=importances(estimator),
        seed=settings.seed,
    )


def _walk(
    samples: Samples, settings: Settings, progress: Callable[[int, int], None]
) -> WalkForward:
    """Here the trees of a window share the cores; on a cluster each window is one's own."""
    if settings.scheduler is None:
        return walk_forward(samples, grower(settings), settings.rhythm, progress=progress)
    alone = msgspec.structs.replace(settings, jobs=1)
    with workers(Place(scheduler=settings.scheduler)) as pool:
        return walk_forward(
            samples, grower(alone), settings.rhythm, progress=progress, spread=pool.map
        )


def grow(samples: Samples, settings: Settings) -> RandomForestClassifier:
    """A forest on all of `samples`, as every one of a run is grown."""
    return fit_forest(
        samples.x,
        samples.win,
        samples.weight,
        n_effective=samples.n_effective,
        trees=settings.trees,
        seed=settings.seed,
        n_jobs=settings.jobs,
    )


def grower(settings: Settings) -> Fit:
    """`grow` as the walk-forward wants it: what a packed forest of some samples answers."""
    return lambda part: pack(grow(part, settings)).predict_many


def row_seconds(forest: Forest, x: Floats, clock: Callable[[], float] = time.perf_counter) -> float:
    """The quickest of some rows: another one may have waited for the processor."""
    quickest = float("inf")
    for row in x[:_TIMED_ROWS]:
        begun = clock()
        forest.predict(row)
        quickest = min(quickest, clock() - begun)
    return quickest


def draft(candidate: Candidate) -> ManifestDraft:
    """What the manifest says of a candidate that is to be published."""
    samples, walk, estimator = candidate.samples, candidate.walk, candidate.estimator
    calibration = final_calibration(walk, samples)
    unseen = moved(walk.raw, walk.past_base[-len(walk.raw) :], samples.base_rate)
    return ManifestDraft(
        directed=bool(samples.direction.any()),
        min_samples_leaf=int(estimator.min_samples_leaf),
        max_features=int(estimator.estimators_[0].max_features_),
        seed=candidate.seed,
        calibration=calibration,
        importances=candidate.importances,
        samples=Span(
            first_s=float(samples.time_s[0]),
            last_s=float(samples.time_s[-1]),
            n=len(samples),
            n_effective=samples.live.n_effective,
            base_rate=samples.live.base_rate,
            ended_s=float(np.max(samples.end_s)),
        ),
        verdict=candidate.verdict,
        # Drift is measured against what will be seen: live signals, and answers to rows that
        # were not fitted.
        reference=reference(samples.x[~samples.backfilled], served(calibration, unseen)),
        golden=golden_inputs(samples.x, candidate.forest, seed=candidate.seed),
        break_even=_BREAK_EVEN,
    )


def final_calibration(walk: WalkForward, samples: Samples) -> Calibration:
    """Calibration for the forest refitted on all, from every out-of-sample answer."""
    past = walk.past
    return fit_calibration(
        moved(walk.past_raw, walk.past_base, samples.base_rate),
        past.win,
        n_effective=past.n_effective,
        weight=past.weight,
        groups=stretches(past.time_s, walk.holding_s),
        blocks=blocks(past.time_s, walk.holding_s),
        base_rate=samples.live.base_rate,
    )
