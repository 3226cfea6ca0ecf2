"""Paper positions to and from the journal: batched, in housekeeping, never on a tick's path.

Ends, new positions and fills go within a turn (a tenth of a second), how far the others
have come every ten seconds, bounded a turn. A kill loses what happened since: such a
position is taken up where it was last written, and the time from then to its next tick is a
gap in its path like any other: short enough it goes on, else it is void. An end and the
removal of its position are one transaction, so there is no end twice, and none is lost
without its position being there to end again.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

import structlog
from msgspec.structs import replace

from service.engine import Engine
from service.journal.read_back import load_paper, load_signals, load_unfollowed
from service.journal.writer import Journal
from service.paper.positions import KNOWN_SIGNALS
from service.paper.result import outcome_row

log = structlog.get_logger("scorer")

WRITES_PER_TURN = 256
PROGRESS_PER_TURN = 64
PROGRESS_S = 10.0


class PaperKeeping:
    """Writes what changed. A journal that fails keeps it waiting, up to the limits of `Paper`."""

    def __init__(self, engine: Engine, journal: Journal) -> None:
        self._engine = engine
        self._journal = journal
        self._round: deque[int] = deque()
        self._round_due_s = 0.0

    def restore(self, utc_s: float) -> None:
        """Take up what was open, and scores that a kill kept from becoming positions."""
        rules = self._engine.config.paper
        if not rules.enabled:
            return
        rows = load_paper(self._journal)
        lost = load_unfollowed(
            self._journal, utc_s - rules.max_gap_s, rules.max_holding_s, rules.max_positions
        )
        intake = self._engine.intake
        # Scores have the caller's names; of positions one may have been mapped since.
        mapped = [*lost, *(row for row in rows if not intake.names.holds(row.symbol))]
        rows = [row for row in rows if intake.names.holds(row.symbol)]
        rows += [replace(row, symbol=intake.names.canonical(row.symbol)) for row in mapped]
        # Where it is read again, or late: those that were taken up or followed since, also where
        # their end could not be written yet.
        paper = self._engine.paper
        known = {row.score_id for number in paper.numbers() if (row := paper.row(number))}
        known |= {end.position.score_id for end in paper.ended.values()}
        rows = [row for row in rows if row.score_id not in known]
        self._engine.resume(rows, load_signals(self._journal, KNOWN_SIGNALS))
        if rows:
            log.info("paper positions restored", open=len(rows), of_scores=len(lost))

    def turn(self, now_s: float, utc_s: float) -> None:
        """Write a bounded part of what waits. `now_s` is monotonic."""
        paper = self._engine.paper
        if now_s >= self._round_due_s and not self._round:
            self._round_due_s = now_s + PROGRESS_S
            self._round.extend(paper.numbers())
        due = [self._round.popleft() for _ in range(min(PROGRESS_PER_TURN, len(self._round)))]
        self._write(utc_s, due, WRITES_PER_TURN)

    def save_all(self, utc_s: float) -> None:
        """Write everything, at the end."""
        paper = self._engine.paper
        self._write(utc_s, paper.numbers(), len(paper.ended) + len(paper))

    def _write(self, utc_s: float, due: list[int], limit: int) -> None:
        paper = self._engine.paper
        ended = list(islice(paper.ended.values(), limit))
        changed = list(islice(paper.changed, limit))
        numbers = dict.fromkeys([*changed, *due])
        rows = [row for number in numbers if (row := paper.row(number)) is not None]
        if not ended and not rows:
            return
        outcomes = [outcome_row(end, utc_s) for end in ended]
        if self._journal.save_paper(rows, outcomes):
            paper.written([end.number for end in ended], changed)
