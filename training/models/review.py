"""Whether the model that serves may go on: its review on what came since, and its new age.

The rule: a review asks no candidate. It is due from four fifths of the days after which a model
expires, however few signals have come, and renews the age only of a model that was better on
them than a constant, by the estimate: its bound would end one in four that works. What a review
has judged, the next one counts again only where fewer than 50 signals or five days came since.
"""

from __future__ import annotations

import numpy as np

from service.arrays import Floats
from service.errors import ModelRejected
from service.model.model import Model
from service.model.pointer import REVIEW_DUE
from training.bound import DAY_S, FEWEST_JUDGED, days
from training.conditions import MIN_DAYS
from training.dataset.samples import Samples
from training.gate import improvement
from training.interrupt import finished_first
from training.models.champion import published_model, unseen
from training.models.registry import revalidate
from training.settings import Settings
from training.wording import day

SAME_SUNDAY_S = 7_200.0
"""Four fifths of 35 days are four weekly runs to the second; one may come sooner by seconds, or
by the hour at which summer time begins."""


def due(settings: Settings, *, now_s: float) -> bool:
    """Whether there is a model that will expire soon, or has, or cannot be loaded any more."""
    limit_s = REVIEW_DUE * settings.expire_after_days * DAY_S
    try:
        model = published_model(settings.models)
    except ModelRejected:
        return True
    if model is None or limit_s <= 0.0:
        return False
    return now_s - model.reviewed_at >= limit_s - SAME_SUNDAY_S


def review(samples: Samples, settings: Settings, *, now_s: float) -> str:
    """Renew the age of the current model if it deserves that; a sentence on what was found.

    Empty where there is no model. OSError where it cannot be read. With the TrainerLock held.
    """
    try:
        model = published_model(settings.models)
    except ModelRejected as error:
        return f"The published model was not reviewed: the service would not load it: {error}."
    if model is None:
        return ""
    rows = samples.take(unseen(model, samples))
    if len(np.unique(days(rows.time_s))) < MIN_DAYS:
        return (
            f"{len(rows)} outcomes of fewer than {MIN_DAYS} days are too few to review the current "
            "model by, so its age goes on."
        )
    weighed = since_review(rows, model.reviewed_at)
    gain = gain_over_constant(model, weighed, rows)
    told = f"on {len(weighed):,} signals since {day(weighed.time_s[0])}"
    if not gain > 0.0:
        return f"The current model was not found better than a constant {told}, so its age goes on."
    why = f"still {gain:.4f} nats below a constant {told}"
    with finished_first():
        revalidate(settings.models, now_s=now_s, why=why)
    return f"Re-validated: {why}."


def since_review(rows: Samples, reviewed_at: float) -> Samples:
    """The rows after the last review (UTC s), or the newest 50 and five days where they are fewer.

    An edge that has gone would else live on what it earned before.
    """
    begin = int(np.searchsorted(rows.time_s, reviewed_at, side="right"))
    _, mornings = np.unique(days(rows.time_s), return_index=True)
    return rows.take(
        slice(min(begin, max(len(rows) - FEWEST_JUDGED, 0), int(mornings[-MIN_DAYS])), None)
    )


def gain_over_constant(model: Model, rows: Samples, known: Samples) -> float:
    """By how many nats a signal the model beat the constant on `rows`.

    `known` are all live signals since its training, of which the constant learns.
    """
    p = np.array([answer.p for answer in model.probabilities(rows.x)], dtype=np.float64)
    constant = _constant(model, rows, known)
    return improvement(constant, p, rows.win, rows.weight, rows.time_s).value


def _constant(model: Model, rows: Samples, known: Samples) -> Floats:
    """The base rate (m,) as it was known when each row's day began.

    It goes on from what the model was trained on: a rival that learns nothing would be beaten
    by whatever follows the market's share of wins.
    """
    trained = model.manifest.samples
    ended = known.take(np.argsort(known.end_s))
    weight = np.cumsum([trained.n_effective, *ended.weight])
    won = np.cumsum([trained.n_effective * trained.base_rate, *(ended.weight * ended.win)])
    by_then = np.searchsorted(ended.end_s, days(rows.time_s) * DAY_S)
    return np.asarray(won[by_then] / weight[by_then])
