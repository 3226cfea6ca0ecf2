"""How many symbols have history enough for the model, counted a few in each turn.

The rule: a look takes four symbols at most (13 us, measured), however many there are, so that
it never stalls the loop; the count is of the last full round.
"""

from __future__ import annotations

from collections import deque

from service.features.vector import compute_vector, is_warm
from service.feed.intake import Intake

SYMBOLS_A_LOOK = 4
_ANY_SCORE = 50.0
_ANY_CORRELATION = 50.0


class Warmth:
    """`warm` is the number of symbols whose own history suffices; 0 while they are `held`."""

    def __init__(self) -> None:
        self.warm = 0
        self.held = False
        self._round: deque[str] = deque()
        self._counted = 0

    def look(self, intake: Intake, now_s: float, *, held: bool = False) -> None:
        """Look at the next symbols; *now* (event time, s) must not go back.

        `held`: nobody knows where their history belongs, so that none counts.
        """
        self.held = held
        if held:
            self.warm = self._counted = 0
            self._round.clear()
            return
        # With another symbol beside it a correlation is only a matter of its own bars.
        correlation = _ANY_CORRELATION if len(intake.feeds) > 1 else None
        for _ in range(min(SYMBOLS_A_LOOK, len(self._round))):
            feed = intake.feeds.get(self._round.popleft())
            if feed is not None:
                vector = compute_vector(feed.state, int(now_s), 0, _ANY_SCORE, correlation)
                self._counted += is_warm(vector)
        if not self._round:
            self.warm, self._counted = self._counted, 0
            self._round.extend(intake.feeds)
