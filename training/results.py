"""`results`: for the trader, week by week: all signals, those the model would have taken, the rest.

The rule: what was taken is held against all signals of the same window that the model advised
on, never against another time. What is not sure is called not established.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import NamedTuple

import numpy as np

from service.arrays import Bools, Floats
from training.answered import Advice
from training.bound import DAY_S, clustered, stretches, t_quantile
from training.measure import net_r
from training.samples import Samples
from training.wording import WIDTH, day

WEEK_S = 7 * DAY_S
MONDAY_S = 4 * DAY_S
"""1970-01-05, the first Monday of the epoch."""
Z90 = 1.6448536269514722
"""Two-sided 90 % of the normal distribution; its ends are one-sided 95 % bounds."""
FEWEST, FEWEST_DAYS = 100, 5
NOTHING = 1e-9
FEWEST_A_SIDE, FEWEST_EXPECTED = 50, 10
"""Of those taken, and of those not; and of wins and losses to be expected in the smaller part."""


class Group(NamedTuple):
    """Signals of one kind in one window: n, share won with its 90 % interval, mean R net of cost.

    `r` is NaN where it is known of none, the rates are NaN without signals.
    """

    n: int
    won: float
    low: float
    high: float
    r: float


class Gain(NamedTuple):
    """What taking only some added to the mean of all, with its 90 % interval; shares or R.

    `fewer` is the effective number of the signals taken or of the others, whichever are fewer, and
    `rarer` the share of all that made more than 0, or did not.
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


def gain(
    values: Floats, weight: Floats, taken: Bools, time_s: Floats, holding_s: float = 0.0
) -> Gain | None:
    """The mean of `values` (n,) over those taken less that over all, its error by days.

    None where nothing or everything was taken.
    """
    if not taken.any() or taken.all():
        return None
    everything = np.ones(len(taken))
    return difference(values, weight, taken.astype(np.float64), everything, time_s, holding_s)


def difference(
    values: Floats,
    weight: Floats,
    taken: Floats,
    instead: Floats,
    time_s: Floats,
    holding_s: float = 0.0,
) -> Gain:
    """The mean of `values` (n,) over one choice less that over another, its error by days.

    A choice (n,) holds what part of each signal is taken, 0..1, not all 0. Linearised as a
    difference of two ratios, so that what both share counts once. `all` is the other's mean.
    The error is the larger of that by days and that of signals which all scatter alike, overlapping
    ones by their weight: few that happened to end alike would promise too much. Days are longer
    stretches where signals may run for longer (`holding_s`).
    """
    total = float(weight.sum())
    parts = [choice / float(np.sum(weight * choice)) for choice in (taken, instead)]
    means = [float(np.sum(weight * part * values)) for part in parts]
    lean = parts[0] - parts[1]
    influence = total * (parts[0] * (values - means[0]) - parts[1] * (values - means[1]))
    spread = clustered(influence, weight, stretches(time_s, holding_s))
    pooled = weight * np.maximum(taken, instead)
    scatter = float(np.average((values - np.average(values, weights=pooled)) ** 2, weights=pooled))
    alone = float(np.sqrt(scatter * np.sum(weight * lean**2)))
    value = means[0] - means[1]
    margin = np.inf
    if spread.clusters > 1:
        margin = t_quantile(spread.clusters - 1) * max(spread.error, alone)
    above = float(np.average(values > 0.0, weights=pooled))
    return Gain(
        means[0],
        means[1],
        value - margin,
        value + margin,
        len(values),
        spread.clusters,
        min(float(weight[at].sum()) for at in (lean > NOTHING / total, lean < -NOTHING / total)),
        min(above, 1.0 - above),
    )


def describe(
    samples: Samples,
    advice: Mapping[str, Advice],
    *,
    weeks: int,
    now_s: float,
    holding_s: float = 0.0,
    silent_s: Sequence[float] = (),
) -> Iterator[str]:
    """Lines for the terminal: the table of the last weeks, and the verdict of all of them.

    The weeks end with that of the newest outcome, which is said where it is not of late.
    `silent_s` are the times (UTC s) of signals that have no outcome to believe. What was
    backfilled is left out: nobody was advised on it.
    """
    samples = samples.take(~samples.backfilled)
    if not len(samples):
        yield "no outcome of a scored signal yet; `status` shows why"
        return
    newest_s = float(samples.time_s[-1])
    begin_s = _monday(newest_s) - (weeks - 1) * WEEK_S
    rows = samples.take(samples.time_s >= begin_s)
    if now_s - newest_s > WEEK_S:
        yield f"no outcome since {day(newest_s)}; {weeks} weeks up to then"
    taken, rejected = advised(rows, advice)
    everything = np.ones(len(rows), dtype=np.bool_)
    yield from _head()
    week = np.floor((rows.time_s - MONDAY_S) / WEEK_S)
    for number in np.unique(week).tolist():
        at = week == number
        yield _line(day(MONDAY_S + number * WEEK_S), rows, (at, at & taken, at & rejected))
    yield "-" * WIDTH
    yield _line("together", rows, (everything, taken, rejected))
    yield "n signals, per cent won with its 90 % interval, mean R net of costs; in these,"
    yield "signals that overlap count once; weeks begin Monday, UTC"
    if 2.0 * holding_s > DAY_S:
        yield (
            f"signals may run for {holding_s / 3600.0:.0f} hours, so {2.0 * holding_s / DAY_S:.1f} "
            "days count as one below"
        )
    yield ""
    silent = sum(begin_s <= time_s <= newest_s for time_s in silent_s)
    sentences = [*verdict(rows, taken, rejected, holding_s), *_doubts(rows, silent, holding_s)]
    for sentence in sentences:
        yield from wrap(sentence, WIDTH, subsequent_indent="  ")


