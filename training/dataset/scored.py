"""What training reads of the journal: the scores with their vectors, the outcomes as labels.

SQLite keeps any type in any column, as a turned bit may have made it: such a row is left out.
"""

from __future__ import annotations

import sqlite3
import sys
from collections import defaultdict
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
from msgspec.structs import force_setattr

from service.arrays import Floats
from training.dataset.journals import is_backfilled
from training.dataset.labels import Label, of_journal

_SCORES = """
select score_id, signal_id, symbol, direction, pattern, scored_at, event_time,
       win_probability, fingerprint, features, missing, reward_risk, cost_r,
       bid, ask, entry_price, stop_loss
from scores{since} order by seq
"""
# An id's first score is its sample, however long ago that was.
_SINCE = """
 where scored_at >= :since_s
    or signal_id in (select signal_id from scores where scored_at >= :since_s)
"""
_IDS = "select signal_id, score_id from scores where scored_at >= ?"
_OUTCOMES = """
select coalesce(s.signal_id, s.score_id, o.signal_id, o.score_id, char(0) || hex(o.digest)),
       o.source, o.outcome, o.win, o.realised_r, o.final_pips, o.runtime_s, o.closed_at,
       o.received_at, s.event_time, o.opened_at
from outcomes o left join scores s on s.score_id = o.score_id order by o.seq
"""
T = TypeVar("T", bound=msgspec.Struct)


class Score(msgspec.Struct, frozen=True, gc=False, array_like=True):
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

    def __post_init__(self) -> None:
        # Few texts, many rows: each is kept once.
        for name in ("symbol", "fingerprint", "missing"):
            force_setattr(self, name, sys.intern(getattr(self, name)))
        if self.pattern is not None:
            force_setattr(self, "pattern", sys.intern(self.pattern))

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


class _Reported(msgspec.Struct, gc=False, array_like=True):
    """The columns of an outcome, in the order of the query, named as `of_journal` has them.

    `key` is the id that it is found by.
    """

    key: str
    source: str
    word: str
    win: int | None
    realised_r: float | None
    pips: float | None
    runtime_s: float | None
    ended_s: float | None
    received_s: float
    began_s: float | None
    opened_s: float | None


def vector_of(score: Score) -> Floats:
    """The recorded features (11,), in schema order."""
    return np.frombuffer(score.features, dtype="<f8")


class Reach(NamedTuple):
    """What of a journal is read: scores from `since_s` on (UTC s, the machine's clock), with the
    earlier ones of the same signals, and what is told of `ids`, of signals or scores."""

    since_s: float
    ids: set[str]


class Scores(NamedTuple):
    """The sound rows of `scores` in the order in which they were written, and how many are not."""

    sound: list[Score]
    damaged: int


def ids_since(connection: sqlite3.Connection, since_s: float) -> set[str]:
    """The signal and score ids of what was scored from `since_s` on."""
    rows = connection.execute(_IDS, (since_s,))
    return {key for row in rows for key in row if isinstance(key, str)}


def scores_of(connection: sqlite3.Connection, reach: Reach | None = None) -> Scores:
    """All rows of `scores`, or those within `reach`."""
    backfilled = is_backfilled(connection)
    if reach is None:
        rows = connection.execute(_SCORES.format(since=""))
    else:
        rows = connection.execute(_SCORES.format(since=_SINCE), {"since_s": reach.since_s})
    found = [_read((*row, backfilled), Score) for row in rows]
    sound = [score for score in found if score is not None]
    return Scores(sound, len(found) - len(sound))


def labels_by_id(
    connection: sqlite3.Connection, reach: Reach | None = None
) -> defaultdict[str, list[Label]]:
    """Labels by signal id where there is one, else by score id; of all, or those within `reach`.

    The score that a report names decides: its caller may know the signal by an id that the
    service was not told when it scored.
    """
    labels: defaultdict[str, list[Label]] = defaultdict(list)
    for columns in connection.execute(_OUTCOMES):
        if reach is not None and columns[0] not in reach.ids:
            continue
        row = _read(columns, _Reported)
        if row is None:
            continue
        labels[row.key].append(
            of_journal(
                sys.intern(row.source),
                row.word,
                None if row.win is None else bool(row.win),
                realised_r=row.realised_r,
                pips=row.pips,
                ended_s=row.ended_s,
                runtime_s=row.runtime_s,
                received_s=row.received_s,
                began_s=row.began_s,
                opened_s=row.opened_s,
            )
        )
    return labels


def _read(columns: tuple[object, ...], kind: type[T]) -> T | None:
    try:
        return msgspec.convert(columns, kind)
    except msgspec.ValidationError:
        return None
