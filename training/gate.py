"""The gate: a candidate is published when its advantage is established, not when it is hoped.

The rule: every condition is a number against a bound, all of them are computed whatever
the others say, and the verdict carries them all. Where no mean R is shown, none is of R, as
where R is known of no signal. Nothing here looks at the future: what is judged are answers to
signals that were unseen when they were given.
"""

from __future__ import annotations

import msgspec
import numpy as np

from protocol.manifest import Verdict
from service.arrays import Bools, Floats
from training.bound import DAY_S, Mean, clustered, days, stretches
from training.conditions import MIN_DAYS, conditions, only_the_champion
from training.dataset.samples import Samples
from training.known_r import known_r, without_selected_r
from training.logit import log_loss
from training.measure import calibration_slope, measure, taken_r
from training.walk_forward import NotEnough, WalkForward


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
    metrics = {"challenger": measure(walk.p, test.win, test.weight, walk.level(walk.p))}
    metrics["challenger_raw"] = measure(walk.raw, test.win, test.weight, walk.level(walk.raw))
    day_count = len(np.unique(walk.groups))
    if day_count < MIN_DAYS:
        raise NotEnough(
            f"the {len(test)} unseen signals lie in {day_count} days, {MIN_DAYS} are needed"
        )
    if len(np.unique(walk.clusters)) < MIN_DAYS:
        raise NotEnough(
            f"the {len(test)} unseen signals lie in {day_count} days; {MIN_DAYS} stretches of "
            f"twice the longest holding time ({walk.holding_s / DAY_S:.1f} days) are needed"
        )
    for name, p in walk.others.items():
        gain = improvement(p, walk.p, test.win, test.weight, test.time_s, walk.holding_s)
        found = measure(p, test.win, test.weight, walk.level(p))
        metrics[name] = found | _shown(gain, day_count)
    own = metrics["challenger"]
    # Judged before the shrinking, which would hide a forest that is too bold.
    slope = calibration_slope(walk.level(walk.calibrated), test.win, test.weight)
    if slope is not None:
        own["calibration_slope"] = float(np.clip(slope, -1e6, 1e6))
    made = taken_r(walk.level(walk.p), without_selected_r(test))
    if made is not None:
        own["r_taken"], own["r_all"] = made
    if champion is not None:
        metrics["champion"] = _against(champion, walk)
    own |= {"parity": checks.parity, "row_us": 1e6 * checks.row_s}
    failed = [condition.why for condition in conditions(metrics) if not condition.held]
    return Verdict(
        published=not failed,
        reason=_sentence(walk, metrics, day_count, failed)
        + _by_wins_alone(test, metrics, champion),
        metrics=metrics,
        failed=tuple(failed),
    )


def improvement(
    theirs: Floats,
    ours: Floats,
    win: Bools,
    weight: Floats,
    time_s: Floats,
    holding_s: float = 0.0,
) -> Mean:
    """How much lower our log loss is than theirs, nats a signal, with its error by days.

    By longer stretches where signals may run for more than half a day (`holding_s`).
    """
    gain = log_loss(theirs, win) - log_loss(ours, win)
    return clustered(gain, weight, stretches(time_s, holding_s))


def _shown(gain: Mean, day_count: int) -> dict[str, float]:
    bound = {"improvement": gain.value, "days": float(day_count)}
    return bound | ({"improvement_low": gain.low} if np.isfinite(gain.low) else {})


def _against(champion: Unseen, walk: WalkForward) -> dict[str, float]:
    """The champion on what neither had seen; nothing but the days where these are too few."""
    rows = without_selected_r(without_selected_r(walk.test).take(champion.at))
    day_count = len(np.unique(days(rows.time_s)))
    if day_count < MIN_DAYS or not rows.both_classes:
        return {"days": float(day_count)}
    ours = walk.p[champion.at]
    gain = improvement(champion.p, ours, rows.win, rows.weight, rows.time_s, walk.holding_s)
    level = walk.level(champion.p, champion.at)
    found = measure(champion.p, rows.win, rows.weight, level) | _shown(gain, day_count)
    found["log_loss_challenger"] = float(np.average(log_loss(ours, rows.win), weights=rows.weight))
    made = taken_r(walk.level(ours, champion.at), rows)
    theirs = taken_r(level, rows)
    if made is not None and theirs is not None:
        found |= {"r_taken": theirs[0], "r_challenger": made[0], "r_all": made[1]}
    return found


def _by_wins_alone(
    test: Samples, metrics: dict[str, dict[str, float]], champion: Unseen | None
) -> str:
    """Why no condition is of R, or none against the champion, where R is not shown."""
    told = {"It": test}
    if champion is not None and "improvement" in metrics["champion"]:
        told["Against the champion it"] = test.take(champion.at)
    for what, rows in told.items():
        if (known := known_r(rows)).selected:
            return f" {what} was judged by wins alone. {known.said}."
    return ""


def _sentence(
    walk: WalkForward, metrics: dict[str, dict[str, float]], day_count: int, failed: list[str]
) -> str:
    constant = metrics["constant"]
    low, least = constant.get("improvement_low"), ""
    if low is not None:
        side = f"at least {low:.4f} below" if low >= 0.0 else f"at most {-low:.4f} above"
        least = f" (with 95 % confidence {side})"
    gain = constant["improvement"]
    differs = f"{abs(gain):.4f} nats {'below' if gain >= 0.0 else 'above'} a constant's{least}"
    found = (
        f"On {len(walk.test)} unseen signals of {day_count} days the model's log loss was "
        f"{differs if gain else 'that of a constant'}"
    )
    if not failed:
        return f"{found}."
    missed = "Not shown to be as good" if only_the_champion(metrics) else "Not established"
    return f"{found}. {missed}: {'; '.join(failed)}."
