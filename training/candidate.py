"""A candidate model: fitted, tested on what came later, judged. Nothing is written here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sklearn.ensemble import RandomForestClassifier

from protocol.manifest import Samples as Span
from protocol.manifest import Verdict
from service.forest import Forest
from training.calibrate import served
from training.fit import fit_forest, importances, pack
from training.holdout import Floats, HoldOut, final_calibration, hold_out
from training.publish import ManifestDraft, golden_inputs, reference
from training.samples import Samples
from training.settings import Settings

_BREAK_EVEN = (
    "A signal of reward:risk b and cost c (in units of the risk) breaks even at a win "
    "probability of (1 + c) / (1 + b)."
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """The forest fitted on all samples, and what its like did on samples it had not seen."""

    made_s: float
    samples: Samples
    held_out: HoldOut
    verdict: Verdict
    estimator: RandomForestClassifier
    forest: Forest
    importances: dict[str, float]
    seed: int


def make(samples: Samples, settings: Settings, *, now_s: float) -> Candidate:
    """Test, then fit on all. Raises NotEnough where the samples allow no test."""

    def fit(part: Samples) -> RandomForestClassifier:
        return fit_forest(
            part.x,
            part.win,
            part.weight,
            n_effective=part.n_effective,
            seed=settings.seed,
            n_jobs=settings.jobs,
        )

    def predictor(part: Samples) -> Callable[[Floats], Floats]:
        return pack(fit(part)).predict_many

    held_out = hold_out(samples, predictor)
    estimator = fit(samples)
    return Candidate(
        made_s=now_s,
        samples=samples,
        held_out=held_out,
        verdict=judge(held_out),
        estimator=estimator,
        forest=pack(estimator),
        importances=importances(estimator),
        seed=settings.seed,
    )


def judge(held_out: HoldOut) -> Verdict:
    """Better than the constant on unseen signals, or not; in words and numbers."""
    losses = {name: f"{values['log_loss']:.4f}" for name, values in held_out.metrics.items()}
    better = held_out.gain > 0
    if better:
        judgement = ". One hold-out: a first sign, not proof."
    elif held_out.shrink_weight == 0:
        judgement = ": in the past it could not be told from chance, so it promises the base rate."
    else:
        judgement = ": no better than guessing."
    reason = (
        f"On {len(held_out.test)} later signals the model's log loss was {losses['challenger']} "
        f"nats, a constant's {losses['constant']}{judgement}"
    )
    return Verdict(published=better, reason=reason, metrics=held_out.metrics)


def draft(candidate: Candidate) -> ManifestDraft:
    """What the manifest says of a candidate that is to be published."""
    samples, held_out, estimator = candidate.samples, candidate.held_out, candidate.estimator
    calibration = final_calibration(held_out, samples)
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
            n_effective=samples.n_effective,
            base_rate=samples.base_rate,
        ),
        verdict=candidate.verdict,
        # Drift is measured against what will be seen: answers to rows that were not fitted.
        reference=reference(samples.x, served(calibration, held_out.raw)),
        golden=golden_inputs(samples.x, candidate.forest, seed=candidate.seed),
        break_even=_BREAK_EVEN,
    )
