"""`results`: for the trader, week by week: all signals, those the model would have taken, the rest.

The rule: what was taken is held against all signals of the same weeks that the model advised
on, never against another time. What is not sure is called not established.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import NamedTuple

import numpy as np

from service.arrays import Bools, Floats
from training.advisers import whose
from training.bound import DAY_S
from training.dataset.answered import Advice
from training.dataset.samples import Samples
from training.gain import (
    FEWEST,
    FEWEST_A_SIDE,
    FEWEST_DAYS,
    FEWEST_EXPECTED,
    MONDAY_S,
    ROUNDED,
    WEEK_S,
    Gain,
    Group,
    compared,
    gain,
    group,
    made_good,
    mean_made,
    week_of,
)
from training.known_r import known_r, without_r
from training.measure import net_r
from training.wording import BREAK_EVEN, WIDTH, day, end_of, signed


def describe(
    samples: Samples,
    advice: Mapping[str, Advice],
    *,
    weeks: int,
    now_s: float,
    holding_s: float = 0.0,
    silent_s: Sequence[float] = (),
    even_s: Sequence[float] = (),
    published: str | None = None,
) -> Iterator[str]:
    """Lines for the terminal: the table of the last weeks, and the verdict of all of them.

    The weeks end with that of the newest signal that has an outcome, which is said where it is not
    of late. `silent_s` are the times (UTC s) of signals that have no outcome to believe, `even_s`
    of those that ended at break-even; `published` is the version of the model that serves. What
    was backfilled is left out: nobody was advised on it.
    """
    samples = samples.take(~samples.backfilled)
    if not len(samples):
        yield "no outcome of a scored signal yet; `status` shows why"
        return
    newest_s = float(samples.time_s[-1])
    begin_s = _monday(newest_s) - (weeks - 1) * WEEK_S
    rows = samples.take(samples.time_s >= begin_s)
    taken, rejected = advised(rows, advice)
    looks = (
        known_r(rows),
        known_r(rows.take(taken | rejected), "of those advised on "),
        known_r(rows.take(taken), "of those taken "),
        known_r(rows.take(rejected), "of those rejected "),
    )
    of_r = next((known for known in looks if known.selected), looks[0])
    if of_r.selected:
        rows = without_r(rows)
    if now_s - newest_s > WEEK_S:
        yield from wrap(
            f"{_age(newest_s, now_s, holding_s)}; {weeks} week{'s' * (weeks > 1)} up to then", WIDTH
        )
    yield from _table(rows, taken, rejected)
    if 2.0 * holding_s > DAY_S:
        yield (
            f"signals may run for {holding_s / 3600.0:.0f} hours, so {2.0 * holding_s / DAY_S:.1f} "
            "days count as one below"
        )
    yield ""
    silent, even = (_more(times_s, begin_s, newest_s) for times_s in (silent_s, even_s))
    sentences = [
        *verdict(rows, taken, rejected, holding_s),
        *whose(rows, taken | rejected, advice, published),
        *_doubts(rows, of_r.said, silent, even, holding_s),
    ]
    for sentence in sentences:
        # A version is to be copied whole.
        yield from wrap(sentence, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _age(newest_s: float, now_s: float, holding_s: float) -> str:
    if now_s - newest_s > holding_s + WEEK_S:
        return f"the newest signal with an outcome that counts is of {day(newest_s)}"
    return (
        f"the newest signals whose time is over and whose outcome is known are of {day(newest_s)}"
    )


def _more(times_s: Sequence[float], begin_s: float, newest_s: float) -> str:
    """How many further signals there are since `begin_s`, and after the newest that counts."""
    count = sum(time_s >= begin_s for time_s in times_s)
    late = sum(time_s > newest_s for time_s in times_s)
    since = f" and since, {late:,} of them newer than all that count," if late else ""
    return f"{count:,} more signals of these weeks{since}" if count else ""


def _doubts(rows: Samples, of_r: str, silent: str, even: str, holding_s: float) -> Iterator[str]:
    if of_r:
        yield f"{of_r}."
    if even:
        yield f"{even} {BREAK_EVEN}."
    if silent:
        yield (
            f"{silent} have no outcome that is believed; `status` says why. If which have one "
            "depends on how they went, nothing above holds."
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
    """One sentence on the win rate, one on R, whether it paid, and what they do not cover."""
    both = rows.take(taken | rejected)
    chosen = taken[taken | rejected]
    by_wins = _held(both.win.astype(np.float64), both, chosen, holding_s)
    if by_wins is None:
        yield f"Not established: {_one_sided(len(both), chosen)}."
    else:
        yield _sentence(*by_wins, _WINS)
        made = net_r(both)
        by_r = _held(made, both, chosen, holding_s)
        whose = "" if np.isfinite(made).all() else " whose R is known"
        if by_r is not None:
            yield _sentence(*by_r, _RESULT, whose)
            rewards = _held(both.reward_risk, both, chosen, holding_s)
            if rewards is not None:
                yield from _by_reward(by_wins[0], by_r[0], rewards[0])
        if alone := len(both) - by_wins[0].n:
            yield (
                f"{alone:,} more lie in weeks of which it took all or nothing, so there is nothing "
                "to hold them against."
            )
    yield from _paid(both.take(chosen), holding_s)
    if without := len(rows) - len(both):
        yield (
            f"{without} of {len(rows)} signals carry no advice (no model, or no reward and risk) "
            "and are left out of this."
        )


def _held(
    values: Floats, rows: Samples, chosen: Bools, holding_s: float
) -> tuple[Gain, int] | None:
    """What those `chosen` (n,) gained by `values` (n,), where known, and how many they are."""
    at = np.isfinite(values)
    at[at] = compared(chosen[at], rows.time_s[at])
    made = gain(values[at], rows.weight[at], chosen[at], rows.time_s[at], holding_s)
    return None if made is None else (made, int(chosen[at].sum()))


def _paid(taken: Samples, holding_s: float) -> Iterator[str]:
    """Whether what was taken made more than nothing, be it better than all or not."""
    at = np.isfinite(net_r(taken))
    if not at.any():
        return
    rows = taken.take(at)
    made = mean_made(rows, holding_s)
    above = float(np.average(net_r(rows) > 0.0, weights=rows.weight))
    enough = (
        made.clusters >= FEWEST_DAYS
        and rows.n_effective >= FEWEST_A_SIDE
        and rows.n_effective * min(above, 1.0 - above) >= FEWEST_EXPECTED
    )
    whose = "" if at.all() else " whose R is known"
    low, high = (end_of(end, "+.2f") for end in (made.low, made.high))
    sure = f"90 % interval {low} to {high}" if made.clusters > 1 else "one day has no interval"
    found = f"the {len(rows):,} taken{whose} made {signed(made.value)} R a signal ({sure})"
    if enough and made.high < 0.0:
        yield f"What it took lost money: {found}."
    elif enough and made.low > 0.0:
        yield f"What it took paid: {found}."
    else:
        so_far = "" if enough else "so far "
        yield f"Whether what it took paid is not established: {so_far}{found}."


def _by_reward(wins: Gain, made: Gain, reward: Gain) -> Iterator[str]:
    """What may be the work of near and far targets alone."""
    farther = reward.taken - reward.all
    if made.better and not wins.better and farther > ROUNDED:
        yield (
            "More R without more wins may be the better reward of those taken alone, which "
            "takes no model; the report holds it against that."
        )
    elif made_good(wins, made, reward):
        yield (
            "Fewer wins but not less R may be the higher reward of those taken alone: a farther "
            "target is reached less often."
        )
    elif wins.better and not made.better and farther < -ROUNDED:
        yield (
            "More wins without an established gain of R may be the lower reward of those taken "
            "alone: a nearer target is reached more often."
        )


def _one_sided(n: int, chosen: Bools) -> str:
    if not n:
        return "the model has advised on none of these signals"
    if chosen.any() and not chosen.all():
        return f"in each week the model would have taken all or none of the {n} signals"
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


def _sentence(made: Gain, taken: int, unit: _Unit, whose: str = "") -> str:
    value, whole = (f"{unit.scale * v:{unit.form}}" for v in (made.taken, made.all))
    form = f"+{unit.form.lstrip('+')}"
    more = f"{unit.scale * (made.taken - made.all):{form}}"
    low, high = (end_of(unit.scale * end, form) for end in (made.low, made.high))
    bounded = np.isfinite(made.low)
    sure = f"90 % interval {low} to {high}" if bounded else "one day has no interval"
    found = (
        f"the {taken:,} taken {unit.verb} {value}{unit.name}, all {made.n:,} advised on{whose}, "
        f"weighted to the same weeks, {whole}{unit.short}: "
        f"{more}{unit.step} ({sure})"
    )
    if made.days < FEWEST_DAYS or made.n < FEWEST:
        days = f"{made.days} day{'s' * (made.days > 1)}"
        return (
            f"Not established: {made.n} signals of {days}, and {FEWEST} of {FEWEST_DAYS} "
            f"are the least. So far {found}."
        )
    if not made.enough:
        return (
            f"Not established: {FEWEST_A_SIDE} taken and {FEWEST_A_SIDE} not are the least, with "
            f"{FEWEST_EXPECTED} wins and {FEWEST_EXPECTED} losses to be expected in either; the "
            f"smaller part counts for {int(made.fewer)}, and {int(made.fewer * made.rarer)} of the "
            f"rarer end. So far {found}."
        )
    if made.better:
        return f"Established: {found}."
    if made.worse:
        return f"Worse: {found}."
    why = "and that interval holds 0" if bounded else "and all that was taken is of one day"
    return f"Not established: {found}, {why}."


def _table(rows: Samples, taken: Bools, rejected: Bools) -> Iterator[str]:
    yield from _head()
    week = week_of(rows.time_s)
    for number in np.unique(week).tolist():
        at = week == number
        yield _line(day(MONDAY_S + number * WEEK_S), rows, (at, at & taken, at & rejected))
    yield "-" * WIDTH
    yield _line("together", rows, (np.ones(len(rows), dtype=np.bool_), taken, rejected))
    yield "n signals, per cent won with its 90 % interval, mean R net of costs; in these,"
    yield "signals that overlap count once; weeks begin Monday, UTC"


def _head() -> Iterator[str]:
    yield f"{'':<13}{'all':<23}{'taken by the model':<23}rejected by it"
    yield f"{'week of':<10}" + 3 * f"{'n':>6}{'won':>4}{'90 %':>7}{'R':>6}"


def _line(name: str, rows: Samples, parts: tuple[Bools, Bools, Bools]) -> str:
    cells = [_cell(group(rows, at)) for at in parts]
    return f"{name:<10}{''.join(cells)}".rstrip()


def _cell(found: Group) -> str:
    if not found.n:
        return f"{'-':>6}{'':17}"
    # A lower end that rounds to 100 would run into the share.
    interval = f"{min(100 * found.low, 99.0):z.0f}-{100 * found.high:.0f}"
    r = "-"
    if np.isfinite(found.r):  # with as many digits as leave a space before them
        texts = (f"{found.r:+.{digits}f}" for digits in (2, 1, 0))
        r = next(text for text in texts if len(text) <= 5)
    return f"{found.n:>6}{100 * found.won:>4.0f}{interval:>7}{r:>6}"


def _monday(time_s: float) -> float:
    return float(week_of(np.array(time_s)) * WEEK_S + MONDAY_S)
