"""What one line of a truth log can be: a signal, an outcome, or refused with a reason.

`Line` is the union of the fields of all shapes, as they are written; everything after
decoding speaks of `Signal` and `Outcome` only.
"""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec
from msgspec import Meta

from service.symbol_class import bare

SAME_TRADE_S = 86_400.0
"""So far from its scoring a trade may have begun, after it also as far as `max_holding_s`: orders
wait for hours, zones differ by hours."""
SAME_PRICE = 1e-3
"""Of a price: so far from the signal's entry a trade may have been filled."""
SAME_TRADE_R = 0.5
"""Or so much of the distance to its stop, as in a fast market."""

SAME_R = 0.01
"""Two reports of an end may round its R."""

Text = Annotated[str, Meta(max_length=256)]


class Reason(enum.StrEnum):
    """Why a line is not believed, in the words that the reports use."""

    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    WRONG_TYPE = "wrong_type"
    TOO_LONG = "too_long"
    NO_SIGNAL_ID = "no_signal_id"
    TEST = "test"
    NOTE = "note_without_outcome"
    UNKNOWN_OUTCOME = "unknown_outcome"
    NO_RESULT = "timeout_without_result"
    BREAK_EVEN = "break_even"
    SOURCE = "outcome_source_is_none"
    NO_TIME = "unreadable_time"
    NO_RUNTIME = "runtime_unknown"
    AT_SIGNAL_TIME = "label_at_signal_time"
    BEFORE_SIGNAL = "ended_before_signal"
    IN_FUTURE = "ended_in_the_future"
    CONTRADICTS_RUNTIME = "runtime_contradicts_end"
    FIRST_TICK = "closed_on_first_tick"
    WATCHED_LATE = "watched_late"
    IMPOSSIBLE_LEVELS = "impossible_levels"
    CONTRADICTS_LEVELS = "result_contradicts_levels"
    GAINED_AT_STOP = "loss_with_gain_at_moved_stop"
    CONTRADICTING = "contradicting_outcomes"
    CONTRADICTING_SIGNALS = "contradicting_signals"
    REPEATED = "repeated"
    OTHER_R = "repeated_with_other_r"


def undecided(realised_r: float | None) -> Reason:
    """Why an end neither won nor lost. Pips of 0 may be what a writer puts where it has none."""
    return Reason.BREAK_EVEN if realised_r == 0.0 else Reason.NO_RESULT


class Told(msgspec.Struct, frozen=True, gc=False):
    """What is believed of the original's `features`: not the features."""

    base_score: float | None = None
    symbol: Text | None = None


class Line(msgspec.Struct, frozen=True, gc=False):
    """One JSON object of any shape. Fields that no reader uses are not decoded."""

    signal_id: Text | int | None = None
    symbol: Text | None = None
    pair: Text | None = None
    direction: Text | None = None
    confidence: float | None = None
    quality: float | None = None
    entry_price: float | None = None
    sl: float | None = None
    stop_loss: float | None = None
    tp: float | None = None
    take_profit: float | None = None
    exit_price: float | None = None
    generated_at: Text | float | None = None
    timestamp: Text | float | None = None
    created_at: Text | float | None = None
    monitoring_started: Text | float | None = None
    completed_at: Text | float | None = None
    completed: bool | None = None
    win: bool | Text | None = None
    outcome: bool | Text | None = None
    outcome_source: Text | None = None
    outcome_type: Text | None = None
    action: Text | None = None
    status: Text | None = None
    exit_type: Text | None = None
    hit_level: Text | None = None
    ticks_processed: float | None = None
    lifespan: float | None = None
    runtime_seconds: float | None = None
    runtime_minutes: float | None = None
    pips_result: float | None = None
    pips: float | None = None
    final_pips: float | None = None
    realised_r: float | None = None
    features: Told | None = None


