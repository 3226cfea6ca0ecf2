"""Whether the served model is to be taken back, and the doing of it.

The rule: only on evidence beyond the alarm itself. The alarm of calibration and loss is on, over
the last days the model's log loss is above the previous champion's or the constant's for sure
(99 %, by days or longer stretches), and the previous one did better on the same signals and has
not expired. A pinned model stays, and one that a rollback or a pin brought is not taken back
in turn: two bad models must not take turns.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np

from service.arrays import Floats
from service.files.durable import TrainerLock, Unflushed
from service.model.history import moves, read_history
from service.model.model import Model
from training.bound import FEWEST_JUDGED, FEWEST_JUDGED_DAYS, clustered, days, t_quantile
from training.logit import log_loss
from training.models.champion import seen_until_s
from training.models.publish import current_pointer
from training.models.registry import RegistryError, complete_history, pointer_to, rollback, too_old
from training.monitor.live import Live

CONFIDENCE = 0.99
OURS = "monitor: "
"""How the reason of a rollback begins in the history that was not made by hand."""


class Retreat(msgspec.Struct, frozen=True):
    """`due` says that all conditions hold; `text` is the reason either way."""

    due: bool
    text: str
    version: str = ""
    to: str = ""


def consider(
    model: Model, live: Live, models_dir: Path, *, expire_after_days: float, now_s: float
) -> Retreat:
    """Hold the model's live loss against the previous champion's and the constant's.

    `live` are the outcomes of the last days. Nothing is changed.
    """
    pointer = current_pointer(models_dir)
    if pointer is None or pointer.version != model.version:
        return Retreat(False, "another model has been published meanwhile")
    if pointer.pinned:
        return Retreat(False, "it is pinned")
    if pointer.previous is None:
        return Retreat(False, "there is no previous model")
    if _brought_back(models_dir, pointer.version):
        return Retreat(False, "a rollback or a pin brought it here; a new model is wanted")
    try:
        _, previous = pointer_to(
            models_dir, pointer.previous, None, now_s=now_s, why="to compare with"
        )
    except RegistryError as error:
        return Retreat(False, f"the previous model: {error}")
    if old := too_old(previous.reviewed_at, expire_after_days, now_s=now_s):
        return Retreat(False, f"the previous model would not be used: {old}")
    rows = live.take(live.time_s > seen_until_s(previous))
    if len(rows) < FEWEST_JUDGED or len(np.unique(days(rows.time_s))) < FEWEST_JUDGED_DAYS:
        return Retreat(False, f"{len(rows)} outcomes are too few to choose by")
    return _compared(model, previous, rows)


def carry_out(retreat: Retreat, models_dir: Path, *, now_s: float) -> tuple[str, bool]:
    """Point back and record it in the history; returns what came of it, and whether it moved.

    Raises LockHeld where a trainer is at work: the next run looks again.
    """
    with TrainerLock(models_dir):
        pointer = current_pointer(models_dir)
        if pointer is None or pointer.version != retreat.version or pointer.pinned:
            return "not rolled back: another model has been published or pinned meanwhile", False
        with suppress(OSError):
            complete_history(models_dir)
        try:
            rollback(models_dir, retreat.to, now_s=now_s, why=f"{OURS}{retreat.text}"[:1900])
        except RegistryError as error:
            return f"rollback failed: {error}", False
        except Unflushed as error:
            return f"rolled back to {retreat.to} ({error.strerror}): {retreat.text}", True
        except OSError as error:
            return f"rollback failed: {error}", False
    return f"rolled back to {retreat.to}: {retreat.text}", True


def _compared(model: Model, previous: Model, rows: Live) -> Retreat:
    theirs = np.array([answer.p for answer in previous.probabilities(rows.x)])
    constant = np.full(len(rows), model.manifest.calibration.base_rate)
    over_previous, sure_previous = _worse(rows, theirs)
    over_constant, sure_constant = _worse(rows, constant)
    text = (
        f"on {len(rows):,} signals its log loss was {over_previous:+.4f} nats a signal above the "
        f"previous model's and {over_constant:+.4f} above a constant's"
    )
    if not (sure_previous or sure_constant):
        return Retreat(False, f"{text}: not significant")
    if over_previous <= 0.0:
        return Retreat(False, f"{text}: the previous model is no better")
    return Retreat(True, text, model.version, previous.version)


def _worse(rows: Live, other: Floats) -> tuple[float, bool]:
    """By how many nats a signal the served answers lose more, and whether that is sure."""
    excess = log_loss(rows.p, rows.win) - log_loss(other, rows.win)
    mean = clustered(excess, rows.weight, rows.groups)
    margin = t_quantile(mean.clusters - 1, CONFIDENCE) * mean.error
    return mean.value, bool(mean.value > margin)


def _brought_back(models_dir: Path, current: str) -> bool:
    """Whether it was not published that the pointer moved last: a pin may move it, too.

    Nor is a move that the history lacks, as where a crash came before its line, a publication.
    """
    version, moved = None, "published"
    for event in moves(read_history(models_dir)):
        if event.version != version:
            version, moved = event.version, event.event
    return moved != "published" or version not in (None, current)
