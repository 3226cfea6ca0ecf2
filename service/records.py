"""What the engine hands to the journal: immutable rows, one struct a table.

The engine knows no SQL and the journal knows no market: this is all they share.
"""

from __future__ import annotations

import msgspec


class ScoreRow(msgspec.Struct, frozen=True, kw_only=True):
    """One answered score with all that training will ever need of that moment.

    `revision` is where the count begins: the journal numbers the scores of one signal on from
    it. `features` are 11 little-endian float64 in schema order; `request` is the message as it
    came (msgpack), `reply` the answer without its `v` and `id`. Times are UTC seconds.
    """

    score_id: str
    signal_id: str | None
    revision: int
    digest: bytes
    symbol: str
    direction: int
    pattern: str | None
    signal_class: str | None
    scored_at: float
    event_time: float
    base_score: float
    final_score: float
    raw_probability: float | None
    win_probability: float | None
    status: str
    mode: str
    model_version: str | None
    fingerprint: str
    features: bytes
    missing: str
    volume_source: str
    bid: float | None
    ask: float | None
    entry_price: float | None
    stop_loss: float | None
    take_profit: float | None
    reward_risk: float | None
    cost_r: float | None
    expected_r: float | None
    take: bool | None
    request: bytes
    reply: bytes


class Meant(msgspec.Struct, frozen=True):
    """What a report says of its score where its ids may not name one. `at` in UTC seconds."""

    symbol: str
    base_score: float
    at: float


class OutcomeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One reported end of a signal, as the caller said it; the trainer judges it.

    `meant` is no column: the journal turns it into a `score_id` where it can.
    """

    score_id: str | None
    signal_id: str | None
    source: str
    outcome: str
    win: bool | None
    realised_r: float | None
    final_pips: float | None
    max_favorable_pips: float | None
    max_adverse_pips: float | None
    runtime_s: float | None
    closed_at: float | None
    received_at: float
    meant: Meant | None = None


class EventRow(msgspec.Struct, frozen=True, kw_only=True):
    """Something an operator will want to find again: a swap, a refusal, a mode, a silence."""

    at: float
    kind: str
    detail: dict[str, str | float | int | bool | None]


class BarRow(msgspec.Struct, frozen=True):
    """A closed M1 bar, from own ticks or an outside candle; `minute` counts from the epoch."""

    symbol: str
    minute: int
    open: float
    high: float
    low: float
    close: float


class SymbolRow(msgspec.Struct, frozen=True):
    """What a symbol remembers beside its bars (day levels, when volume was shown), packed."""

    symbol: str
    facts: bytes
