"""What training reads of the journal: the scores with their vectors, the outcomes as labels."""

from __future__ import annotations

import sqlite3
from collections import defaultdict

import msgspec
import numpy as np

from service.arrays import Floats
from training.journals import is_backfilled
from training.labels import Label, of_journal

_SCORES = """
select score_id, signal_id, symbol, direction, pattern, scored_at, event_time,
       win_probability, fingerprint, features, missing, reward_risk, cost_r,
       bid, ask, entry_price, stop_loss
from scores order by seq
"""
_OUTCOMES = """
select coalesce(s.signal_id, s.score_id, o.signal_id, o.score_id, ''), o.source, o.outcome, o.win,
       o.realised_r, o.final_pips, o.runtime_s, o.closed_at, o.received_at, s.event_time
from outcomes o left join scores s on s.score_id = o.score_id order by o.seq
"""
_TOLD = ("realised_r", "pips", "runtime_s", "ended_s", "received_s", "began_s")
"""The last six, as `of_journal` calls them."""


class Score(msgspec.Struct, frozen=True, gc=False):
    """The columns of a row of `scores` that training reads, in the order of the query.

    `backfilled` is of the file that it was read from.
    """

    score_id: str
    signal_id: str | None
    symbol: str
    direction: int
    pattern: str | None
    scored_at: float
    event_time: float
    win_probability: float | None
    fingerprint: str
    features: bytes
    missing: str
    reward_risk: float | None
    cost_r: float | None
    bid: float | None
    ask: float | None
    entry_price: float | None
    stop_loss: float | None
    backfilled: bool = False

    @property
    def time_s(self) -> float:
        """When it was scored, on the feed's clock where that is known."""
        return self.event_time if np.isfinite(self.event_time) else self.scored_at

    @property
    def stop_spreads(self) -> float | None:
        """The distance from entry to stop in spreads of the quote it was scored at."""
        entry, stop = self.entry_price, self.stop_loss
        if self.bid is None or self.ask is None or entry is None or stop is None:
            return None
        spread = self.ask - self.bid
        return abs(entry - stop) / spread if spread > 0.0 else None


def vector_of(score: Score) -> Floats:
    """The recorded features (11,), in schema order."""
    return np.frombuffer(score.features, dtype="<f8")


def scores_of(connection: sqlite3.Connection) -> list[Score]:
    """All rows of `scores` in the order in which they were written."""
    backfilled = is_backfilled(connection)
    return [Score(*(*row, backfilled)) for row in connection.execute(_SCORES)]


def labels_by_id(connection: sqlite3.Connection) -> defaultdict[str, list[Label]]:
    """Labels by signal id where there is one, else by score id.

    The score that a report names decides: its caller may know the signal by an id that the
    service was not told when it scored.
    """
    labels: defaultdict[str, list[Label]] = defaultdict(list)
    for key, source, word, win, *told in connection.execute(_OUTCOMES):
        won = None if win is None else bool(win)
        labels[key].append(of_journal(source, word, won, **dict(zip(_TOLD, told, strict=True))))
    return labels
