"""Recorded runs of the service: the signals are asked of the very engine that was recorded.

A run is one piece, since what its engine knew (the clock offset that it learnt, bars from
before a restart, sentiment) follows from nothing but the run's beginning. A signal comes
before the first record that was received at its time or later, unless it was scored in this
very run by then: that is its score. Of a time that comes twice, since the clock was set back,
the first counts: the engine had seen less by then, and nothing of the future.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from service.config.settings import Config, PaperSection
from service.journal.records import ScoreRow
from service.recording import kinds
from service.recording.rerun import begin
from service.recording.segments import RecordingError, by_run, read_segments
from training.backfill.rerun import ANY_NUMBER, Backfilled, ask, with_outcomes
from training.backfill.signals import Asked

_RECEIVED_AT = {kinds.FRAME: 2, kinds.ADVANCE: 1, kinds.REQUEST: 2}
"""Where a record of this kind has its receive time."""

_PASSED_OVER = (kinds.MODEL, kinds.REMEMBERED)
"""A model answers nothing here, and its files may be gone; answers of earlier runs have no row."""


class Run(NamedTuple):
    """A run's segments in order, when it began (UTC s), and the signals that fall into it."""

    segments: tuple[Path, ...]
    began_s: float
    signals: tuple[Asked, ...] = ()


def runs_of(files: Iterable[Path]) -> list[Run]:
    """The runs that the files belong to (`RUN-NNNNNN.rec.gz`), by time. Raises RecordingError."""
    runs = [Run(tuple(segments), _began_s(segments)) for segments in by_run(files)]
    return sorted(runs, key=lambda run: run.began_s)


def with_signals(runs: Sequence[Run], asked: Sequence[Asked]) -> tuple[list[Run], int]:
    """Each run with the signals up to the next run's beginning; how many came before all."""
    times = [one.time_s for one in asked]
    cuts = [bisect_left(times, run.began_s) for run in runs] + [len(asked)]
    filled = [
        run._replace(signals=tuple(asked[first:last]))
        for run, (first, last) in zip(runs, pairwise(cuts), strict=True)
    ]
    return [run for run in filled if run.signals], cuts[0]


def rerun_recorded(run: Run, paper: PaperSection) -> list[Backfilled]:
    """Replay a run and ask its signals; those after its end get no row.

    Raises RecordingError, and what `with_outcomes` raises.
    """
    records = read_segments(run.segments)
    rerun = begin(records, lambda config: _roomy(config, paper))
    engine = rerun.engine
    rows: dict[str | None, ScoreRow] = {}
    wanted = {one.request.signal_id for one in run.signals}
    waiting = iter(run.signals)
    asked = next(waiting, None)
    received_s = -inf
    for record in records:
        at = _RECEIVED_AT.get(record[0])
        if at is not None:
            received_s = max(received_s, record[at])
            while asked is not None and asked.time_s <= received_s:
                signal_id, symbol = asked.request.signal_id, asked.request.symbol
                heard = engine.intake.names.canonical(symbol) in engine.intake.feeds
                if heard and signal_id not in rows:
                    rows[signal_id] = ask(engine, asked)
                asked = next(waiting, None)
        row = None if record[0] in _PASSED_OVER else rerun.apply(record)
        if row is not None and row.signal_id in wanted:
            rows.setdefault(row.signal_id, row)
    return with_outcomes(engine, list(rows.values()))


def _roomy(config: Config, paper: PaperSection) -> Config:
    """The recorded configuration, with paper by today's rules and room for more of it."""
    return replace(config, paper=replace(paper, enabled=True, max_positions=ANY_NUMBER))


def _began_s(segments: Sequence[Path]) -> float:
    for record in read_segments(segments):
        at = _RECEIVED_AT.get(record[0])
        if at is not None:
            return float(record[at])
    raise RecordingError(f"{segments[0]}: nothing was recorded")
