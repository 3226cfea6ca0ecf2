"""What engine and journal share: immutable rows, one struct a table, and answers for retries.

The engine knows no SQL and the journal knows no market.
"""

from __future__ import annotations

import msgspec


class ScoreRow(msgspec.Struct, frozen=True, kw_only=True):
    """One answered score with all that training will ever need of that moment.

    `seq` rises with every score of every run and ends the `score_id` (hexadecimal).
    `features` are 11 little-endian float64 in schema order; `request` is the message as it
    came (msgpack), `reply` the answer without its `v` and `id`. Times are UTC seconds.
    """

    seq: int
    score_id: str
    signal_id: str | None
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


class Remembered(msgspec.Struct):
    """An answer of the time `at_s` (UTC s) to the content of this `digest`, packed.

    `row` is there while it is not known to be written.
    """

    at_s: float
    digest: bytes
    reply: bytes
    row: ScoreRow | None = None

    @property
    def unwritten_bytes(self) -> int:
        """What its row holds of a request."""
        return 0 if self.row is None else len(self.row.request)


class Meant(msgspec.Struct, frozen=True):
    """What a report says of its score where its ids may not name one. `at` in UTC seconds."""

    symbol: str
    base_score: float
    at: float


class OutcomeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One end of a signal: as the caller reported it, or followed on paper (source `paper`).

    The trainer judges what was reported. The last five fields only paper outcomes have.

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
    max_favorable_r: float | None = None
    max_adverse_r: float | None = None
    opened_at: float | None = None
    opened_price: float | None = None
    closed_price: float | None = None
    meant: Meant | None = None


class PaperRow(msgspec.Struct, frozen=True, kw_only=True):
    """A scored signal that is followed on paper, and how far it has come.

    `symbol` as the feed has it, `direction` +1 or -1, `risk` the distance from entry to stop
    as sent; times are event times (UTC s), `event_time` the scoring's. From `opened_at` on all
    are None until the first tick after scoring; `best_price`, `worst_price` and `last_price`
    are of the side that it leaves on, `last_time` is of the last tick (first: the scoring's).
    """

    score_id: str
    signal_id: str | None
    symbol: str
    direction: int
    stop_loss: float
    take_profit: float
    risk: float
    event_time: float
    deadline: float
    last_time: float
    opened_at: float | None = None
    opened_price: float | None = None
    best_price: float | None = None
    worst_price: float | None = None
    last_price: float | None = None


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
