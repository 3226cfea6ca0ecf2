"""Backfill without any of its devices: one engine, every event, each signal at its moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from protocol.ea_feed import Candle, Tick
from service.config.settings import Config
from service.engine import Engine
from service.journal.records import OutcomeRow, ScoreRow
from service.paper.result import outcome_row
from training.backfill.rerun import Backfilled
from training.backfill.signals import Asked
from training.backfill.stream import Event

SEEN = ("features", "missing", "volume_source", "bid", "ask", "event_time", "cost_r", "status")


def serial(
    events: Sequence[Event],
    asked: Sequence[Asked],
    config: Config,
    *,
    cut: Callable[[float], float] = float,
) -> dict[str, Backfilled]:
    """What one run over everything gives, by signal id; only what its symbol had ticks for.

    `cut`: the time up to which a signal sees stamps (excluded).
    """
    engine = Engine(config, "serial")
    engine.intake.judges_spikes = False  # `events` has
    endpoint = engine.endpoint("feed", volume_is_deal=config.feed.volume == "deal")
    waiting = sorted(asked, key=lambda a: (a.time_s, a.request.signal_id))
    rows: list[ScoreRow] = []

    def ask_before(stamp_s: float) -> None:
        while waiting and cut(waiting[0].time_s) <= stamp_s:
            one = waiting.pop(0)
            if one.request.symbol in engine.intake.feeds:
                row = engine.on_request(one.request, b"", one.time_s).row
                assert isinstance(row, ScoreRow)
                rows.append(row)

    newest_s = 0.0
    for stamp_s, symbol, values, source in events:
        ask_before(stamp_s)
        newest_s = max(newest_s, stamp_s)
        if len(values) == 3:
            tick = Tick(symbol, *values, stamp_s, f"{symbol} {source}")
            engine.intake.on_tick(endpoint, tick, stamp_s)
        else:
            engine.intake.on_candle(endpoint, Candle(symbol, "M1", *values), stamp_s)
    ask_before(newest_s + 60.0)
    engine.advance(newest_s)
    ends = {end.position.score_id: outcome_row(end, 0.0) for end in engine.paper.ended.values()}
    return {str(row.signal_id): Backfilled(row, ends.get(row.score_id)) for row in rows}


def differences(
    ours: dict[str, Backfilled], theirs: dict[str, Backfilled]
) -> list[tuple[str, list[str]]]:
    """Signals that differ in any bit that training reads, and in what."""
    found = []
    for signal_id in sorted(ours.keys() | theirs.keys()):
        mine, other = ours.get(signal_id), theirs.get(signal_id)
        if mine is None or other is None:
            found.append((signal_id, ["only one has it"]))
            continue
        unlike = [name for name in SEEN if getattr(mine.score, name) != getattr(other.score, name)]
        if _end(mine.outcome) != _end(other.outcome):
            unlike.append(f"{mine.outcome} {other.outcome}")
        if unlike:
            found.append((signal_id, unlike))
    return found


def _end(outcome: OutcomeRow | None) -> OutcomeRow | None:
    if outcome is None:
        return None
    return msgspec.structs.replace(outcome, score_id="", received_at=0.0)
