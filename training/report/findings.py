"""Everything that the report shows of a candidate, as numbers; words and pictures come after.

The rule: all of it is about the tested signals of the walk-forward, whose answers were given
before they had ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from training.bound import Mean
from training.candidate import Candidate, grower
from training.gain import Gain
from training.known_r import Known, known_r, without_selected_r
from training.report import coverage
from training.report.coverage import Decile, Promise, Taken
from training.report.learning import Point, learning_curve
from training.report.permutation import permutation_importance
from training.report.stability import Part, stability
from training.settings import Settings

Step = Callable[[str, int, int], None]

ALIKE = 1e-9


class Findings(NamedTuple):
    """Of the tested signals. `told` are the coverages of the first table, the last is all.

    `paying` are the signals whose expected R was above 0, None where there are none; `above_terms`
    is what the better half made above the half with the best reward and cost; both None where no R
    is known, as `promise`. `known` says of how many it is; where that depends on how they ended,
    all else here is as if it were known of none. `alike`: every signal got the same probability.
    """

    alike: bool
    by_r: bool
    known: Known
    told: list[Taken]
    curve: list[Taken]
    paying: Taken | None
    above_terms: Gain | None
    promise: Promise | None
    deciles: list[Decile]
    importance: dict[str, Mean]
    learning: list[Point]
    parts: dict[str, list[Part]]

    @property
    def half(self) -> Taken:
        """The better half: of few signals the share that is one may be 4 of 9."""
        return self.told[coverage.TOLD.index(coverage.HALF)]

    @property
    def all(self) -> Taken:
        """All tested signals."""
        return self.told[-1]


def find(
    candidate: Candidate, settings: Settings, step: Step = lambda _name, _done, _all: None
) -> Findings:
    """Work it out; the learning curve fits six forests more. `step` hears of stages."""
    walk = candidate.walk
    p, test, holding_s = walk.p, without_selected_r(walk.test), walk.holding_s
    level = walk.level(p)
    rated = coverage.rating(level, test)

    def take(share: float) -> Taken:
        return coverage.taken(rated.score, p, test, share, holding_s)

    paying = coverage.rating(p, test).score > 0.0
    return Findings(
        alike=float(np.ptp(level)) < ALIKE,
        by_r=rated.by_r,
        known=known_r(walk.test),
        told=[take(share) for share in (*coverage.TOLD, 1.0)],
        curve=[take(float(share)) for share in coverage.SHARES],
        paying=(
            coverage.chosen(paying, p, test, holding_s) if rated.by_r and paying.any() else None
        ),
        above_terms=coverage.above_terms(level, test, holding_s) if rated.by_r else None,
        promise=coverage.promise(p, test, holding_s) if rated.by_r else None,
        deciles=coverage.deciles(level, p, test, holding_s),
        importance=permutation_importance(
            walk, seed=candidate.seed, progress=_told(step, "exchanging features")
        ),
        learning=learning_curve(
            candidate.samples,
            grower(settings),
            settings.rhythm,
            progress=_told(step, "learning curve"),
        ),
        parts=stability(level, test, holding_s),
    )


def _told(step: Step, name: str) -> Callable[[int, int], None]:
    return lambda done, total: step(name, done, total)
