"""The learning curve: what the newest n of the past are worth on the same later signals.

The rule: every point is measured on one and the same last third, by forests whose samples had
ended before it less the embargo; so that points differ in n and in nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from training.bound import stretches
from training.dataset.join_rules import Rhythm
from training.dataset.samples import Samples
from training.gain import Gain, gain
from training.measure import best_half
from training.walk_forward import Fit, trainable

TESTED_SHARE = 1.0 / 3.0
FEWEST = 50
POINTS = 6
FEWEST_DAYS = 5


class Point(NamedTuple):
    """Trained on `n`: what its better half won above all, with the interval, in shares."""

    n: int
    gain: Gain


def learning_curve(
    samples: Samples,
    fit: Fit,
    rhythm: Rhythm,
    *,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> list[Point]:
    """Points by rising n, doubled from 50 or so up to all of the past; none where too few.

    No calibration is needed to rank, so n may be small. Backfilled samples are not asked.
    """
    live = np.flatnonzero(~samples.backfilled)
    first = round((1.0 - TESTED_SHARE) * len(live))
    if first >= len(live):
        return []
    cut = int(live[first])
    start_s = float(samples.time_s[cut])
    past = np.flatnonzero(trainable(samples, start_s, rhythm))
    later = np.arange(cut, len(samples))
    test = samples.take(later[~samples.backfilled[later]])
    if len(past) < FEWEST or len(np.unique(stretches(test.time_s, rhythm.holding_s))) < FEWEST_DAYS:
        return []
    found = []
    plan = sizes(len(past))
    for number, n in enumerate(plan):
        part = samples.take(past[-n:])
        if part.both_classes:
            made = _point(part, test, fit, rhythm.holding_s)
            found += [] if made is None else [Point(n, made)]
        progress(number + 1, len(plan))
    return found


def sizes(most: int) -> list[int]:
    """`most`, its half, its quarter and so on, at least 50 and at most six of them; rising."""
    halved = [most >> power for power in range(POINTS)]
    return [n for n in reversed(halved) if n >= FEWEST]


def _point(part: Samples, test: Samples, fit: Fit, holding_s: float) -> Gain | None:
    taken = np.zeros(len(test), dtype=np.bool_)
    taken[best_half(fit(part)(test.x))] = True
    return gain(test.win.astype(np.float64), test.weight, taken, test.time_s, holding_s)
