"""Whether a reported outcome can be true of its signal. What cannot be is refused, never mended.

The rules are those by which real logs were found to be false: labels written together
with their signal, stops a thousandth of a pip from the entry that "won" 166 pips, trades
closed on the first tick seen, and trackers that began to watch hours after the signal,
when target or stop could long have been touched.
"""

from __future__ import annotations

import math
from datetime import UTC, tzinfo

import msgspec

from service.scoring import MAX_TERM_R
from training.truth_log import words
from training.truth_log.lines import Outcome, Reason, Signal

# Nearer than 0.1 basis points to the entry, no level can be told from a tick's noise.
_MIN_DISTANCE = 1e-5
# A level counts as reached from 90 % of the way on: writers round prices to the point.
_REACHED = 0.9
# An exit further than the level's own distance beyond the level was not caused by it, unless the
# line's own R says the same: prices do run over levels, and mostly over stops.
_BEYOND = 2.0
# Real logs agree to 1.1 s; a tracker may begin to watch a minute late and round to minutes.
# The least that two time zones differ by is twice as much.
_RUNTIME_OFF_S = 900.0
# Further from its end an id's ten digits are a ticket's. Not sooner: a tracker that closes what lay
# waiting for months is found by them to have watched late.
_TICKET_S = 365 * 86_400.0
MIN_DELAY_S = 5.0
"""What comes sooner after its signal is a guess, no outcome."""
STAMP_AHEAD_S = 900.0
"""By how much a stamp may lie ahead of the machine's clock: feeds are known to a quarter hour."""


class ReadingRules(msgspec.Struct, frozen=True, kw_only=True):
    """How lines are read: the zone of naive stamps, and how late a tracker may begin to watch.

    Nothing can have ended after `now_s` (UTC seconds), the moment of reading.
    """

    zone: tzinfo = UTC
    max_watch_delay_s: float = 60.0
    now_s: float = math.inf


def doubt(signal: Signal, outcome: Outcome, rules: ReadingRules) -> Reason | None:
    """The first reason why `outcome` cannot be the end of `signal`; None where it can be."""
    most = _BEYOND
    if outcome.realised_r is not None:
        if _is_told_alike(signal, outcome):
            most = math.inf
        elif outcome.far:
            return Reason.CONTRADICTS_LEVELS
    return _doubt_time(signal, outcome, rules) or _doubt_levels(signal, outcome, most)


def is_only_far(outcome: Outcome) -> bool:
    """Whether an end that contradicts its own line's levels does so by having run too far alone.

    Beside the signal's own line it may be true: the levels of this one may have moved.
    """
    return _doubt_levels(outcome.signal, outcome, math.inf) is None


def beside_its_signal(outcome: Outcome) -> tuple[Outcome, Reason | None]:
    """What an end on impossible levels may be beside its signal's own line, or why it is not.

    Its stop may have been moved to the entry or into profit since. Wins and losses are judged
    alike: if either were refused, the share of wins of those whose stop was moved would be made up.
    """
    signal = msgspec.structs.replace(outcome.signal, stop=None)
    moved = msgspec.structs.replace(outcome, beyond=True)
    reason = _doubt_levels(signal, moved, math.inf)
    if outcome.stop is None or reason is Reason.IMPOSSIBLE_LEVELS:
        return outcome, Reason.IMPOSSIBLE_LEVELS
    if reason is None:
        far = _doubt_levels(signal, moved, _BEYOND) is not None
        return msgspec.structs.replace(moved, far=far), None
    won = _doubt_levels(signal, msgspec.structs.replace(moved, win=True), math.inf) is None
    return outcome, Reason.GAINED_AT_STOP if won else Reason.IMPOSSIBLE_LEVELS


def levels_moved(signal: Signal, outcome: Outcome) -> bool:
    """Whether the end's line names another stop or target than its signal had.

    Then an exit may lie on the way to a level.
    """
    if outcome.stop is signal.stop and outcome.target is signal.target:
        return outcome.beyond  # as of most lines, which tell of both at once
    return outcome.beyond or moved_end(signal, outcome, True) or moved_end(signal, outcome, False)


def moved_end(signal: Signal, outcome: Outcome, win: bool) -> bool:
    """Whether the level of a win, or that of a loss, is another one in the end's line.

    It is not where its price is the same, or its distance: many set their levels by the fill.
    """
    own, last = levels(signal, outcome, win)
    return not _is_same(_way(signal, signal.entry, own, last)) and not _is_same(
        _way(signal, filled_at(signal, outcome), own, last)
    )


def levels(signal: Signal, outcome: Outcome, win: bool) -> tuple[float | None, float | None]:
    """(the signal's own, the end's) target of a win, stop of a loss."""
    return (signal.target, outcome.target) if win else (signal.stop, outcome.stop)


def filled_at(signal: Signal, outcome: Outcome) -> float | None:
    """The price at which the trade began: the entry that its end's line names, else the signal's.

    The two are of one trade (`disagree`), and what lies between them was slippage.
    """
    return signal.entry if outcome.entry is None else outcome.entry


def _is_same(way: float) -> bool:
    return _REACHED <= way <= 1 / _REACHED


def _way(signal: Signal, began: float | None, own: float | None, price: float | None) -> float:
    """How far it is from `began` to a price, by the way from the signal's entry to its own level.

    1 where that cannot be told.
    """
    entry = signal.entry
    if entry is None or began is None or own is None or price is None or own == entry:
        return 1.0
    return (price - began) / (own - entry)


