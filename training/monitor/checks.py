"""What the monitor looks at: inputs, calibration and loss, win rate, age; each on its own.

The rule: a check says what it found in numbers, and "not enough" where they are too few. Pure: the
same model and the same outcomes give the same findings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from service.alerting import CheckResult, Level
from service.arrays import Floats
from service.console.words import span
from service.drift import MIN_SIGNALS
from service.model.model import Model
from service.model.pointer import REVIEW_DUE
from training.bound import DAY_S, FEWEST_JUDGED, FEWEST_JUDGED_DAYS, clustered, days, t_quantile
from training.logit import log_loss
from training.monitor.cusum import Limit, chart, increments
from training.monitor.input_drift import examine
from training.monitor.live import Live
from training.truth_log.files import MOVED
from training.wording import percent

INTERVAL = 0.998
"""Of the win rate: it is looked at after every outcome, so an exclusion must not be chance."""
MOST_NAMED = 4


def input_drift(model: Model, answered: Sequence[tuple[float, Floats]]) -> CheckResult:
    """PSI of the newest vectors (11,) that the model answered, against its deciles."""
    n = len(answered)
    if n < MIN_SIGNALS:
        text = f"{n} answered signals, {MIN_SIGNALS} are needed"
        return CheckResult("input_drift", "unknown", text, {"signals": float(n)})
    by_name = examine(model, answered)
    facts = {"signals": float(n)} | {f"psi_{name}": seen.psi for name, seen in by_name.items()}
    worst = sorted(by_name, key=lambda name: -by_name[name].psi / by_name[name].limit)
    drifting = [name for name in worst if by_name[name].drifting]
    shown = [f"{name} (PSI {by_name[name].psi:.2f} of {by_name[name].limit:.2f})" for name in worst]
    if drifting:
        more = f" and {len(drifting) - MOST_NAMED} more" if len(drifting) > MOST_NAMED else ""
        named = ", ".join(shown[: min(len(drifting), MOST_NAMED)])
        text = f"{n:,} signals are no longer like those it was trained on: {named}{more}"
        return CheckResult("input_drift", "alert", text, facts)
    text = f"{n:,} signals look as in training; nearest to its limit is {shown[0]}"
    return CheckResult("input_drift", "fine", text, facts)


def truth_logs(problems: Sequence[str]) -> tuple[CheckResult, ...]:
    """What could not be read: nothing that came of it counts in the other checks."""
    if not problems:
        return ()
    problems = sorted(problems, key=lambda text: text.endswith(MOVED))
    more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
    text = f"{problems[0]}{more}"
    if not problems[0].endswith(MOVED):
        text = f"not read to the end: {text}; mend it, or take it off truth_log.paths"
    return (CheckResult("truth_log", "warning", text, {"problems": float(len(problems))}),)


def calibration_and_loss(
    live: Live, base_rate: float, limit: Limit, *, answered: int
) -> CheckResult:
    """The promise held against every outcome since the model was published.

    `answered` are its scores, with an outcome or without.
    """
    n = len(live)
    if not n:
        text = (
            f"none of {answered:,} scores that it gave has an outcome that counts; `status` "
            "shows why"
            if answered
            else "it has answered no signal yet"
        )
        return CheckResult("calibration", "unknown", text)
    steps = increments(live.p, live.win, base_rate)
    charts = {name: chart(live.weight * step, limit.nats) for name, step in steps.items()}
    ours = float(np.average(log_loss(live.p, live.win), weights=live.weight))
    constant = np.full(n, base_rate)
    theirs = float(np.average(log_loss(constant, live.win), weights=live.weight))
    facts = {
        "outcomes": float(n),
        "log_loss": ours,
        "log_loss_constant": theirs,
        "cusum_limit": limit.nats,
    } | {f"cusum_{name}": float(found.values[-1]) for name, found in charts.items()}
    on = [name for name, found in charts.items() if found.alarm[-1]]
    losses = f"log loss {ours:.3f}, a constant's {theirs:.3f}, over {n:,} outcomes"
    if on:
        since = min(_since(charts[name].alarm) for name in on)
        began = f"{datetime.fromtimestamp(float(live.time_s[since]), UTC):%Y-%m-%d %H:%M} UTC"
        text = f"{' and '.join(_BROKEN[name] for name in on)}, since {began}; {losses}"
        return CheckResult("calibration", "alert", text, facts)
    near = max(float(found.values[-1]) for found in charts.values())
    text = f"the promise holds (CUSUM {near:.1f} of {limit.nats:.1f}); {losses}"
    if math.isfinite(limit.noticed_after):
        text += f". A lost edge would show after about {limit.noticed_after:.0f} outcomes"
    else:
        text += ". It promises too little for a lost edge to show within 2,000 outcomes"
    return CheckResult("calibration", "fine", text, facts)


_BROKEN = {
    "vanished": "what it says no longer tells winners from losers",
    "lower": "fewer win than it says",
}


def _since(alarm: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int:
    """The row at which the alarm that is on last came on."""
    off = np.flatnonzero(~alarm)
    return int(off[-1]) + 1 if len(off) else 0


def win_rate(live: Live, *, window_days: float, warn_points: float) -> CheckResult:
    """Won against promised over the last days, the interval by days or longer stretches."""
    rows = live.last_days(window_days)
    n, day_count = len(rows), len(np.unique(days(rows.time_s)))
    if n < FEWEST_JUDGED or day_count < FEWEST_JUDGED_DAYS:
        text = (
            f"{n} outcomes of {day_count} days within {window_days:.0f} days; "
            f"{FEWEST_JUDGED} of {FEWEST_JUDGED_DAYS} are needed"
        )
        return CheckResult("win_rate", "unknown", text, {"outcomes": float(n)})
    short, margin = shortfall(rows)
    won = float(np.average(rows.win, weights=rows.weight))
    promised = won + short
    low, high = max(0.0, won - margin), min(1.0, won + margin)
    facts = {
        "outcomes": float(n),
        "won": won,
        "promised": promised,
        "low": low,
        "high": high,
    }
    text = (
        f"{percent(won)} of {n:,} won in {window_days:.0f} days, promised were "
        f"{percent(promised)} (won {percent(low)} to {percent(high)} with "
        f"{100 * INTERVAL:.1f} % confidence)"
    )
    level: Level = "fine"
    if 100.0 * short > warn_points:
        level = "alert" if short > margin else "warning"
    return CheckResult("win_rate", level, text, facts)


def shortfall(rows: Live) -> tuple[float, float]:
    """By how much the win rate is below the mean promise, and half of its interval.

    The error is the larger of that by days, or longer stretches where signals run for longer, and
    that of independent signals, overlapping ones together as one: few days that happen to agree
    would promise too much. Endless within a single stretch.
    """
    below = clustered(rows.p - rows.win, rows.weight, rows.groups)
    if below.clusters < 2:
        return below.value, math.inf
    total = float(rows.weight.sum())
    alone = float(np.sqrt(np.sum(rows.weight * rows.p * (1.0 - rows.p)))) / total
    quantile = t_quantile(below.clusters - 1, 0.5 + INTERVAL / 2.0)
    return below.value, quantile * max(below.error, alone)


def age(
    model: Model, *, expire_after_days: float, now_s: float, pinned: bool = False
) -> tuple[CheckResult, ...]:
    """How long since the model was last reviewed, against when it is no longer used.

    That it is no longer used is a finding of its own, since only what is new is told.
    """
    passed = max(0.0, (now_s - model.reviewed_at) / DAY_S)
    facts = {"days": passed}
    if expire_after_days == 0.0:
        text = f"reviewed {passed:.0f} days ago; it does not expire"
        return (CheckResult("age", "fine", text, facts),)
    if model.reviewed_ahead(now_s):
        text = (
            f"reviewed {span(model.reviewed_at - now_s)} from now: this clock is behind, or one "
            "was ahead then; compare `date -u` with the true time. Where the review's date is "
            "false, `train --force` publishes another model or renews the review, if it finds one "
            "to be good"
        )
        return (CheckResult("age", "alert", text, facts),)
    text = f"reviewed {passed:.0f} days ago, expires after {expire_after_days:.0f}"
    if passed < REVIEW_DUE * expire_after_days:
        return (CheckResult("age", "fine", text, facts),)
    text += ": where `date -u` is right, run train, which reviews it"
    if pinned:
        text += "; it is pinned, which withholds any other: unpin"
    due = CheckResult("age", "alert", text, facts)
    if passed < expire_after_days:
        return (due,)
    gone = "no longer used: base scores are served until one is published or found to hold"
    return due, CheckResult("expired", "alert", gone)
