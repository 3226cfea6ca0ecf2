"""How far back the monitor reads: the time of the model that it judges, and a month before that.

The rule: journal and truth logs are kept for ever, and what a run needs of them must not grow with
their age. A month before the first answer is all that may still have run beside it, and says how
long the signals of each symbol run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing

from service.errors import ModelRejected
from service.model.pointer import read_pointer
from training.dataset.answered import first_answer_s
from training.dataset.journals import named, open_backfill, read
from training.dataset.labels import LONGEST_TRADE_S
from training.dataset.scored import Reach, ids_since
from training.monitor.model_in_use import answers_since
from training.settings import Settings


def reach_of(settings: Settings, *, now_s: float) -> Reach:
    """What has to be read for the published model, and for those that answer in its stead.

    Nothing where none has answered. Raises sqlite3.Error, FileNotFoundError or ConfigError
    where a journal or backfill cannot be read.
    """
    firsts = [first_answer_s(settings.journals, one) for one in set(_versions(settings, now_s))]
    first_s = min((first_s for first_s in firsts if first_s is not None), default=math.inf)
    since_s = first_s - max(LONGEST_TRADE_S, settings.joining.max_holding_s)
    with read(settings.journals) as connection:
        ids = ids_since(connection, since_s)
    for path in settings.backfills:
        with closing(open_backfill(path)) as connection, named(path):
            ids |= ids_since(connection, since_s)
    return Reach(since_s, ids)


def _versions(settings: Settings, now_s: float) -> Iterator[str]:
    try:
        pointer = read_pointer(settings.models)
    except ModelRejected:
        pointer = None  # as the monitor finds too, and says
    if pointer is not None:
        yield pointer.version
    for answer in answers_since(settings, pointer, now_s):
        if answer.version is not None:
            yield answer.version
