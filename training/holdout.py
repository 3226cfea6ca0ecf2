"""A time-ordered hold-out: trained on what had ended, tested on what came later.

No shuffling and no out-of-bag score: overlapping signals would tell on each other. The
calibration that the test sees is learned inside the training part, where later blocks are
predicted from earlier ones, so no number was fitted to the rows that it is measured on.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from protocol.manifest import Calibration
from training.samples import Samples

Floats = NDArray[np.float64]
# Fits on samples and returns raw probabilities (m,) for rows (m, 11).
Fit = Callable[[Samples], Callable[[Floats], Floats]]

TRAIN_SHARE = 0.7
# Inside the training part: the first 40 % start, three blocks of 20 % follow.
_PAST_SHARES = (0.4, 0.6, 0.8, 1.0)
_CLIP = 1e-6


class NotEnough(Exception):  # noqa: N818
    """The samples do not allow a test; the text says what is lacking."""


class HoldOut(msgspec.Struct, frozen=True):
    """Predictions of the unseen part and what they are worth, by predictor.

    `p` and `raw` (m,) belong to the unseen rows `test`, `past_raw` to the rows `past` that
    were unseen inside the training part, earlier in time. Metrics:
    `log_loss` in nats, `brier`, `auc`, `win_rate_top_half`, `win_rate`, `n`. At a
    `shrink_weight` of 0 the challenger found nothing to rely on and promises the base rate.
    """

    test: Samples
    p: Floats
    raw: Floats
    past: Samples
    past_raw: Floats
    n_train: int
    purged: int
    shrink_weight: float
    metrics: dict[str, dict[str, float]]

    @property
    def gain(self) -> float:
        """The challenger's log loss below the constant's, in nats a signal."""
        return self.metrics["constant"]["log_loss"] - self.metrics["challenger"]["log_loss"]


def hold_out(samples: Samples, fit: Fit) -> HoldOut:
    """Train on the first 70 % by time, test on the rest. Raises NotEnough."""
    train, test, purged = split(samples)
    past, past_raw = _walk(train, fit)
    raw = fit(train)(test.x)
    calibration = _calibrate(past_raw, past, train.base_rate)
    p = _serve(calibration, raw)
    constant = np.full(len(test), train.base_rate)
    return HoldOut(
        test,
        p,
        raw,
        past,
        past_raw,
        len(train),
        purged,
        calibration.shrink_weight,
        {
            "challenger": measure(p, test.win, test.weight),
            "challenger_raw": measure(raw, test.win, test.weight),
            "constant": measure(constant, test.win, test.weight),
        },
    )


def split(samples: Samples, share: float = TRAIN_SHARE) -> tuple[Samples, Samples, int]:
    """Training part, test part, and how many rows between them were purged.

    A row trains only if it had ended when the first test row was scored. Raises NotEnough
    where one of the parts lacks a win or a loss.
    """
    train, test = _divide(samples, round(share * len(samples)), len(samples))
    for part, name in ((train, "training"), (test, "test")):
        if not part.both_classes:
            raise NotEnough(
                f"the {name} part ({len(part)} of {len(samples)} samples) lacks a win or a loss"
            )
    return train, test, len(samples) - len(train) - len(test)


def _divide(samples: Samples, start: int, stop: int) -> tuple[Samples, Samples]:
    """Rows `start` to `stop`, with their whole first moment, and what had ended before it."""
    if not 0 < start < stop:
        raise NotEnough(f"{len(samples)} samples cannot be divided into a past and a future")
    starts_s = samples.time_s[start]
    past = samples.time_s < starts_s
    block = ~past
    block[stop:] = False
    return samples.take(past & (samples.end_s < starts_s)), samples.take(block)


def _walk(train: Samples, fit: Fit) -> tuple[Samples, Floats]:
    """Later blocks of the training part, each predicted from what had ended before it."""
    rows: list[NDArray[np.intp]] = []
    raw: list[Floats] = []
    cuts = [round(share * len(train)) for share in _PAST_SHARES]
    for start, stop in pairwise(cuts):
        before, block = _divide(train, start, stop)
        if not before.both_classes:
            continue
        rows.append(np.arange(stop - len(block), stop))
        raw.append(fit(before)(block.x))
    index = np.concatenate(rows) if rows else np.array([], dtype=np.intp)
    # A moment that two blocks share is predicted by both; the first, from less, stands.
    index, first = np.unique(index, return_index=True)
    past = train.take(index)
    if not past.both_classes:
        raise NotEnough(f"the past ({len(train)} samples) is too short to calibrate on")
    return past, np.concatenate(raw)[first]


def measure(p: Floats, win: NDArray[np.bool_], weight: Floats) -> dict[str, float]:
    """What predictions `p` (m,) of `win` (m,) are worth; AUC 0.5 for a constant.

    The top half is by `p`, ties in order of time, so for a constant it is the earlier half
    and says nothing.
    """
    from sklearn.metrics import roc_auc_score

    clipped = np.clip(p, _CLIP, 1 - _CLIP)
    log_losses = -np.where(win, np.log(clipped), np.log1p(-clipped))
    top = np.argsort(-p, kind="stable")[: (len(p) + 1) // 2]
    return {
        "log_loss": float(np.average(log_losses, weights=weight)),
        "brier": float(np.average((p - win) ** 2, weights=weight)),
        "auc": float(roc_auc_score(win, p, sample_weight=weight)),
        "win_rate_top_half": float(np.average(win[top], weights=weight[top])),
        "win_rate": float(np.average(win, weights=weight)),
        "n": float(len(p)),
    }


def final_calibration(result: HoldOut, samples: Samples) -> Calibration:
    """Calibration for the forest refitted on all, from every out-of-sample prediction."""
    from training.calibrate import fit_calibration

    raw = np.concatenate([result.past_raw, result.raw])
    win = np.concatenate([result.past.win, result.test.win])
    weight = np.concatenate([result.past.weight, result.test.weight])
    return fit_calibration(
        raw,
        win,
        n_effective=result.past.n_effective + result.test.n_effective,
        weight=weight,
        base_rate=samples.base_rate,
    )


def _calibrate(raw: Floats, part: Samples, base_rate: float) -> Calibration:
    from training.calibrate import fit_calibration

    return fit_calibration(
        raw, part.win, n_effective=part.n_effective, weight=part.weight, base_rate=base_rate
    )


def _serve(calibration: Calibration, raw: Floats) -> Floats:
    from training.calibrate import served

    return served(calibration, raw)
