"""Whose advice `results` tells of. A verdict on several models is none on the one that serves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.arrays import Bools
from service.errors import ModelRejected
from service.model.pointer import read_pointer
from training.bound import DAY_S
from training.dataset.answered import Advice
from training.dataset.samples import Samples
from training.gain import week_of
from training.wording import day

FEWEST_ALONE = 20
"""Answers in a row of a model that answered before, too: of two side by side one has a few."""


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
    last = str(versions[-1])
    if (versions != last).any():
        yield f"The advice is that of {_several(rows, told, versions)}."
    if published not in (None, last):
        gave = (
            "the last of this advice is not" if published in versions else "none of this advice is"
        )
        yield f"{published} is published now; {gave} its own."


def _several(rows: Samples, told: Samples, versions: NDArray[np.str_]) -> str:
    """How many they are, and since when the last one answers alone, if it does."""
    last, count = str(versions[-1]), len(np.unique(versions))
    begin = int(np.flatnonzero(versions != last)[-1]) + 1
    since_s = float(told.time_s[begin])
    few = len(versions) - begin < FEWEST_ALONE or told.time_s[-1] - since_s < DAY_S
    if few and last in versions[:begin]:
        return f"{count} models that answer by turns, and what is said above is of all"
    # The first is of the other model too, in part.
    weeks = int(week_of(rows.time_s[-1:])[0] - week_of(told.time_s[begin : begin + 1])[0])
    alone = f": `--weeks {weeks}` shows that" if weeks else ", for less than a whole week so far"
    return (
        f"{count} models together, and what is said above is of all; "
        f"since {day(since_s)} it is that of {last} alone{alone}"
    )
