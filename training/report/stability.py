"""Whether what was found holds everywhere: by week, symbol, pattern and session.

The rule: a part's better half is held against all of that part in the same weeks; parts too
small to say anything are put together, never left out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.arrays import Bools, Floats
from training.dataset.samples import Samples
from training.gain import MONDAY_S, WEEK_S, Gain, gain, week_of
from training.measure import best_half
from training.wording import day

FEWEST = 30
FEWEST_DAYS = 3
MOST = 12
MOST_WEEKS = 53
# By UTC hour, as `session_bonus` has them; from 13 to 17 h London and New York are both open.
SESSIONS = {
    "08 to 12 h, London": range(8, 13),
    "13 to 17 h, both": range(13, 18),
    "18 to 22 h, New York": range(18, 23),
    "23 to 07 h, Asia": (23, *range(8)),
}


class Part(NamedTuple):
    """Some of the tested signals: how many, effective too, and what the better half won more.

    `gain` is None where all or nothing would be taken.
    """

    name: str
    n: int
    n_effective: float
    gain: Gain | None

    @property
    def bounded(self) -> Gain | None:
        """The gain where its interval says anything: by two days it would not."""
        return self.gain if self.gain is not None and self.gain.days >= FEWEST_DAYS else None


def stability(p: Floats, test: Samples, holding_s: float = 0.0) -> dict[str, list[Part]]:
    """Parts of the signals `test` (m,), by what they are parted; `p` (m,) as served.

    Weeks in order of time, the newest 53; the others by size, at most twelve and the rest. A
    signal may run for `holding_s`.
    """
    week = week_of(test.time_s).astype(np.int64)
    hour = (test.time_s // 3600 % 24).astype(np.int64)
    session = np.full(len(test), "", dtype=object)
    for name, hours in SESSIONS.items():
        session[np.isin(hour, list(hours))] = name
    pattern = np.where(test.pattern == "", "no pattern", test.pattern)
    return {
        "week": [
            _part(_monday(w), p, test, week == w, holding_s) for w in np.unique(week)[-MOST_WEEKS:]
        ],
        "symbol": _parts(test.symbol, p, test, holding_s),
        "pattern": _parts(pattern, p, test, holding_s),
        "session": _parts(session, p, test, holding_s),
    }


def _parts(
    label: NDArray[np.str_] | NDArray[np.object_], p: Floats, test: Samples, holding_s: float
) -> list[Part]:
    names, counts = np.unique(label.astype(str), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    large = [at for at in order if counts[at] >= FEWEST][:MOST]
    found = [_part(str(names[at]), p, test, label == names[at], holding_s) for at in large]
    rest = [str(names[at]) for at in order if at not in large]
    if rest:
        name = rest[0] if len(rest) == 1 else f"{len(rest)} others"
        found.append(_part(name, p, test, np.isin(label.astype(str), rest), holding_s))
    return found


def _part(name: str, p: Floats, test: Samples, at: Bools, holding_s: float) -> Part:
    rows = test.take(at)
    taken = np.zeros(len(rows), dtype=np.bool_)
    taken[best_half(p[at])] = True
    made = gain(rows.win.astype(np.float64), rows.weight, taken, rows.time_s, holding_s)
    return Part(name, len(rows), rows.n_effective, made)


def _monday(week: float) -> str:
    return day(MONDAY_S + week * WEEK_S)
