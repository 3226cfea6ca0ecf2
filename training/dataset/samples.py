"""A sample: a signal's vector as it was recorded when it was scored, and how it ended.

Nothing dated after the scoring is a column of `x`; ends and results stand beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from service.arrays import Bools, Floats


@dataclass(frozen=True, slots=True)
class Samples:
    """n samples in order of `time_s`; every column has n rows.

    `x` (n, 11) in schema order; `win` bool; `time_s` when scored and `end_s` when ended,
    UTC seconds; `weight` 0..1 (average uniqueness, see `overlap`); `realised_r` (net of costs),
    `reward_risk`, `cost_r`, `win_probability` (as served) and `stop_spreads` (distance from
    entry to stop in spreads, when scored) NaN where unknown; `at_level` is False of an end at
    neither target nor stop whose R only `realised_r` can tell;
    `direction` +1, -1, 0; `backfilled` marks vectors that were not scored live.
    """

    x: Floats
    win: Bools
    time_s: Floats
    end_s: Floats
    weight: Floats
    realised_r: Floats
    reward_risk: Floats
    cost_r: Floats
    at_level: Bools
    win_probability: Floats
    stop_spreads: Floats
    direction: NDArray[np.int8]
    backfilled: Bools
    symbol: NDArray[np.str_]
    pattern: NDArray[np.str_]
    score_id: NDArray[np.str_]
    label_source: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.win)

    def take(self, index: Bools | NDArray[np.intp] | slice) -> Samples:
        """The rows at `index`, as numpy understands it."""
        return replace(self, **{f.name: getattr(self, f.name)[index] for f in fields(self)})

    @property
    def n_effective(self) -> float:
        """How many signals on their own weigh as much: the sum of uniqueness."""
        return float(np.sum(self.weight))

    @property
    def base_rate(self) -> float:
        """The weighted share of wins; NaN without samples."""
        return float(np.average(self.win, weights=self.weight)) if len(self) else float("nan")

    @property
    def live(self) -> Samples:
        """Those scored live, as what a model is asked will be: how many win, and how sure that is.

        All of them where none was backfilled, or the live ones lack a win or a loss.
        """
        live = self.take(~self.backfilled) if self.backfilled.any() else self
        return live if live.both_classes else self

    def outlasting(self, holding_s: float) -> str:
        """What is to be said where more than 1 in 100 signals run for clearly longer than that."""
        longer = int(np.count_nonzero(self.end_s - self.time_s > 1.1 * holding_s))
        if longer <= 0.01 * len(self):
            return ""
        return (
            f"{longer:,} of {len(self):,} signals ran for longer than training.max_holding_s "
            f"({holding_s / 3600.0:.1f} hours): the newest are counted before their slow ends are "
            "in, days are taken for independent that are not, and overlap beyond that time is not "
            "seen: counted once, they are fewer than said. Set it to how long they run, "
            "truth_log.timezone to the zone of their ends, or report closed_at if reports come late"
        )

    @property
    def both_classes(self) -> bool:
        """Whether there is a win and a loss."""
        return bool(self.win.any()) and not bool(self.win.all())
