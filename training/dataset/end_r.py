"""What R the end of a truth log made, by the first of these that tells: R, exit, pips, the word.

In units of the signal's own risk. The rule: what a line leaves open stays unknown, for wins and for
losses alike.
"""

from __future__ import annotations

from typing import NamedTuple

from service.scoring import MAX_TERM_R
from training.dataset.pips import in_r
from training.truth_log import Outcome, Signal, sign_differs, words
from training.truth_log.plausible import filled_at, levels, levels_moved, moved_end

# So far from the fill lies a stop at break-even: costs, and what makes up a spread.
_ABOUT_R = 0.16


class Made(NamedTuple):
    """R, None where it is not known; the rest as in `Label`."""

    r: float | None
    nominal: bool = False
    at_level: bool = False
    pips: float | None = None


def made_of(outcome: Outcome) -> Made:
    """What the end of a usable line made."""
    signal, pips = outcome.signal, outcome.pips or None
    open_ended = words.is_open_ended(outcome.word)
    moved = levels_moved(signal, outcome)
    elsewhere = open_ended or moved
    if outcome.realised_r is not None:
        return Made(outcome.realised_r, at_level=not elsewhere)
    if outcome.exit is not None:
        r = _way(outcome, filled_at(signal, outcome), outcome.exit)
        # Known risk and no R: it won by an exit that lost, or the reverse.
        belied = r is None and None not in (signal.entry, signal.stop)
        alone = pips if elsewhere and r is None else None
        return Made(r, at_level=not elsewhere and not belied, pips=alone)
    if elsewhere and pips and signal.symbol is not None:
        r = in_r(pips, signal.symbol, signal.entry, signal.stop)
        if r is not None:
            return Made(r)
    if open_ended:
        return Made(None, pips=pips)
    if moved and _may_be_even(outcome):
        if not outcome.win:
            return Made(0.0)
        if outcome.word != "WIN_TP":
            return Made(None)
    return _by_word(outcome, moved, pips)


def _by_word(outcome: Outcome, moved: bool, pips: float | None) -> Made:
    """A word alone says that its level was reached, be it one that was moved."""
    signal = outcome.signal
    at_own = not moved_end(signal, outcome, outcome.win)
    r = None
    if signal.target is not None:  # else as little of a loss: losses alone would look like ruin
        own, last = levels(signal, outcome, outcome.win)
        began = signal.entry if at_own else filled_at(signal, outcome)
        r = _way(outcome, began, own if at_own else last)
    # A fill that is named has the spread in it.
    nominal = at_own or outcome.entry in (None, signal.entry)
    return Made(r, nominal, at_own, pips if moved and r is None else None)


def _may_be_even(outcome: Outcome) -> bool:
    """Whether pips of 0 may be true: its stop was moved to the fill, or a little into profit.

    Else they are what a writer puts where it has none. A win's may be counted from the signal's
    entry beside a fill that is named; what a loss made is the way from the fill all the same.
    """
    signal = outcome.signal
    began = (filled_at(signal, outcome), signal.entry if outcome.win else None)
    ways = [_r_between(signal, price, outcome.stop) for price in began]
    # The broker's grid may put it a little short of them.
    return outcome.pips == 0.0 and any(r is not None and -0.02 < r < _ABOUT_R for r in ways)


def _way(outcome: Outcome, began: float | None, leave: float | None) -> float | None:
    """R from `began` to `leave`; None where it cannot be told, or its sign is not this end's."""
    made = _r_between(outcome.signal, began, leave)
    if made is None or sign_differs(outcome.win, made, None):
        return None
    return min(MAX_TERM_R, max(-MAX_TERM_R, made))


def _r_between(signal: Signal, began: float | None, leave: float | None) -> float | None:
    """The way between two prices by the signal's risk; None where that cannot be told."""
    entry, stop = signal.entry, signal.stop
    if leave is None or began is None or entry is None or stop is None or entry == stop:
        return None
    # The stop lies on the losing side, so its sign is the direction's.
    return (leave - began) / (entry - stop)
