"""What a paper position's end is worth: its word, R, extremes, and its row in the journal.

R is in multiples of |entry - stop| as sent. A target fills at its level and never better, a
stop at the quote, so a gap costs what it costs. Void is no outcome.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from service.journal.records import OutcomeRow, PaperRow
from service.paper.book import End
from service.scoring import MAX_TERM_R

Word = Literal["WIN_TP", "CLOSED_TP", "LOSS_SL", "EXPIRED", "VOID"]
"""CLOSED_TP: the target was touched and yet nothing gained, the spread being wider."""


class Ended(NamedTuple):
    """A position's end at event time `at_s`; without a fill `price` and the results are None.

    `win` is None for what neither won nor lost. Extremes are of the leaving side, at least 0.
    """

    number: int
    position: PaperRow
    word: Word
    at_s: float
    price: float | None = None
    win: bool | None = None
    realised_r: float | None = None
    favorable_r: float | None = None
    adverse_r: float | None = None


def judge(number: int, position: PaperRow, end: End, at_s: float, price: float) -> Ended:
    """What an end is worth: R = direction * (price - fill) / risk, cut to +-1000 as terms are."""
    fill = position.opened_price
    if end in ("gap", "missed", "reset") or fill is None:
        return Ended(number, position, "VOID", at_s)
    assert position.best_price is not None
    assert position.worst_price is not None
    sign = position.direction
    best = max(sign * position.best_price, sign * price)
    worst = min(sign * position.worst_price, sign * price)
    if end == "target":
        best = sign * price  # a target fills at its level: nothing beyond was to be had
    realised_r = _in_r(sign * price - sign * fill, position.risk)
    win = None if realised_r == 0.0 else realised_r > 0.0
    word: Word = "EXPIRED"
    if end == "stop":
        word, win = "LOSS_SL", False
    elif end == "target":
        word = "WIN_TP" if win else "CLOSED_TP"
    favorable_r = max(0.0, _in_r(best - sign * fill, position.risk))
    adverse_r = max(0.0, _in_r(sign * fill - worst, position.risk))
    return Ended(number, position, word, at_s, price, win, realised_r, favorable_r, adverse_r)


def _in_r(gain: float, risk: float) -> float:
    return min(MAX_TERM_R, max(-MAX_TERM_R, gain / risk))


def outcome_row(ended: Ended, received_at: float) -> OutcomeRow:
    """The end as the journal keeps it: by score, since it is of that score alone."""
    position = ended.position
    opened = position.opened_at if ended.price is not None else None
    return OutcomeRow(
        score_id=position.score_id,
        signal_id=None,
        source="paper",
        outcome=ended.word,
        win=ended.win,
        realised_r=ended.realised_r,
        final_pips=None,
        max_favorable_pips=None,
        max_adverse_pips=None,
        runtime_s=None if opened is None else ended.at_s - opened,
        closed_at=ended.at_s,
        received_at=received_at,
        max_favorable_r=ended.favorable_r,
        max_adverse_r=ended.adverse_r,
        opened_at=position.opened_at,
        opened_price=position.opened_price,
        closed_price=ended.price,
    )
