"""When the service lost sight of a symbol or it began anew, as its void paper outcomes tell.

The rule: of the signals that such a moment may have cut short none counts by its paper outcome.
A near stop is reached sooner than a far target, so those that ended in time are mostly losses.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from training.dataset.labels import Label, is_void
from training.dataset.scored import Score


class Sight:
    """Of each symbol the moments (event time, UTC s) after which it was not seen for too long."""

    def __init__(self, lost_s: Mapping[str, Iterable[float]]) -> None:
        self._lost_s = {symbol: sorted(set(times)) for symbol, times in lost_s.items()}

    def lost(self, symbol: str, begin_s: float, end_s: float) -> bool:
        """Whether one of them lies in [begin_s, end_s)."""
        times = self._lost_s.get(symbol, [])
        at = bisect_left(times, begin_s)
        return at < len(times) and times[at] < end_s


def sight_of(scores: Iterable[Score], labels: Mapping[str, Sequence[Label]]) -> Sight:
    """What was lost sight of by all that followed a signal: a replica may have seen its end."""
    lost_s: defaultdict[str, list[float]] = defaultdict(list)
    for score in scores:
        for key in (score.signal_id, score.score_id):
            said = labels.get(key, ()) if key is not None else ()
            if any(label.source == "paper" and not is_void(label) for label in said):
                continue
            lost_s[score.symbol] += (
                label.lost_s
                for label in said
                # Of the score that was followed: its id may be used again, for another symbol.
                if label.lost_s is not None and label.began_s == score.event_time
            )
    return Sight(lost_s)
