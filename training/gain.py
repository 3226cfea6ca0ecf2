"""What taking only some of the signals added, with its interval: shares of wins, or R.

The rule: what was taken is held against signals of the same weeks, overlapping ones count by their
weight, and an interval is relied on only where enough signals stand behind it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from service.arrays import Bools, Floats
from training.bound import (
    DAY_S,
    Mean,
    clustered,
    jackknifed,
    stretches,
    t_quantile,
    without_each,
)
from training.dataset.samples import Samples
from training.measure import net_r

WEEK_S = 7 * DAY_S
MONDAY_S = 4 * DAY_S
"""1970-01-05, the first Monday of the epoch."""
FEWEST, FEWEST_DAYS = 100, 5
ROUNDED = 0.005
"""Of a mean reward in R: by less it is not higher."""
NOTHING = 1e-9
FEWEST_A_SIDE, FEWEST_EXPECTED = 50, 10
"""Of those taken, and of those not; and of wins and losses to be expected in the smaller part."""


Z90 = 1.6448536269514722
"""Two-sided 90 % of the normal distribution; its ends are one-sided 95 % bounds."""


class Group(NamedTuple):
    """Signals of one kind in one window: n, share won with its 90 % interval, mean R net of cost.

    `r` is NaN where it is known of none, the rates are NaN without signals.
    """

    n: int
    won: float
    low: float
    high: float
    r: float


def group(samples: Samples, at: Bools) -> Group:
    """Summarise the signals `at` (n,); overlapping ones count by their weight.

    The interval is Wilson's on the effective number (JASA 22 (1927) 209).
    """
    count = int(np.count_nonzero(at))
    if not count:
        return Group(0, np.nan, np.nan, np.nan, np.nan)
    rows = samples.take(at)
    n = rows.n_effective
    won = rows.base_rate
    middle = (won + Z90**2 / (2 * n)) / (1 + Z90**2 / n)
    half = Z90 * np.sqrt(won * (1 - won) / n + Z90**2 / (4 * n * n)) / (1 + Z90**2 / n)
    made = net_r(rows)
    known = np.isfinite(made)
    r = float(np.average(made[known], weights=rows.weight[known])) if known.any() else np.nan
    return Group(count, won, float(middle - half), float(middle + half), r)


class Gain(NamedTuple):
    """What taking only some added to the mean of all, with its 90 % interval; shares or R.

    `fewer` is the effective number of the signals taken or of the others, whichever are fewer: in
    weeks of which nearly all or nothing was taken they count for little. `rarer` is the share of
    all that made more than 0, or did not.
    """

    taken: float
    all: float
    low: float
    high: float
    n: int
    days: int
    fewer: float
    rarer: float

    @property
    def enough(self) -> bool:
        """Whether the interval can be relied on: where nearly all win, few tell nothing."""
        return (
            self.n >= FEWEST
            and self.days >= FEWEST_DAYS
            and self.fewer >= FEWEST_A_SIDE
            and self.fewer * self.rarer >= FEWEST_EXPECTED
        )

    @property
    def better(self) -> bool:
        """Whether a gain is established."""
        return self.enough and self.low > 0.0

    @property
    def worse(self) -> bool:
        """Whether a loss is established."""
        return self.enough and self.high < 0.0


def gain(
    values: Floats, weight: Floats, taken: Bools, time_s: Floats, holding_s: float = 0.0
) -> Gain | None:
    """The mean of `values` (n,) over those taken less that over all of the same weeks.

    Weeks of which all or nothing was taken compare nothing and are left out; None where all are.
    """
    at = compared(taken, time_s)
    if not at.any():
        return None
    chosen, everything = taken[at].astype(np.float64), np.ones(np.count_nonzero(at))
    return by_week(values[at], weight[at], chosen, everything, time_s[at], holding_s)


def compared(taken: Bools, time_s: Floats) -> Bools:
    """Which rows (n,) are of weeks of which some were taken and some not."""
    week = week_of(time_s)
    both: Bools = np.isin(week, week[taken]) & np.isin(week, week[~taken])
    return both


def by_week(
    values: Floats,
    weight: Floats,
    taken: Floats,
    instead: Floats,
    time_s: Floats,
    holding_s: float,
) -> Gain | None:
    """As `difference`, each week counting as much in the one choice as in the other.

    Else later signals would be the better ones wherever more of them are taken and more win.
    None where no week has some of both.
    """
    _, week = np.unique(week_of(time_s), return_inverse=True)
    ours, theirs = (np.bincount(week, weights=weight * part)[week] for part in (taken, instead))
    at = (ours > 0.0) & (theirs > 0.0)
    if not at.any():
        return None
    alike = instead[at] * ours[at] / theirs[at]
    return difference(values[at], weight[at], taken[at], alike, time_s[at], holding_s)


def difference(
    values: Floats,
    weight: Floats,
    taken: Floats,
    instead: Floats,
    time_s: Floats,
    holding_s: float = 0.0,
) -> Gain:
    """The mean of `values` (n,) over one choice less that over another, its error by days.

    A choice (n,) holds what part of each signal is taken, from 0 up, not all 0. `all` is the
    other's mean. Each day is left out of both at once, so that what both share counts once.
    The error is the larger of that by days and that of signals which all scatter alike, overlapping
    ones by their weight: few that happened to end alike would promise too much. Days are longer
    stretches where signals may run for longer (`holding_s`).
    """
    total = float(weight.sum())
    parts = [choice / float(np.sum(weight * choice)) for choice in (taken, instead)]
    means = [float(np.sum(weight * part * values)) for part in parts]
    lean = parts[0] - parts[1]
    groups = stretches(time_s, holding_s)
    falls = [without_each(values, weight * part, groups) for part in parts]
    by_days = jackknifed(falls[0] - falls[1])
    pooled = weight * ((taken > 0.0) | (instead > 0.0))
    scatter = float(np.average((values - np.average(values, weights=pooled)) ** 2, weights=pooled))
    alone = float(np.sqrt(scatter * np.sum(weight * lean**2)))
    value, days = means[0] - means[1], len(falls[0])
    margin = t_quantile(days - 1) * max(by_days, alone) if days > 1 else np.inf
    above = float(np.average(values > 0.0, weights=pooled))
    return Gain(
        means[0],
        means[1],
        value - margin,
        value + margin,
        len(values),
        days,
        min(
            _alike(weight[at], lean[at]) for at in (lean > NOTHING / total, lean < -NOTHING / total)
        ),
        min(above, 1.0 - above),
    )


def mean_made(rows: Samples, holding_s: float) -> Mean:
    """The mean R after costs of `rows`, which is known of all, with an error as in `difference`."""
    made = net_r(rows)
    mean = clustered(made, rows.weight, stretches(rows.time_s, holding_s))
    scatter = float(np.average((made - mean.value) ** 2, weights=rows.weight))
    return mean._replace(error=max(mean.error, float(np.sqrt(scatter / rows.n_effective))))


def _alike(weight: Floats, lean: Floats) -> float:
    """How many signals that lean alike tell as much (Kish, Survey Sampling, 1965); 0 for none."""
    square = float(np.sum(weight * lean**2))
    return float(np.sum(weight * lean)) ** 2 / square if square else 0.0


def made_good(wins: Gain, made: Gain | None, reward: Gain | None) -> bool:
    """Whether fewer wins, as established, are what higher rewards bring: no less R was made.

    All three are of one choice: `made` by R after costs, `reward` by reward to risk, None where
    these are not known. What a target pays tells nothing of what ends before it: R as made counts.
    """
    if made is None or reward is None:
        return False
    farther = reward.taken - reward.all > ROUNDED
    return wins.worse and farther and made.enough and made.taken >= made.all


def week_of(time_s: Floats) -> Floats:
    """The number (n,) of the week of each moment; they begin Monday, UTC."""
    number: Floats = np.floor((time_s - MONDAY_S) / WEEK_S)
    return number
