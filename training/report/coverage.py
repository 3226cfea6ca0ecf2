"""What is left when only the best-rated signals are taken: how many, won, made, promised.

The rule: the best-rated are held against all signals of the same weeks, and what is claimed
comes with n, effective n and the interval. Signals are rated by expected R, which weighs reward
and cost, where these are known; else by their win probability.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from service.arrays import Bools, Floats
from training.bound import Mean, clustered, stretches
from training.dataset.samples import Samples
from training.gain import FEWEST, FEWEST_DAYS, ROUNDED, Gain, Group, by_week, gain, group
from training.measure import best_first, expected_r, net_r

SHARES = np.linspace(0.05, 1.0, 20)
HALF = 0.5
TOLD = (0.2, 0.3, HALF, 0.7)
DECILES = 10
FEWEST_A_BIN = 5


class Taken(NamedTuple):
    """The best-rated `share` of the signals. Gains are against all of the same weeks; None
    where there is nothing to compare.

    `more_r` and `more_reward` are of R after costs and of reward to risk, where known.
    `promised_r` is the mean expected R and `low`, `high` the 90 % interval of the mean R made, by
    days. NaN where it is not known. Days are longer stretches where signals may run for longer
    (`holding_s` of all functions here).
    """

    share: float
    group: Group
    n_effective: float
    promised_r: float
    low: float
    high: float
    more_wins: Gain | None
    more_r: Gain | None
    more_reward: Gain | None


class Rating(NamedTuple):
    """How the m tested signals are rated: `score` (m,), and by what."""

    score: Floats
    by_r: bool


def rating(p: Floats, test: Samples) -> Rating:
    """By expected R where at least half of the signals say their reward and risk, else by p."""
    if np.mean(np.isfinite(test.reward_risk)) >= 0.5:
        return Rating(expected_r(p, test), True)
    return Rating(p, False)


def taken(score: Floats, p: Floats, test: Samples, share: float, holding_s: float = 0.0) -> Taken:
    """The best `share` (0..1) of the signals `test` (m,) by `score` (m,), ties by lot."""
    count = max(1, round(share * len(test)))
    at = np.zeros(len(test), dtype=np.bool_)
    at[best_first(score)[:count]] = True
    return chosen(at, p, test, holding_s)


def chosen(at: Bools, p: Floats, test: Samples, holding_s: float = 0.0) -> Taken:
    """The signals `at` (m,), held against all of the same weeks."""
    made = net_r(test)
    paid = at & np.isfinite(made)
    spread = np.nan, np.nan
    if paid.any():
        mean = clustered(made[paid], test.weight[paid], stretches(test.time_s[paid], holding_s))
        spread = mean.low, mean.high
    promised = np.nan
    priced = at & np.isfinite(test.reward_risk)
    if priced.any():
        promised = float(np.average(expected_r(p, test)[priced], weights=test.weight[priced]))

    def more(values: Floats) -> Gain | None:
        known = np.isfinite(values)
        rows = test.take(known)
        return gain(values[known], rows.weight, at[known], rows.time_s, holding_s)

    return Taken(
        share=float(np.mean(at)),
        group=group(test, at),
        n_effective=test.take(at).n_effective,
        promised_r=promised,
        low=spread[0],
        high=spread[1],
        more_wins=more(test.win.astype(np.float64)),
        more_r=more(made),
        more_reward=more(test.reward_risk),
    )


def better_half(score: Floats) -> Floats:
    """What part (m,) of each signal is in the better half by `score` (m,); ties share alike."""
    cut = float(np.median(score))
    above, tied = score > cut, score == cut
    room = len(score) / 2.0 - np.count_nonzero(above)
    result: Floats = above + tied * max(room, 0.0) / max(np.count_nonzero(tied), 1)
    return result


def above_terms(p: Floats, test: Samples, holding_s: float = 0.0) -> Gain | None:
    """R of the half with the best expected R less that of the half with the best terms.

    The latter is what reward and cost alone would choose, every signal winning alike: a high
    reward is no work of the model. `all` is that half's mean R. None where no R is known, or no
    week has some of both.
    """
    known = np.isfinite(net_r(test)) & np.isfinite(test.reward_risk)
    if not known.any():
        return None
    rows = test.take(known)
    alike = np.full(len(rows), test.base_rate)
    ours, terms = (better_half(expected_r(said, rows)) for said in (p[known], alike))
    return by_week(net_r(rows), rows.weight, ours, terms, rows.time_s, holding_s)


class Missing(NamedTuple):
    """What was promised and not made, by where it went, R a signal; below 0 where more was made.

    `wins`: fewer won than promised, whatever their reward. `rewards`: of high rewards fewer won
    than of low ones, beside what was promised. `between`: what ended at neither target nor stop
    made less than that of the two on its side of 0. `levels`: what ended at one of them made less
    than it.
    """

    wins: float
    rewards: float
    between: float
    levels: float


class Promise(NamedTuple):
    """What expected R promised of n signals whose reward and result are known, out of `tested`.

    `said` and `won` are the shares of wins, promised and true; `promised` and `made` (by days) the
    mean R; `missing` adds up to their difference.
    """

    n: int
    tested: int
    said: float
    won: float
    promised: float
    made: Mean
    missing: Missing

    @property
    def broken(self) -> bool:
        """Whether less was made than promised, beyond luck."""
        enough = self.n >= FEWEST and self.made.clusters >= FEWEST_DAYS
        return enough and self.promised > self.made.high + ROUNDED


def promise(p: Floats, test: Samples, holding_s: float = 0.0) -> Promise | None:
    """What expected R with win probabilities `p` (m,) promised of all; None where R is unknown."""
    known = np.isfinite(net_r(test)) & np.isfinite(test.reward_risk)
    if not known.any():
        return None
    rows, made = test.take(known), net_r(test)[known]

    def mean(values: Floats) -> float:
        return float(np.average(values, weights=rows.weight))

    said, promised = mean(p[known]), mean(expected_r(p[known], rows))
    # Expected R takes every end for one at target or stop.
    at_levels = expected_r(rows.win.astype(np.float64), rows)
    wins = (said - rows.base_rate) * mean(1.0 + rows.reward_risk)
    missing = Missing(
        wins=wins,
        rewards=promised - mean(at_levels) - wins,
        between=mean((at_levels - made) * ~rows.at_level),
        levels=mean((at_levels - made) * rows.at_level),
    )
    by_days = clustered(made, rows.weight, stretches(rows.time_s, holding_s))
    return Promise(len(rows), len(test), said, rows.base_rate, promised, by_days, missing)


class Decile(NamedTuple):
    """A tenth of the signals by win probability, the lowest first; `taken` as above."""

    promised: float
    taken: Taken


def deciles(rated: Floats, p: Floats, test: Samples, holding_s: float = 0.0) -> list[Decile]:
    """Tenths of equal size by `rated` (m,), promised `p` (m,); below 50 fewer, larger parts."""
    count = min(DECILES, max(1, len(p) // FEWEST_A_BIN))
    found = []
    for part in np.array_split(best_first(rated)[::-1], count):
        at = np.zeros(len(p), dtype=np.bool_)
        at[part] = True
        promised = float(np.average(p[part], weights=test.weight[part]))
        found.append(Decile(promised, chosen(at, p, test, holding_s)))
    return found
