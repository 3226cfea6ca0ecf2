"""A piece of a market through the service's engine: what each of its signals would have got."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from math import inf
from operator import itemgetter
from typing import NamedTuple

import msgspec
import numpy as np

from protocol.ea_feed import Candle, Tick
from service.config.settings import Config, FeedSection, LimitsSection, PaperSection
from service.engine import Engine
from service.journal.records import OutcomeRow, ScoreRow
from service.paper.result import outcome_row
from training.backfill.columns import CANDLE_COLUMNS, TICK_COLUMNS, thinned, unpack, within
from training.backfill.pieces import Piece
from training.backfill.signals import Asked

ANY_NUMBER = 10_000_000


class Backfilled(NamedTuple):
    """A signal's row as the journal would have kept it, and its end on paper; None: open."""

    score: ScoreRow
    outcome: OutcomeRow | None


def settings_of(paper: PaperSection, *, deals: bool) -> Config:
    """The engine's configuration: nothing is refused for being one too many."""
    return Config(
        feed=FeedSection(volume="deal" if deals else "last_deal", clock_offset=0.0),
        paper=msgspec.structs.replace(paper, enabled=True, max_positions=ANY_NUMBER),
        limits=LimitsSection(symbols=ANY_NUMBER),
    )


def rerun(piece: Piece, config: Config) -> list[Backfilled]:
    """Feed the piece, ask its signals in between, and follow them to `until_s`.

    Raises what `with_outcomes` raises.
    """
    engine = Engine(config, "backfill")
    engine.intake.judges_spikes = False  # `stream` has, before ticks were thinned
    endpoint = engine.endpoint("market", volume_is_deal=config.feed.volume == "deal")
    rows: list[ScoreRow] = []

    def act(rare: _Rare) -> None:
        if isinstance(rare.what, Asked):
            rows.append(ask(engine, rare.what))
        elif rare.what is not None:
            engine.intake.on_candle(endpoint, rare.what, rare.stamp_s)

    waiting = iter([*sorted(_rare(piece), key=itemgetter(0)), _Rare(inf)])
    rare = next(waiting)
    on_tick = engine.intake.on_tick
    for number, stamp_s, (symbol, source), bid, ask_price, volume in _ticks(piece):
        while rare.number <= number:
            act(rare)
            rare = next(waiting)
        on_tick(endpoint, Tick(symbol, bid, ask_price, volume, stamp_s, source), stamp_s)
    while rare.number < inf:
        act(rare)
        rare = next(waiting)
    engine.advance(piece.until_s)
    return with_outcomes(engine, rows)


def ask(engine: Engine, asked: Asked) -> ScoreRow:
    """Score a signal as of its time."""
    body = msgspec.msgpack.encode(asked.request)
    row = engine.on_request(asked.request, body, asked.time_s).row
    assert isinstance(row, ScoreRow)
    return row


def with_outcomes(engine: Engine, rows: list[ScoreRow]) -> list[Backfilled]:
    """The rows with what the engine's paper made of them.

    Raises RuntimeError for a tick or candle that the engine could not apply: live that costs the
    symbol's history and is logged, here nobody would know which vectors it cost.
    """
    for fault in engine.intake.faults:
        raise RuntimeError(f"a tick or candle of {fault.symbol} was not applied: {fault.error}")
    ends = {end.position.score_id: end for end in engine.paper.ended.values()}
    found = [(row, ends.get(row.score_id)) for row in rows]
    return [Backfilled(row, end and outcome_row(end, end.at_s)) for row, end in found]


class _Rare(NamedTuple):
    """What happens besides ticks: a candle, or a signal before the event of its number."""

    number: float
    stamp_s: float = 0.0
    what: Candle | Asked | None = None


def _rare(piece: Piece) -> Iterator[_Rare]:
    for placed in piece.signals:
        yield _Rare(placed.number, placed.asked.time_s, placed.asked)
    for part in piece.market:
        rows = unpack([part.candles], CANDLE_COLUMNS)
        for number, stamp_s, *values in rows[within(rows[:, 1], part.spans)].tolist():
            yield _Rare(number, stamp_s, Candle(part.symbol, "M1", *values))


def _ticks(piece: Piece) -> Iterator[tuple[float, float, tuple[str, str], float, float, float]]:
    """Number, time, (symbol, source), bid, ask and volume of all ticks, in the stream's order."""
    parts, names = [unpack([], TICK_COLUMNS)], [("", "")]  # of candles alone there are no others
    for part in piece.market:
        for source, blocks in groupby(zip(part.sources, part.ticks, strict=True), itemgetter(0)):
            rows = unpack((packed for _, packed in blocks), TICK_COLUMNS)
            parts.append(thinned(rows[within(rows[:, 1], part.spans)], part.full))
            # A terminal for each symbol: `stream` has judged which of them had let go.
            names.append((part.symbol, f"{part.symbol} {source}"))
    together = np.concatenate(parts)
    owner = np.repeat(np.arange(len(parts)), [len(rows) for rows in parts])
    order = np.argsort(together[:, 0])
    numbers, times, *prices = together[order].T.tolist()
    return zip(numbers, times, [names[at] for at in owner[order].tolist()], *prices, strict=True)
