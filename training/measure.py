"""What predictions are worth, in the numbers that verdict and report show. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.arrays import Bools, Floats
from training.dataset.samples import Samples
from training.logit import fit_logit, log_loss, logit, with_constant

ECE_BINS = 10


def measure(p: Floats, win: Bools, weight: Floats, rated: Floats | None = None) -> dict[str, float]:
    """What predictions `p` (m,) of `win` (m,) are worth; AUC 0.5 for a constant.

    `log_loss` in nats, `ece` is the mean gap between promise and win rate over tenths. The
    AUC and the top half are by `rated` (m,), or `p` where that is of one model; the half of a
    constant is drawn by lot and says nothing.
    """
    from sklearn.metrics import roc_auc_score

    rated = p if rated is None else rated
    top = best_half(rated)
    return {
        "log_loss": float(np.average(log_loss(p, win), weights=weight)),
        "brier": float(np.average((p - win) ** 2, weights=weight)),
        "auc": float(roc_auc_score(win, rated, sample_weight=weight)),
        "ece": calibration_error(p, win.astype(np.float64), weight),
        "win_rate_top_half": float(np.average(win[top], weights=weight[top])),
        "win_rate": float(np.average(win, weights=weight)),
        "n": float(len(p)),
    }


def best_first(score: Floats) -> NDArray[np.intp]:
    """The rows from the best `score` (m,) on, equal ones by lot, always the same.

    In order of time, the earlier half of equals would be the better where wins become fewer.
    """
    drawn = np.random.default_rng(len(score)).permutation(len(score))
    return drawn[np.argsort(-score[drawn], kind="stable")]


def best_half(score: Floats) -> NDArray[np.intp]:
    """The rows of the better half by `score` (m,)."""
    return best_first(score)[: (len(score) + 1) // 2]


def calibration_error(p: Floats, happened: Floats, weight: Floats) -> float:
    """Expected calibration error: mean |mean p - mean happened| over tenths by `p`.

    `happened` (m,) are wins as 0 and 1, or true probabilities where they are known.
    Naeini, Cooper and Hauskrecht, AAAI 2015, with bins of equal size.
    """
    parts = np.array_split(best_first(p), min(ECE_BINS, len(p)))
    sums = [
        (float(weight[part].sum()), float(np.sum(weight[part] * (p[part] - happened[part]))))
        for part in parts
    ]
    return sum(abs(gap) for _, gap in sums) / sum(total for total, _ in sums)


def calibration_slope(p: Floats, win: Bools, weight: Floats) -> float | None:
    """The slope of a logistic regression of the wins on logit(p): 1 is right, below 1 too bold.

    None where the predictions do not vary. Cox, Biometrika 45 (1958) 562.
    """
    odds = logit(p)
    if float(np.ptp(odds)) < 1e-9:
        return None
    return float(fit_logit(with_constant(odds), win.astype(np.float64), weight)[0])


def net_r(samples: Samples) -> Floats:
    """What each signal made in R, costs taken off: realised where known, else by its terms.

    `realised_r` is net already. NaN where neither is known: for a loss too, since losses alone
    would look like ruin; and for an end at neither level, which its terms say nothing of.
    """
    cost = np.nan_to_num(samples.cost_r, nan=0.0)
    by_terms = np.where(samples.win, samples.reward_risk, -1.0) - cost
    by_terms[~(np.isfinite(samples.reward_risk) & samples.at_level)] = np.nan
    result: Floats = np.where(np.isfinite(samples.realised_r), samples.realised_r, by_terms)
    return result


def expected_r(p: Floats, samples: Samples) -> Floats:
    """E[R] = p b - (1 - p) - c of each signal, b = 1 where it is unknown."""
    reward = np.where(np.isfinite(samples.reward_risk), samples.reward_risk, 1.0)
    result: Floats = p * reward - (1.0 - p) - np.nan_to_num(samples.cost_r, nan=0.0)
    return result


def taken_r(p: Floats, samples: Samples) -> tuple[float, float] | None:
    """Mean R of the half with the best expected R, and of all; None where no R is known."""
    made = net_r(samples)
    known = np.isfinite(made)
    if not known.any():
        return None
    rows, weight = samples.take(known), samples.weight[known]
    top = best_half(expected_r(p[known], rows))
    made = made[known]
    return float(np.average(made[top], weights=weight[top])), float(
        np.average(made, weights=weight)
    )
