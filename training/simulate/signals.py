"""Signals as Elite Guard finds them, and the lines that it writes about them. Pure.

Symbol, side and base score are drawn at random, so whatever can be known about a signal's
end stands in its features. The rule: every stamp is the market's time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from protocol.ea_feed import Tick
from protocol.messages import Direction
from training.simulate.market import Instrument

REWARD_RISK = 1.5
RISK_MINUTES = 40.0
"""The stop lies as many usual minutes' moves away."""
PATTERNS = ("LIQUIDITY_SWEEP_REVERSAL", "ORDER_BLOCK_BOUNCE", "FAIR_VALUE_GAP_FILL")
SENTIMENT_SHARE = 0.2
_SHORTEST_S, _LONGEST_S = 300.0, 5400.0


class Signal(NamedTuple):
    """What Elite Guard found at `generated_s` (UTC), and the luck its trade will have.

    It wins where `draw` (0..1) lies below its true probability; it runs for `runtime_s`.
    """

    signal_id: str
    instrument: Instrument
    direction: Direction
    base_score: float
    pattern: str
    sentiment: float | None
    generated_s: float
    draw: float
    runtime_s: float

    @property
    def side(self) -> int:
        """+1 to buy, -1 to sell."""
        return 1 if self.direction == "BUY" else -1


def signals(
    instruments: tuple[Instrument, ...], start_s: float, every_s: float, seed: int
) -> Iterator[Signal]:
    """Signals from `start_s` (UTC) on, `every_s` market seconds apart on average, without end."""
    rng = np.random.default_rng([seed, 2])
    last_s: dict[str, int] = {}
    time_s = start_s
    while True:
        time_s += rng.exponential(every_s)
        instrument = instruments[rng.integers(len(instruments))]
        # An id ends in its second, so a symbol has one signal a second.
        second = max(int(time_s), last_s.get(instrument.symbol, 0) + 1)
        last_s[instrument.symbol] = second
        yield Signal(
            signal_id=f"ELITE_GUARD_{instrument.symbol}_{second}",
            instrument=instrument,
            direction="BUY" if rng.random() < 0.5 else "SELL",
            base_score=round(float(np.clip(rng.normal(75.0, 7.0), 50.0, 95.0)), 1),
            pattern=PATTERNS[rng.integers(len(PATTERNS))],
            sentiment=round(100.0 * rng.random(), 1) if rng.random() < SENTIMENT_SHARE else None,
            generated_s=float(second),
            draw=float(rng.random()),
            runtime_s=float(np.clip(rng.lognormal(7.3, 0.6), _SHORTEST_S, _LONGEST_S)),
        )


def cost_r(instrument: Instrument, quote: Tick) -> float:
    """One spread in units of the risk."""
    return (quote.ask - quote.bid) / _risk(instrument, quote)


def pending_line(signal: Signal, quote: Tick) -> dict[str, Any]:
    """The line written when a trade opens at `quote`."""
    entry = quote.ask if signal.side > 0 else quote.bid
    risk = _risk(signal.instrument, quote)
    places = _places(signal.instrument)
    return {
        "signal_id": signal.signal_id,
        "symbol": signal.instrument.symbol,
        "direction": signal.direction,
        "pattern": signal.pattern,
        "entry_price": entry,
        "sl": round(entry - signal.side * risk, places),
        "tp": round(entry + signal.side * REWARD_RISK * risk, places),
        "confidence": signal.base_score,
        "risk_reward": REWARD_RISK,
        "generated_at": _stamp(signal.generated_s),
        "status": "pending",
        "completed": False,
    }


def completed_line(signal: Signal, quote: Tick, win: bool, ends_s: float) -> dict[str, Any]:
    """The documented completion of a trade that opened at `quote` and ended at `ends_s`."""
    pips = _risk(signal.instrument, quote) / signal.instrument.pip
    # How far it went the other way before it ended: the same luck, spread over the range.
    share = 0.1 + 0.8 * (signal.draw * 7919.0 % 1.0)
    favorable = pips * REWARD_RISK * (1.0 if win else share)
    adverse = -pips * (share if win else 1.0)
    return {
        "signal_id": signal.signal_id,
        "symbol": signal.instrument.symbol,
        "completed": True,
        "outcome": "WIN_TP" if win else "LOSS_SL",
        "completed_at": _stamp(ends_s),
        "max_favorable_pips": round(favorable, 1),
        "max_adverse_pips": round(adverse, 1),
        "runtime_seconds": round(ends_s - signal.generated_s),
    }


def _risk(instrument: Instrument, quote: Tick) -> float:
    return 1e-4 * RISK_MINUTES * instrument.minute_bps * quote.bid


def _places(instrument: Instrument) -> int:
    return max(0, round(-float(np.log10(instrument.point))))


def _stamp(time_s: float) -> str:
    """Naive UTC, as the field writes it."""
    return datetime.fromtimestamp(time_s, UTC).replace(tzinfo=None).isoformat()