def _doubts(rows: Samples, silent: int, holding_s: float) -> Iterator[str]:
    if silent:
        yield (
            f"{silent:,} more signals of these weeks have no outcome that is believed; `status` "
            "says why. If which have one depends on how they went, nothing above holds."
        )
    if holding_s and (longer := rows.outlasting(holding_s)):
        yield f"{longer}."


def advised(rows: Samples, advice: Mapping[str, Advice]) -> tuple[Bools, Bools]:
    """Which rows (n,) the model that answered them would have taken, and which not.

    Neither where it was not asked, or the signal has no reward and risk.
    """
    found = [advice.get(score_id) for score_id in rows.score_id.tolist()]
    taken = np.array([a is not None and a.take is True for a in found], dtype=np.bool_)
    rejected = np.array([a is not None and a.take is False for a in found], dtype=np.bool_)
    return taken, rejected


def verdict(rows: Samples, taken: Bools, rejected: Bools, holding_s: float = 0.0) -> Iterator[str]:
    """One sentence on the win rate, one on R, and what they do not cover."""
    both = rows.take(taken | rejected)
    without = len(rows) - len(both)
    chosen = taken[taken | rejected]
    by_wins = gain(both.win.astype(np.float64), both.weight, chosen, both.time_s, holding_s)
    if by_wins is None:
        yield f"Not established: {_one_sided(len(both), chosen)}."
    else:
        yield _sentence(by_wins, int(chosen.sum()), _WINS)
        made = net_r(both)
        known = np.isfinite(made)
        told = both.take(known)
        by_r = gain(made[known], told.weight, chosen[known], told.time_s, holding_s)
        if by_r is not None:
            yield _sentence(by_r, int(chosen[known].sum()), _RESULT)
            if by_r.better and not by_wins.better:
                yield (
                    "More R without more wins may be the better reward of those taken alone, which "
                    "takes no model; the report holds it against that."
                )
    if without:
        yield (
            f"{without} of {len(rows)} signals carry no advice (no model, or no reward and risk) "
            "and are left out of this."
        )


def _one_sided(n: int, chosen: Bools) -> str:
    if not n:
        return "the model has advised on none of these signals"
    kind = "all" if chosen.all() else "none"
    return f"the model would have taken {kind} of the {n} signals it advised on"


class _Unit(NamedTuple):
    """How a gain is said: scaled, formatted, named, again in `short`; its difference in `step`."""

    verb: str
    scale: float
    form: str
    name: str
    short: str
    step: str


_WINS = _Unit("won", 100.0, "z.1f", " %", " %", " points")
_RESULT = _Unit("made", 1.0, "+z.2f", " R a signal", " R", " R")


def _sentence(gain: Gain, taken: int, unit: _Unit) -> str:
    value, whole = (f"{unit.scale * v:{unit.form}}" for v in (gain.taken, gain.all))
    more, low, high = (
        f"{unit.scale * v:+{unit.form.lstrip('+')}}"
        for v in (gain.taken - gain.all, gain.low, gain.high)
    )
    sure = f"90 % interval {low} to {high}" if gain.days > 1 else "one day has no interval"
    found = (
        f"the {taken:,} taken {unit.verb} {value}{unit.name}, all {gain.n:,} advised on {whole}"
        f"{unit.short}: "
        f"{more}{unit.step} ({sure})"
    )
    if gain.days < FEWEST_DAYS or gain.n < FEWEST:
        days = f"{gain.days} day{'s' * (gain.days > 1)}"
        return (
            f"Not established: {gain.n} signals of {days}, and {FEWEST} of {FEWEST_DAYS} "
            f"are the least. So far {found}."
        )
    if not gain.enough:
        return (
            f"Not established: {FEWEST_A_SIDE} taken and {FEWEST_A_SIDE} not are the least, with "
            f"{FEWEST_EXPECTED} wins and {FEWEST_EXPECTED} losses to be expected in either; the "
            f"smaller part counts for {int(gain.fewer)}, and {int(gain.fewer * gain.rarer)} of the "
            f"rarer end. So far {found}."
        )
    if gain.better:
        return f"Established: {found}."
    if gain.worse:
        return f"Worse: {found}."
    return f"Not established: {found}, and that interval holds 0."


def _head() -> Iterator[str]:
    yield f"{'':<13}{'all':<23}{'taken by the model':<23}rejected by it"
    yield f"{'week of':<10}" + 3 * f"{'n':>6}{'won':>4}{'90 %':>7}{'R':>6}"


def _line(name: str, rows: Samples, parts: tuple[Bools, Bools, Bools]) -> str:
    cells = [_cell(group(rows, at)) for at in parts]
    return f"{name:<10}{''.join(cells)}".rstrip()


def _cell(found: Group) -> str:
    if not found.n:
        return f"{'-':>6}{'':17}"
    interval = f"{100 * found.low:.0f}-{100 * found.high:.0f}"
    r = f"{found.r:+.2f}" if np.isfinite(found.r) else "-"
    return f"{found.n:>6}{100 * found.won:>4.0f}{interval:>7}{r:>6}"


def _monday(time_s: float) -> float:
    return float(np.floor((time_s - MONDAY_S) / WEEK_S) * WEEK_S + MONDAY_S)
