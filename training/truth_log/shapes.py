"""One reader for each shape that writers have left behind: line -> Signal, Outcome or Refused.

A reader uses what its own line says and nothing else; what lines say together is for the
ledger. The shape is told by the fields that only it has.
"""

from __future__ import annotations

from collections.abc import Callable
from sys import intern

import msgspec

from training.truth_log import words
from training.truth_log.lines import Line, Outcome, Reason, Refused, Signal, Told, undecided
from training.truth_log.plausible import (
    ReadingRules,
    beside_its_signal,
    born_s,
    doubt,
    is_only_far,
    too_soon,
)

Read = Signal | Outcome | Refused
Reader = Callable[[Line, str, ReadingRules], Read]


def shape_of(line: Line) -> str:
    """The name of the shape, a key of READERS."""
    if line.features is not None:
        return "ml_training_data"
    if line.outcome_source is not None:
        return "optimized"
    if line.ticks_processed is not None or line.hit_level is not None:
        return "tracker"
    if line.win is not None or line.pair is not None or line.quality is not None:
        return "flat"
    if line.action or line.status or line.exit_type or line.generated_at is not None:
        return "lifecycle"
    return "documented" if line.completed is not None else "unknown"


def read(line: Line, rules: ReadingRules) -> tuple[str, Read]:
    """The line's shape and what it says. Never raises."""
    shape = shape_of(line)
    if line.signal_id is None or line.signal_id == "":
        return shape, Refused(Reason.NO_SIGNAL_ID)
    signal_id = str(line.signal_id)
    if words.is_test(signal_id):
        return shape, Refused(Reason.TEST)
    try:
        return shape, READERS[shape](line, signal_id, rules)
    except ValueError:  # of `words.time_of`: as if it were absent would switch its checks off
        return shape, Refused(Reason.NO_TIME)


def flat(line: Line, signal_id: str, rules: ReadingRules) -> Read:
    """One line a signal with its end; `lifespan` in seconds, `timestamp` when it was written."""
    written_s = words.time_of(line.timestamp, rules.zone)
    completed_s = words.time_of(line.completed_at, rules.zone)
    signal = _signal(line, signal_id, rules)
    runtime_s = line.lifespan if line.lifespan is not None else line.runtime_seconds
    is_end = (line.win is not None or line.outcome is not None) and line.completed is not False
    ended_s = completed_s if completed_s is not None else written_s
    came_s = born_s(signal, ended_s)
    if is_end and completed_s is None and written_s is not None and came_s is None:
        # The one stamp there is cannot tell both when it came and when it ended.
        if runtime_s is None:
            return Refused(Reason.NO_RUNTIME, signal)
        came_s = written_s - runtime_s
    if ended_s is not None:  # else a later line's end tells whether the id's digits are a time
        signal = msgspec.structs.replace(signal, time_s=came_s if came_s is not None else written_s)
    if not is_end:
        return signal
    if completed_s is None:
        completed_s = written_s
        if runtime_s is None and came_s is not None and written_s is not None:
            runtime_s = written_s - came_s
    said = _outcome(line, signal, rules, completed_s=completed_s, runtime_s=runtime_s)
    if came_s is not None or written_s is None or completed_s is None:
        return said
    if isinstance(said, Refused) and too_soon(completed_s - written_s):
        # Written with its end: of when the signal came that stamp tells nothing.
        return Refused(said.reason, msgspec.structs.replace(signal, time_s=None))
    return said


def lifecycle(line: Line, signal_id: str, rules: ReadingRules) -> Read:
    """A signal line, notes on it, and its completion, all under one id."""
    signal = _signal(line, signal_id, rules)
    if line.completed or (line.outcome is not None and line.completed is None):
        return _completion(line, signal, rules)
    if line.action is not None:
        return Refused(Reason.NOTE, signal)
    return signal


def tracker(line: Line, signal_id: str, rules: ReadingRules) -> Read:
    """The tracker's outcome lines: levels, exit, number of ticks, and since when it watched."""
    signal = _signal(line, signal_id, rules)
    if line.outcome is None:
        return Refused(Reason.NOTE, signal)
    if line.ticks_processed is not None and line.ticks_processed <= 1:
        return Refused(Reason.FIRST_TICK, signal)
    return _completion(line, signal, rules)


