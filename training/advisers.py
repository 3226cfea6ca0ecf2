"""Whose advice `results` tells of. A verdict on several models is none on the one that serves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from service.arrays import Bools
from service.bundle import read_pointer
from service.errors import ModelRejected
from training.answered import Advice
from training.gain import week_of
from training.samples import Samples
from training.wording import day


def published_version(models_dir: Path) -> str | None:
    """Of the model that is published; None where there is none, or nobody can tell."""
    try:
        pointer = read_pointer(models_dir)
    except ModelRejected:
        return None
    return None if pointer is None else pointer.version


def whose(
    rows: Samples, advised: Bools, advice: Mapping[str, Advice], published: str | None
) -> Iterator[str]:
    """What is to be said of the models that answered the rows `advised` (n,).

    Nothing where it was one alone, the one that is `published`.
    """
    told = rows.take(advised)
    versions = np.array([str(advice[name].version) for name in told.score_id.tolist()])
    if not len(versions):
        return
    last, count = str(versions[-1]), len(np.unique(versions))
    if count > 1:
        begin = int(np.flatnonzero(versions != last)[-1]) + 1
        since_s = float(told.time_s[begin])
        # The first is of the other model too, in part.
        weeks = int(week_of(rows.time_s[-1:])[0] - week_of(told.time_s[begin : begin + 1])[0])
        alone = (
            f": `--weeks {weeks}` shows that" if weeks else ", for less than a whole week so far"
        )
        yield (
            f"The advice is that of {count} models together, and what is said above is of all; "
            f"since {day(since_s)} it is that of {last} alone{alone}."
        )
    if published not in (None, last):
        gave = (
            "the last of this advice is not" if published in versions else "none of this advice is"
        )
        yield f"{published} is published now; {gave} its own."