class Signal(msgspec.Struct, frozen=True, gc=False):
    """What is known of a signal: prices in quote currency, `time_s` UTC, `direction` +1/-1/0.

    Where no stamp tells the time, the id may: see `born_s`.
    """

    signal_id: str
    symbol: str | None = None
    direction: int = 0
    time_s: float | None = None
    entry: float | None = None
    stop: float | None = None
    target: float | None = None
    base_score: float | None = None


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """How a signal ended, as reported. `signal` holds what the same line says of it.

    `completed_s` and `watched_from_s` are UTC seconds; `pips` and `realised_r` signed. `stop`,
    `target` and `entry` are those that its line names: the levels may have moved since, and the
    trade was filled at that entry. `beyond` where that stop stands at the entry or in profit, so
    that the end can be true only beside the signal's own line; `far` where it ran too far by this
    line's levels alone.
    """

    signal: Signal
    win: bool
    word: str
    completed_s: float | None = None
    watched_from_s: float | None = None
    runtime_s: float | None = None
    exit: float | None = None
    pips: float | None = None
    realised_r: float | None = None
    stop: float | None = None
    target: float | None = None
    entry: float | None = None
    beyond: bool = False
    far: bool = False


class Refused(msgspec.Struct, frozen=True, gc=False):
    """A line that is no outcome to train on. A signal that it describes is still one."""

    reason: Reason
    signal: Signal | None = None


def merged(first: Signal, second: Signal, *, levels_of: Signal) -> Signal:
    """What two lines of one id say together; the first speaks where both do.

    Of symbol and levels `levels_of`, which is one of them. The first itself where nothing is added.
    """
    before, after = (first, second) if levels_of is first else (second, first)
    # A stop goes with its own entry: one of a fill, with the signal's, would tell another risk.
    takes = before.stop is None and after.stop is not None
    entry, other = (after, before) if takes else (before, after)
    together = Signal(
        first.signal_id,
        before.symbol or after.symbol,
        first.direction or second.direction,
        first.time_s if first.time_s is not None else second.time_s,
        entry.entry if entry.entry is not None else other.entry,
        before.stop if before.stop is not None else after.stop,
        before.target if before.target is not None else after.target,
        first.base_score if first.base_score is not None else second.base_score,
    )
    return first if together == first else together


def disagree(first: Signal, second: Signal) -> bool:
    """Whether two lines of one id speak of different trades: ids are used again, days later."""
    if first.direction * second.direction < 0 or _other_entries(first, second):
        return True
    time_s, other_s = first.time_s, second.time_s
    if time_s is not None and other_s is not None and abs(time_s - other_s) > SAME_TRADE_S:
        return True
    if first.symbol is None or second.symbol is None:
        return False
    return other_market(first.symbol, first.entry, second.symbol, second.entry)


def other_r(first: float | None, later: float | None) -> bool:
    """Whether a later report tells another R than the first one, or one where that told none."""
    return later is not None and (first is None or abs(first - later) > SAME_R)


def other_market(symbol: str, entry: float | None, other: str, other_entry: float | None) -> bool:
    """Whether two names mean two markets, going by the entries where the names tell nothing."""
    one, another = bare(symbol), bare(other)
    # One of them may lack what brokers put behind it: EURUSD, EURUSD.r.
    if one.startswith(another) or another.startswith(one):
        return False
    # Or it has two names, as XAUUSD and GOLD, and one price.
    return entry is None or other_entry is None or _differ(entry, other_entry)


def _other_entries(first: Signal, second: Signal) -> bool:
    """Whether the entries are not those of one trade, slippage in a fast market included."""
    if first.entry is None or second.entry is None or not _differ(first.entry, second.entry):
        return False
    risks = [abs(one.entry - one.stop) for one in (first, second) if one.entry and one.stop]
    return abs(first.entry - second.entry) > SAME_TRADE_R * max(risks, default=0.0)


def _differ(entry: float | None, other: float | None) -> bool:
    """Whether two prices are known and cannot be those of one order and its fill."""
    if entry is None or other is None:
        return False
    return abs(entry - other) > SAME_PRICE * min(entry, other)
