"""An expanding walk-forward: every answer is given by what had ended before its question.

Window after window is predicted by a forest, the simple rules and a constant, all fitted
to the same past; and calibrated by the answers given before, once those signals had ended.
No number is fitted to the rows that it is measured on. No shuffling and no out-of-bag
score: overlapping signals would tell on each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.arrays import Bools, Floats, Ints
from training import rules
from training.bound import blocks, days, stretches
from training.calibration.calibrate import Curve, fit_curve
from training.dataset.join_rules import Rhythm
from training.dataset.samples import Samples
from training.logit import moved

Rows = NDArray[np.intp]
# Fits on samples and returns raw probabilities (m,) for rows (m, 11).
Fit = Callable[[Samples], Callable[[Floats], Floats]]
# Maps work over windows, in their order.
Spread = Callable[..., Iterator[Any]]

# The first forest grows on a fifth of the samples; the first answers only calibrate.
FIRST_SHARE = 0.2
CALIBRATION_SHARE = 0.1
LEAST_FIRST, LEAST_CALIBRATION = 30, 20
FEWEST_WINDOWS, MOST_WINDOWS = 6, 40


class NotEnough(Exception):  # noqa: N818
    """The samples do not allow a test; the text says what is lacking."""


@dataclass(frozen=True, slots=True)
class Fold:
    """A tested window: its rows of `test`, who answered them, and their calibration."""

    rows: slice
    predict: Callable[[Floats], Floats]
    curve: Curve


@dataclass(frozen=True, slots=True)
class WalkForward:
    """Answers to unseen rows. `past` (k,) rows and their `past_raw` include the tested ones.

    `past_base` (k,) is the share that had won of what trained for each. For the m rows of `test`:
    `p` as served, `calibrated` before it was shrunk, `raw` the forest's, and what each of `others`
    (constant, rules) said. `folds` can be asked again, about their own rows. A signal may run for
    `holding_s`.
    """

    test: Samples
    p: Floats
    calibrated: Floats
    raw: Floats
    others: dict[str, Floats]
    past: Samples
    past_raw: Floats
    past_base: Floats
    windows: int
    purged: int
    folds: tuple[Fold, ...] = ()
    holding_s: float = 0.0

    @property
    def groups(self) -> Ints:
        """The day of each tested row."""
        return days(self.test.time_s)

    def level(self, p: Floats, at: Bools | None = None) -> Floats:
        """Answers `p` to the rows `at` (m,), all by default, as if each window had the same mean.

        Without it the later signals would be the better-rated ones wherever wins become more, or
        a feature that changes once when wins do. Rounded, so that what is no more than a constant
        is one and the same.
        """
        window = np.zeros(len(self.test), np.int64)
        for number, fold in enumerate(self.folds):
            window[fold.rows] = number
        weight = self.test.weight
        if at is not None:
            window, weight = window[at], weight[at]
        result, to = p.copy(), float(np.average(p, weights=weight))
        for number in np.unique(window):
            rows = window == number
            result[rows] = moved(p[rows], float(np.average(p[rows], weights=weight[rows])), to)
        return np.round(result, 12)

    @property
    def clusters(self) -> Ints:
        """What each tested row shares its luck with: its day, or more where signals run longer."""
        return stretches(self.test.time_s, self.holding_s)


@dataclass(frozen=True, slots=True)
class _Answers:
    """One window: its rows, what was said of them, the share of wins of what trained.

    `level` is that of the live ones among these: answers are to live signals.
    """

    rows: Rows
    raw: Floats
    others: dict[str, Floats]
    start_s: float
    base_rate: float
    level: float
    predict: Callable[[Floats], Floats]


class _Question(NamedTuple):
    """One window before it is answered: its rows, what may train, and what is asked."""

    rows: Rows
    past: Samples
    asked: Samples
    start_s: float


def windows(samples: Samples, rhythm: Rhythm) -> list[tuple[int, int]]:
    """First and last + 1 row of each window; signals of one moment are not divided.

    Windows hold equally many signals that were scored live: the others are never asked. They
    count among the first rows, on which the first forest grows.
    """
    n = len(samples)
    live = np.flatnonzero(~samples.backfilled)
    first = int(np.searchsorted(live, max(LEAST_FIRST, round(FIRST_SHARE * n))))
    if first >= len(live):
        return []
    count = int(np.clip((len(live) - first) // max(rhythm.step, 1), FEWEST_WINDOWS, MOST_WINDOWS))
    cuts = np.linspace(first, len(live), min(count, len(live) - first) + 1).round().astype(int)
    starts = samples.time_s[live[cuts[:-1]]]
    whole = np.searchsorted(samples.time_s, starts, side="left")
    return list(pairwise(np.unique(np.append(whole, n)).tolist()))


def trainable(samples: Samples, start_s: float, rhythm: Rhythm) -> Bools:
    """Rows (n,) that may train for a window that begins at `start_s`.

    Ended before the embargo, and of a cohort whose holding time had passed by then:
    those that ended early would else arrive alone.
    """
    until_s = start_s - rhythm.embargo_s
    ripe = samples.time_s < until_s - rhythm.holding_s
    return (samples.end_s < until_s) & ripe


def walk_forward(
    samples: Samples,
    fit: Fit,
    rhythm: Rhythm,
    *,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
    spread: Spread = map,
) -> WalkForward:
    """Walk through samples in order of time. Raises NotEnough.

    Backfilled rows train and are never asked. `progress` hears windows done and all; `spread`
    maps the work of a window over the windows, wherever that is done.
    """
    plan = windows(samples, rhythm)
    work = partial(_answer, fit=fit, columns=rules.applicable(samples))
    answers: list[_Answers] = []
    for number, answer in enumerate(spread(work, _questions(samples, plan, rhythm))):
        if answer is not None:
            answers.append(answer)
        progress(number + 1, len(plan))
    return _tested(samples, answers, rhythm, len(plan), _purged(samples, plan, rhythm))


def _questions(
    samples: Samples, plan: list[tuple[int, int]], rhythm: Rhythm
) -> Iterator[_Question]:
    for start, stop in plan:
        start_s = float(samples.time_s[start])
        rows = np.arange(start, stop)[~samples.backfilled[start:stop]]
        past = samples.take(trainable(samples, start_s, rhythm))
        yield _Question(rows, past, samples.take(rows), start_s)


def _answer(question: _Question, fit: Fit, columns: dict[str, rules.Column]) -> _Answers | None:
    """What is said of one window; None where nobody is asked, or the past lacks a win or loss."""
    rows, past, asked = question.rows, question.past, question.asked
    if not len(rows) or not past.both_classes:
        return None
    base, level = past.base_rate, past.live.base_rate
    others = {"constant": np.full(len(rows), level)}
    for name, rule in columns.items():
        said = rules.predict(rule, past, asked)
        others[name] = said if level == base else moved(said, base, level)
    predict = fit(past)
    return _Answers(rows, predict(asked.x), others, question.start_s, base, level, predict)


def _purged(samples: Samples, plan: list[tuple[int, int]], rhythm: Rhythm) -> int:
    """How many earlier rows did not train, over all windows."""
    starts = [float(samples.time_s[start]) for start, _ in plan]
    before = sum(int(np.count_nonzero(samples.time_s < start_s)) for start_s in starts)
    trained = sum(int(np.count_nonzero(trainable(samples, s, rhythm))) for s in starts)
    return before - trained


def _tested(
    samples: Samples, answers: list[_Answers], rhythm: Rhythm, count: int, purged: int
) -> WalkForward:
    """Calibrate each window by the answers before it; those that only calibrate stay out."""
    live = int(np.count_nonzero(~samples.backfilled))
    least = max(LEAST_CALIBRATION, CALIBRATION_SHARE * live)
    tested: list[tuple[_Answers, Curve]] = []
    for number, window in enumerate(answers):
        curve = _curve(samples, answers[:number], window, rhythm, least)
        if curve is not None:
            tested.append((window, curve))
    if not tested:
        made = len(samples) - live
        won = int(np.count_nonzero(samples.win))
        raise NotEnough(
            f"{len(samples)} samples, {won} won and {len(samples) - won} not, leave no later "
            "signals to be tested on, after those that train and those that calibrate, wins and "
            "losses among either"
            + (f"; {made} of them are backfilled and only train" if made else "")
        )

    def joined(parts: list[Floats]) -> Floats:
        return np.concatenate(parts)

    test = samples.take(np.concatenate([window.rows for window, _ in tested]))
    if not test.both_classes:
        raise NotEnough(f"the {len(test)} signals to be tested on lack a win or a loss")
    return WalkForward(
        test=test,
        p=joined([curve.served(window.raw) for window, curve in tested]),
        calibrated=joined([curve.calibrated(window.raw) for window, curve in tested]),
        raw=joined([window.raw for window, _ in tested]),
        others={
            name: joined([window.others[name] for window, _ in tested])
            for name in tested[0][0].others
        },
        past=samples.take(np.concatenate([window.rows for window in answers])),
        past_raw=joined([window.raw for window in answers]),
        past_base=joined([np.full(len(window.rows), window.base_rate) for window in answers]),
        windows=count,
        purged=purged,
        folds=tuple(_folds(tested)),
        holding_s=rhythm.holding_s,
    )


def _folds(tested: list[tuple[_Answers, Curve]]) -> Iterator[Fold]:
    begin = 0
    for window, curve in tested:
        yield Fold(slice(begin, begin + len(window.rows)), window.predict, curve)
        begin += len(window.rows)


def _curve(
    samples: Samples, before: list[_Answers], window: _Answers, rhythm: Rhythm, least: float
) -> Curve | None:
    """The calibration by the earlier answers whose signals had ended; None where too few."""
    if not before:
        return None
    rows = np.concatenate([answers.rows for answers in before])
    raw = np.concatenate([moved(a.raw, a.base_rate, window.base_rate) for a in before])
    known = trainable(samples, window.start_s, rhythm)[rows]
    past = samples.take(rows[known])
    if len(past) < least or not past.both_classes:
        return None
    return fit_curve(
        raw[known],
        past.win,
        n_effective=past.n_effective,
        weight=past.weight,
        groups=stretches(past.time_s, rhythm.holding_s),
        blocks=blocks(past.time_s, rhythm.holding_s),
        base_rate=window.level,
    )
