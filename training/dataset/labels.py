"""Which of several reports of one signal's end is believed.

Paper outcomes and reported ones are kept apart by source. Reports that contradict each other are
refused, and one dated at the scoring itself is no report. Of several paper outcomes the one that
began nearest to the score counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import msgspec

from service.scoring import MAX_TERM_R
from training.dataset.end_r import made_of
from training.truth_log import (
    Outcome,
    Reason,
    born_s,
    in_future,
    other_r,
    sign_differs,
    undecided,
    words,
)
from training.truth_log.plausible import MIN_DELAY_S, too_soon

Prefer = Literal["paper", "reported"]
VOID = "VOID"
"""What the service calls a paper position that has no outcome."""
_VOID = "void"
LONGEST_TRADE_S = 31 * 86_400.0
"""A beginning further before the end is none: many ids end in a ticket's ten digits. What is
said to have ended later after its score was another trade, or swept up at some time."""


class Label(msgspec.Struct, frozen=True, gc=False):
    """One report. `win` is None where `doubt` says why it is not believed.

    `realised_r` is net of costs as it was reported or followed; where `nominal`, it is that of
    the signal's own target or stop, which nobody reported to have been paid: before costs.
    `at_level` is False of an end at neither of them, or not at which; `pips` are given where
    nothing else tells what that made. `symbol`,
    `direction`, `entry` and `began_s` are the trade's as the report has them, None and 0 where it
    does not say. `received_s` is when a report came that does not say when the trade ended, by the
    clock of the machine. `lost_s` is when a paper position was last in sight (event time), where
    it is void for that.
    """

    source: str
    win: bool | None
    ended_s: float | None = None
    runtime_s: float | None = None
    realised_r: float | None = None
    doubt: str = ""
    nominal: bool = False
    at_level: bool = True
    pips: float | None = None
    symbol: str | None = None
    direction: int = 0
    entry: float | None = None
    began_s: float | None = None
    received_s: float | None = None
    lost_s: float | None = None


class Choice(msgspec.Struct, frozen=True, gc=False):
    """The label to train on, or none and why; `differ` where paper and report disagree.

    `said_other_r` where the label is a report that came again with another R, which nothing
    believes.
    """

    label: Label | None
    reason: str = ""
    differ: bool = False
    said_other_r: bool = False


def of_truth_log(outcome: Outcome) -> Label:
    """A usable line of a truth log as a label."""
    made = made_of(outcome)
    return Label(
        "truth_log",
        outcome.win,
        outcome.completed_s,
        outcome.runtime_s,
        made.r,
        nominal=made.nominal,
        at_level=made.at_level,
        pips=made.pips,
        symbol=outcome.signal.symbol,
        direction=outcome.signal.direction,
        entry=outcome.signal.entry,
        began_s=_began_s(outcome),
    )


def _began_s(outcome: Outcome) -> float | None:
    ended_s = outcome.completed_s
    if ended_s is None:  # by which a ticket's ten digits are told from a time
        return outcome.signal.time_s
    began_s = born_s(outcome.signal, ended_s)
    if began_s is not None and 0.0 <= ended_s - began_s <= LONGEST_TRADE_S:
        return began_s
    return None if outcome.runtime_s is None else ended_s - outcome.runtime_s


def of_journal(
    source: str,
    word: str,
    win: bool | None,
    *,
    realised_r: float | None,
    pips: float | None,
    ended_s: float | None,
    runtime_s: float | None,
    received_s: float,
    began_s: float | None,
    opened_s: float | None,
) -> Label:
    """A row of the journal's outcomes as a label; its word is judged as a truth log's is.

    `began_s` is when the score that it names was made, where it names one: else its end and its
    runtime tell. `received_s` is when the machine took it, `opened_s` when a paper position was
    filled.
    """
    # Void at its scoring: no quote came in time. Void later and never filled: one came and lay
    # beyond a level.
    unseen = word == VOID and source == "paper" and (opened_s is not None or ended_s == began_s)
    open_ended = words.is_open_ended(word)
    win, doubt = _result(source, word, win, realised_r, pips)
    if began_s is None and ended_s is not None and runtime_s is not None:
        began_s = ended_s - runtime_s
    return Label(
        source,
        win,
        ended_s,
        runtime_s,
        realised_r,
        doubt,
        at_level=not open_ended,
        pips=(pips or None) if open_ended and realised_r is None else None,
        began_s=began_s,
        received_s=received_s if ended_s is None else None,
        lost_s=ended_s if unseen else None,
    )


def is_void(label: Label) -> bool:
    """Whether it says that a paper position has no outcome."""
    return label.doubt == _VOID


def _result(
    source: str, word: str, win: bool | None, realised_r: float | None, pips: float | None
) -> tuple[bool | None, str]:
    """Whether it won, and why that is not believed; an empty text where it is."""
    if word == VOID:
        return win, _VOID
    if win is None:
        try:
            win = words.result(word, realised_r, pips)
        except KeyError:
            return None, Reason.UNKNOWN_OUTCOME
    if win is None:
        return None, undecided(realised_r)
    if realised_r is not None and abs(realised_r) > MAX_TERM_R:
        return win, Reason.IMPOSSIBLE_LEVELS
    if source != "paper" and sign_differs(win, realised_r, pips):
        return win, Reason.CONTRADICTS_LEVELS
    return win, ""


def over_s(label: Label, *, time_s: float, scored_at: float) -> float | None:
    """When the trade was over at the latest: what was reported had ended when it came.

    From the machine's clock, by which its signal was scored `scored_at`, to the feed's, which said
    `time_s`. None where nothing tells.
    """
    if label.ended_s is not None or label.received_s is None:
        return label.ended_s
    return time_s + label.received_s - scored_at


def dated(label: Label, over_s: float | None) -> Label:
    """The label with an end where it tells none and no runtime either.

    Later than in truth where reports wait, never earlier: nothing learns from it too soon.
    """
    if label.received_s is None or label.runtime_s is not None:
        return label
    return msgspec.structs.replace(label, ended_s=over_s)


def choose(
    labels: Iterable[Label], *, scored_s: float, prefer: Prefer, longest_s: float, now_s: float
) -> Choice:
    """Pick the label of a signal scored at `scored_s` from all that was said of it by `now_s`.

    What is reported to have ended more than `longest_s` after it was another trade.
    """
    paper: list[Label] = []
    reported: list[Label] = []
    reason = "no_outcome"
    for label in labels:
        # The service saw its paper outcomes happen: a stop hit within seconds is a true loss.
        seen = label.source == "paper"
        doubt = label.doubt or ("" if seen else _doubt(label, scored_s))
        if not doubt and in_future(scored_s, label.ended_s, label.runtime_s, now_s):
            doubt = Reason.IN_FUTURE
        if not doubt and not seen and _life_s(label, scored_s) > longest_s:
            doubt = Reason.CONTRADICTING_SIGNALS
        if not doubt:
            (paper if seen else reported).append(label)
        elif not (seen and reason == Reason.BREAK_EVEN):  # which a void position leaves true
            reason = doubt
    if len({label.win for label in reported}) > 1:
        reason, reported = Reason.CONTRADICTING, []
    # Replicas that scored a signal each followed it from their own score on.
    paper.sort(
        key=lambda label: math.inf if label.began_s is None else abs(label.began_s - scored_s)
    )
    differ = bool(paper and reported and paper[0].win != reported[0].win)
    first, second = (paper, reported) if prefer == "paper" else (reported, paper)
    chosen = first or second
    if not chosen:
        return Choice(None, reason)
    return Choice(chosen[0], "", differ, chosen is reported and _says_other_r(reported))


def _says_other_r(reported: list[Label]) -> bool:
    """Whether one came again with another R: what a truth log tells beside it is no correction."""
    return any(
        label.source == reported[0].source and other_r(reported[0].realised_r, label.realised_r)
        for label in reported[1:]
    )


def _life_s(label: Label, scored_s: float) -> float:
    """How long it is said to have run. When a report came says nothing: it may have waited."""
    named_s = label.ended_s if label.received_s is None else None
    return (label.runtime_s or 0.0) if named_s is None else named_s - scored_s


def _doubt(label: Label, scored_s: float) -> str:
    if label.runtime_s is not None and label.runtime_s < MIN_DELAY_S:
        return Reason.AT_SIGNAL_TIME
    return "" if label.ended_s is None else too_soon(label.ended_s - scored_s) or ""
