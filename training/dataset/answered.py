"""What the models answered live, as the journal has it: by score for outcomes, in order for drift.

The rule: a model is held against what it said when it was asked, never against what it would
say today. Of a journal that is kept for ever no more is held in memory than that model's time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from protocol.schema import FEATURE_COUNT, FINGERPRINT
from service.arrays import Floats
from service.drift import WINDOW
from training.dataset.journals import Journals, read

_ADVICE = "select score_id, model_version, take from scores"
_OF_ONE = f"{_ADVICE} where model_version = ?"
_FIRST = "select min(scored_at) from scores where model_version = ? and typeof(scored_at) = 'real'"
_NEWEST = (
    "select event_time, scored_at, features from scores"
    " where model_version = ? and fingerprint = ?"
    # SQLite keeps any type in any column: a damaged row is left out.
    " and typeof(event_time) = 'real' and typeof(scored_at) = 'real' and typeof(features) = 'blob'"
    " order by seq desc limit ?"
)


_LAST = (
    "select scored_at, model_version from scores where scored_at > ? and scored_at <= ?"
    " and typeof(scored_at) = 'real'"
    " and (typeof(model_version) = 'text' or status = 'no_model'"
    " or status = 'expired_model' and scored_at > ? and scored_at < ?)"
    " order by scored_at desc limit 1"
)


class LastAnswer(NamedTuple):
    """When it was given, UTC seconds, by which model, or None where the service had none, and
    whose journal has it."""

    at: float
    version: str | None
    journal: Path


class Advice(msgspec.Struct, frozen=True, gc=False):
    """Of one score: the model that answered, or None, and whether it would have taken the signal.

    `take` is None where there was no answer, or the signal had no reward and risk.
    """

    version: str | None
    take: bool | None


def advice_by_score(journals: Journals, of: str | None = None) -> dict[str, Advice]:
    """By score id, of all scores or those that the model `of` answered.

    Raises sqlite3.Error or FileNotFoundError where there is no journal.
    """
    with read(journals) as connection:
        rows = connection.execute(_ADVICE) if of is None else connection.execute(_OF_ONE, (of,))
        return {
            score_id: Advice(version, None if take is None else bool(take))
            for score_id, version, take in rows
        }


def last_answers(
    journals: Sequence[Path], since_s: float, until_s: float, young: tuple[float, float]
) -> list[LastAnswer]:
    """Of each journal the last within these times (UTC s) that a model gave, or that only the
    want of one kept it from giving; nothing of a journal without such.

    Between the times of `young` the published one had not expired: one that had is none.
    Raises as `advice_by_score` does.
    """
    found = []
    for journal in journals:
        with read(journal) as connection:
            row = connection.execute(_LAST, (since_s, until_s, *young)).fetchone()
        if row is not None:
            found.append(LastAnswer(row[0], row[1], journal))
    return found


def first_answer_s(journals: Journals, version: str) -> float | None:
    """When a model was first asked, by the clock of the machine (UTC s); None if it never was.

    Raises as `advice_by_score` does.
    """
    with read(journals) as connection:
        found: float | None = connection.execute(_FIRST, (version,)).fetchone()[0]
    return found


def newest_vectors(journals: Journals, version: str) -> list[tuple[float, Floats]]:
    """The newest 1,000 vectors (11,) that a model answered and when, UTC seconds; oldest first."""
    with read(journals) as connection:
        rows = connection.execute(_NEWEST, (version, FINGERPRINT, WINDOW)).fetchall()
    return [
        (event_s if np.isfinite(event_s) else scored_s, np.frombuffer(features, dtype="<f8"))
        for event_s, scored_s, features in reversed(rows)
        if len(features) == 8 * FEATURE_COUNT
    ]
