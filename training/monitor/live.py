"""The outcomes of what one model answered live, in the order in which the signals came.

Made from the same samples that train, so paper and reported outcomes, their doubts and
their weights are the same; a signal counts once its cohort's holding time has passed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from service.arrays import Bools, Floats, Ints
from training.bound import DAY_S, stretches
from training.dataset.answered import Advice
from training.dataset.samples import Samples


@dataclass(frozen=True, slots=True)
class Live:
    """m outcomes: the vector `x` (m, 11), the served `p`, `win`, `weight`, `time_s` (UTC s).

    `holding_s` is how long signals may run.
    """

    x: Floats
    p: Floats
    win: Bools
    weight: Floats
    time_s: Floats
    holding_s: float = 0.0

    @property
    def groups(self) -> Ints:
        """The stretch (m,) of each, within which outcomes depend on one another."""
        return stretches(self.time_s, self.holding_s)

    def __len__(self) -> int:
        return len(self.win)

    def take(self, index: Bools | slice) -> Live:
        """The rows at `index`."""
        columns = (f.name for f in fields(self) if f.name != "holding_s")
        return replace(self, **{name: getattr(self, name)[index] for name in columns})

    def last_days(self, days: float) -> Live:
        """Those scored within `days` before the newest of them."""
        if not len(self):
            return self
        return self.take(self.time_s > self.time_s[-1] - DAY_S * days)


def live_of(
    samples: Samples, advice: Mapping[str, Advice], version: str, holding_s: float = 0.0
) -> Live:
    """Of `samples`, which may run for `holding_s`, what the model `version` answered."""
    asked = [
        (found := advice.get(score_id)) is not None and found.version == version
        for score_id in samples.score_id.tolist()
    ]
    at = np.array(asked, dtype=np.bool_) & np.isfinite(samples.win_probability)
    rows = samples.take(at & ~samples.backfilled)
    return Live(rows.x, rows.win_probability, rows.win, rows.weight, rows.time_s, holding_s)