def optimized(line: Line, signal_id: str, rules: ReadingRules) -> Read:
    """Lines that name the source of their outcome; only the terminal's own is one."""
    signal = _signal(line, signal_id, rules)
    if not words.is_outcome_source(line.outcome_source):
        return Refused(Reason.SOURCE, signal)
    return _completion(line, signal, rules)


def ml_training_data(line: Line, signal_id: str, rules: ReadingRules) -> Read:
    """The in-process scorer's training file: outcome and base score count, features do not.

    Its writers call a win what is WIN to the letter, so that a WIN_TP or a time-out is false
    there: where the type of the outcome is a known word, the two must agree.
    """
    told = line.features or Told()
    runtime_s = None if line.runtime_minutes is None else 60 * line.runtime_minutes
    completed_s = words.time_of(line.created_at, rules.zone)
    signal = Signal(signal_id, told.symbol, base_score=told.base_score)
    came_s = born_s(signal, completed_s)
    if came_s is None and completed_s is not None and runtime_s is not None:
        came_s = completed_s - runtime_s
    if completed_s is not None:  # as in `flat`
        signal = msgspec.structs.replace(signal, time_s=came_s)
    if line.outcome is None:
        return Refused(Reason.NOTE, signal)
    if line.outcome_type is not None and words.is_known(line.outcome_type):
        line = msgspec.structs.replace(line, outcome=line.outcome_type, win=line.outcome)
    return _outcome(line, signal, rules, completed_s=completed_s, runtime_s=runtime_s)


def unknown(line: Line, signal_id: str, rules: ReadingRules) -> Read:
    """A line with an id and nothing that tells its shape: a signal if it has a direction."""
    signal = _signal(line, signal_id, rules)
    if line.outcome is not None:
        return _completion(line, signal, rules)
    return signal if signal.direction else Refused(Reason.NOTE, signal)


READERS: dict[str, Reader] = {
    "flat": flat,
    "lifecycle": lifecycle,
    "tracker": tracker,
    "documented": lifecycle,
    "optimized": optimized,
    "ml_training_data": ml_training_data,
    "unknown": unknown,
}


def _signal(line: Line, signal_id: str, rules: ReadingRules) -> Signal:
    symbol = line.symbol or line.pair
    return Signal(
        signal_id,
        intern(symbol) if symbol else None,
        words.direction(line.direction),
        words.time_of(line.generated_at, rules.zone),
        words.price(line.entry_price),
        words.price(line.sl, line.stop_loss),
        words.price(line.tp, line.take_profit),
        line.confidence,
    )


def _completion(line: Line, signal: Signal, rules: ReadingRules) -> Read:
    if line.outcome is None and line.win is None:
        return Refused(Reason.NOTE, signal)
    return _outcome(
        line,
        signal,
        rules,
        completed_s=words.time_of(line.completed_at, rules.zone),
        runtime_s=line.runtime_seconds,
    )


def _outcome(
    line: Line,
    signal: Signal,
    rules: ReadingRules,
    *,
    completed_s: float | None,
    runtime_s: float | None,
) -> Outcome | Refused:
    word = line.outcome if line.outcome is not None else line.win
    assert word is not None
    pips = line.pips_result
    if pips is None:
        pips = line.pips if line.pips is not None else line.final_pips
    try:
        win = words.result(word, line.realised_r, pips)
        again = win if line.win is None else words.result(line.win, line.realised_r, pips)
    except KeyError:
        return Refused(Reason.UNKNOWN_OUTCOME, signal)
    if win is None:
        return Refused(undecided(line.realised_r), signal)
    if again is not win:
        return Refused(Reason.CONTRADICTING, signal)
    outcome = Outcome(
        signal,
        win,
        intern(word.strip().upper()) if isinstance(word, str) else ("WIN" if win else "LOSS"),
        completed_s,
        words.time_of(line.monitoring_started, rules.zone),
        runtime_s,
        words.price(line.exit_price),
        pips,
        line.realised_r,
        signal.stop,
        signal.target,
        signal.entry,
    )
    reason = doubt(signal, outcome, rules)
    if reason is Reason.IMPOSSIBLE_LEVELS:
        outcome, reason = beside_its_signal(outcome)
    elif reason is Reason.CONTRADICTS_LEVELS and is_only_far(outcome):
        outcome, reason = msgspec.structs.replace(outcome, far=True), None
    return outcome if reason is None else Refused(reason, signal)