def born_s(signal: Signal, ended_s: float | None) -> float | None:
    """When a signal came, by its stamp, else by its id, whose digits may be no time; UTC seconds.

    `ended_s` is the stamp of its end, or of its watch, by which a ticket's number is told from a
    time.
    """
    if signal.time_s is not None:
        return signal.time_s
    told_s = words.epoch_of(signal.signal_id)
    if told_s is None or ended_s is None or abs(ended_s - told_s) <= _TICKET_S:
        return told_s
    return None


def in_future(
    began_s: float | None, ended_s: float | None, runtime_s: float | None, now_s: float
) -> bool:
    """Whether an end, given or by its runtime, is yet to come at `now_s`; all UTC seconds."""
    if ended_s is None and began_s is not None and runtime_s is not None:
        ended_s = began_s + runtime_s
    return ended_s is not None and ended_s > now_s + STAMP_AHEAD_S


def too_soon(elapsed_s: float) -> Reason | None:
    """Why an outcome so long after its signal is none; None where it may be one."""
    if elapsed_s < -MIN_DELAY_S:
        return Reason.BEFORE_SIGNAL
    return Reason.AT_SIGNAL_TIME if elapsed_s < MIN_DELAY_S else None


def _doubt_time(signal: Signal, outcome: Outcome, rules: ReadingRules) -> Reason | None:
    runtime_s = outcome.runtime_s
    if runtime_s is not None and runtime_s < MIN_DELAY_S:
        return Reason.AT_SIGNAL_TIME
    stamp_s = outcome.completed_s if outcome.completed_s is not None else outcome.watched_from_s
    # Beside no stamp at all, nothing tells the digits of an id from a ticket's.
    began_s = signal.time_s if stamp_s is None else born_s(signal, stamp_s)
    if in_future(began_s, outcome.completed_s, runtime_s, rules.now_s):
        return Reason.IN_FUTURE
    if began_s is None:
        return None
    if outcome.completed_s is not None:
        elapsed_s = outcome.completed_s - began_s
        if early := too_soon(elapsed_s):
            return early
        if runtime_s is not None and abs(elapsed_s - runtime_s) > _RUNTIME_OFF_S:
            return Reason.CONTRADICTS_RUNTIME
    watched_s = outcome.watched_from_s
    if watched_s is not None and watched_s - began_s > rules.max_watch_delay_s:
        return Reason.WATCHED_LATE
    return None


def _doubt_levels(signal: Signal, outcome: Outcome, most: float) -> Reason | None:
    """`most` is how often as far as its level, from the entry, it may have ended."""
    entry = signal.entry
    differs = sign_differs(outcome.win, outcome.realised_r, outcome.pips)
    if _made_too_much(signal, outcome):
        return Reason.IMPOSSIBLE_LEVELS
    if entry is None:
        return Reason.CONTRADICTS_LEVELS if differs else None
    side = signal.direction
    if side == 0 and signal.target is not None:
        side = 1 if signal.target > entry else -1
    for level, expected in ((signal.target, side), (signal.stop, -side)):
        if level is None:
            continue
        if abs(level - entry) <= _MIN_DISTANCE * entry or (level - entry) * expected < 0:
            return Reason.IMPOSSIBLE_LEVELS
    if differs or _exit_differs(signal, outcome, side, most):
        return Reason.CONTRADICTS_LEVELS
    return None


def _made_too_much(signal: Signal, outcome: Outcome) -> bool:
    """Whether an R, as told or by the exit price, is beyond all trades: one would drown all means.

    Dollars that are called R, a price of another symbol.
    """
    if outcome.realised_r is not None:
        return abs(outcome.realised_r) > MAX_TERM_R
    if outcome.exit is None or signal.entry is None or signal.stop is None:
        return False
    return abs(outcome.exit - signal.entry) > MAX_TERM_R * abs(signal.entry - signal.stop)


def sign_differs(win: bool, realised_r: float | None, pips: float | None) -> bool:
    """Whether a win is said to have cost something, or a loss to have made it."""
    return bool(pips and (pips > 0) != win) or bool(realised_r and (realised_r > 0) != win)


def _is_told_alike(signal: Signal, outcome: Outcome) -> bool:
    """Whether the R that is told is what its exit price says."""
    if outcome.realised_r is None or outcome.exit is None or signal.stop is None:
        return False
    made = -_way(signal, filled_at(signal, outcome), signal.stop, outcome.exit)
    return made != 0.0 and _is_same(outcome.realised_r / made)


def _exit_differs(signal: Signal, outcome: Outcome, side: int, most: float) -> bool:
    """Whether the exit price lies where this result cannot have ended."""
    began = filled_at(signal, outcome)
    if outcome.exit is None or began is None or side == 0:
        return False
    gain = (outcome.exit - began) * side
    if gain != 0 and (gain > 0) != outcome.win:
        return True
    level, last = levels(signal, outcome, outcome.win)
    if level is None or words.is_open_ended(outcome.word):  # no level is said to have ended it
        return False
    if _REACHED <= _way(signal, signal.entry, level, outcome.exit) <= most:
        return False
    way = _way(signal, began, level, outcome.exit)
    if not levels_moved(signal, outcome):
        return not _REACHED <= way <= most
    return way > most * max(1.0, _way(signal, began, level, last))
