"""The gate: a candidate is published when its advantage is established, not when it is hoped.

The rule: every condition is a number against a bound, all of them are computed whatever
the others say, and the verdict carries them all. Nothing here looks at the future: what is
judged are answers to signals that were unseen when they were given.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from protocol.manifest import Verdict
from training.bound import Mean, clustered, days
from training.logit import log_loss
from training.measure import calibration_slope, measure, taken_r
from training.walk_forward import NotEnough, WalkForward

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MIN_DAYS = 5
CHAMPION_MARGIN_NATS = 0.002
SLOPE_LOW, SLOPE_HIGH = 0.7, 1.3
CHAMPION_MARGIN_R = 0.02
MAX_PARITY = 1e-12
MAX_ROW_S = 0.005
NAMES = {
    "constant": "the constant",
    "logit_base_score": "the rule on the base score",
    "logit_stop_spreads": "the rule on stop distance against spread",
    "champion": "the champion",
}


class Checks(msgspec.Struct, frozen=True):
    """The packed forest against scikit-learn's answers, and its quickest row in seconds."""

    parity: float
    row_s: float


class Unseen(msgspec.Struct, frozen=True):
    """What the champion said of the tested rows `at` (m,) that it had not seen either."""

    version: str
    at: Bools
    p: Floats


def judge(walk: WalkForward, checks: Checks, champion: Unseen | None = None) -> Verdict:
    """Every number of the gate, and whether all of its conditions hold. Raises NotEnough."""
    test = walk.test
    metrics = {"challenger": measure(walk.p, test.win, test.weight)}
    metrics["challenger_raw"] = measure(walk.raw, test.win, test.weight)
    day_count = len(np.unique(walk.groups))
    if day_count < MIN_DAYS:
        raise NotEnough(
            f"the {len(test)} unseen signals lie in {day_count} days, {MIN_DAYS} are needed"
        )
    failed: list[str] = []
    for name, p in walk.others.items():
        gain = improvement(p, walk.p, test.win, test.weight, test.time_s)
        metrics[name] = measure(p, test.win, test.weight) | _shown(gain)
        if not gain.low > 0.0:
            failed.append(f"no better than {NAMES[name]} for sure (bound {_nats(gain.low)})")
    failed += _calibration(walk, metrics["challenger"])
    failed += _reward(walk.p, walk, metrics["challenger"])
    if champion is not None:
        failed += _against(champion, walk, metrics)
    failed += _sound(checks, metrics["challenger"])
    return Verdict(
        published=not failed,
        reason=_sentence(walk, metrics, day_count, failed),
        metrics=metrics,
        failed=tuple(failed),
    )


def improvement(theirs: Floats, ours: Floats, win: Bools, weight: Floats, time_s: Floats) -> Mean:
    """How much lower our log loss is than theirs, nats a signal, with its error by days."""
    return clustered(log_loss(theirs, win) - log_loss(ours, win), weight, days(time_s))


def _shown(gain: Mean) -> dict[str, float]:
    bound = {"improvement": gain.value, "days": float(gain.clusters)}
    return bound | ({"improvement_low": gain.low} if np.isfinite(gain.low) else {})


def _calibration(walk: WalkForward, into: dict[str, float]) -> list[str]:
    """Judged before the shrinking, which would hide a forest that is too bold."""
    slope = calibration_slope(walk.calibrated, walk.test.win, walk.test.weight)
    if slope is None:
        return ["it tells no signal from another"]
    into["calibration_slope"] = float(np.clip(slope, -1e6, 1e6))
    if not SLOPE_LOW <= slope <= SLOPE_HIGH:
        return [f"calibration slope {slope:.2f} is not within {SLOPE_LOW}..{SLOPE_HIGH}"]
    return []


def _reward(p: Floats, walk: WalkForward, into: dict[str, float]) -> list[str]:
    made = taken_r(p, walk.test)
    if made is None:
        return []
    into["r_taken"], into["r_all"] = made
    if made[0] < made[1]:
        return [f"its better half made {made[0]:+.3f} R a signal, all made {made[1]:+.3f}"]
    return []


def _against(
    champion: Unseen, walk: WalkForward, metrics: dict[str, dict[str, float]]
) -> list[str]:
    """Not worse than the champion, on what neither had seen."""
    rows = walk.test.take(champion.at)
    day_count = len(np.unique(days(rows.time_s)))
    if day_count < MIN_DAYS or not rows.both_classes:
        return [f"only {day_count} days of signals that the champion had not seen either"]
    ours = walk.p[champion.at]
    gain = improvement(champion.p, ours, rows.win, rows.weight, rows.time_s)
    metrics["champion"] = measure(champion.p, rows.win, rows.weight) | _shown(gain)
    failed = []
    if not gain.low >= -CHAMPION_MARGIN_NATS:
        failed.append(f"maybe worse than {NAMES['champion']} (bound {_nats(gain.low)})")
    made, theirs = taken_r(ours, rows), taken_r(champion.p, rows)
    if made is not None and theirs is not None:
        metrics["champion"] |= {"r_taken": theirs[0], "r_challenger": made[0], "r_all": made[1]}
        if made[0] < theirs[0] - CHAMPION_MARGIN_R:
            failed.append(
                f"its better half made {made[0]:+.3f} R a signal, the champion's {theirs[0]:+.3f}"
            )
    return failed


def _sound(checks: Checks, into: dict[str, float]) -> list[str]:
    into |= {"parity": checks.parity, "row_us": 1e6 * checks.row_s}
    failed = []
    if not checks.parity <= MAX_PARITY:
        failed.append(f"the packed forest differs from the fitted one by {checks.parity:.1e}")
    if not checks.row_s <= MAX_ROW_S:
        failed.append(f"a row takes {1e3 * checks.row_s:.1f} ms")
    return failed


def _sentence(
    walk: WalkForward, metrics: dict[str, dict[str, float]], day_count: int, failed: list[str]
) -> str:
    constant = metrics["constant"]
    low = constant.get("improvement_low")
    least = f" (at least {_nats(low)} with 95 % confidence)" if low is not None else ""
    gain = constant["improvement"]
    found = (
        f"On {len(walk.test)} unseen signals of {day_count} days the model's log loss was "
        f"{abs(gain):.4f} nats {'below' if gain >= 0.0 else 'above'} a constant's{least}"
    )
    return f"{found}. Not established: {'; '.join(failed)}." if failed else f"{found}."


def _nats(value: float) -> str:
    return f"{value:+.4f} nats" if np.isfinite(value) else "none"
