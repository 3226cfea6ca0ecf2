"""A journal as the service would have written it, with outcomes drawn from a stated edge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from journals import stored

from protocol.schema import FEATURE_COUNT, FINGERPRINT
from service.journal.records import OutcomeRow, ScoreRow

START_S = 1_760_000_000.0
EVERY_S = 3600.0


def score_row(i: int, x: np.ndarray, **changes: Any) -> ScoreRow:
    """The i-th signal, scored at START_S + 3600 s * i, with vector `x` (FEATURE_COUNT,)."""
    time_s = START_S + EVERY_S * i
    values: dict[str, Any] = {
        "seq": i,
        "score_id": f"score-{i:x}",
        "signal_id": f"SIG_{i}",
        "digest": i.to_bytes(16, "little"),
        "symbol": ("EURUSD", "BTCUSD")[i % 2],
        "direction": 1,
        "pattern": "ORDER_BLOCK_BOUNCE",
        "signal_class": None,
        "scored_at": time_s,
        "event_time": time_s,
        "base_score": float(x[-1]),
        "final_score": float(x[-1]),
        "raw_probability": None,
        "win_probability": None,
        "status": "no_model",
        "mode": "live",
        "model_version": None,
        "fingerprint": FINGERPRINT,
        "features": x.astype("<f8").tobytes(),
        "missing": "sentiment_score",
        "volume_source": "ticks",
        "bid": 1.1,
        "ask": 1.1001,
        "entry_price": None,
        "stop_loss": None,
        "take_profit": None,
        "reward_risk": 1.5,
        "cost_r": 0.05,
        "expected_r": None,
        "take": None,
        "request": b"",
        "reply": b"",
    }
    # Also one journal generation back: a row takes the fields that it has.
    known = {k: v for k, v in (values | changes).items() if k in ScoreRow.__struct_fields__}
    return ScoreRow(**known)


def outcome_row(i: int, win: bool | None, word: str = "", /, **changes: Any) -> OutcomeRow:
    """The end of the i-th signal, 300 s after it was scored."""
    values: dict[str, Any] = {
        "score_id": None,
        "signal_id": f"SIG_{i}",
        "source": "request",
        "outcome": word or ("WIN" if win else "LOSS"),
        "win": win,
        "realised_r": None,
        "final_pips": None,
        "max_favorable_pips": None,
        "max_adverse_pips": None,
        "runtime_s": None,
        "closed_at": START_S + EVERY_S * i + 300,
        "received_at": START_S + EVERY_S * i + 301,
    }
    return OutcomeRow(**(values | changes))


def vectors(n: int, seed: int = 0) -> np.ndarray:
    """Features (n, FEATURE_COUNT) without any order in them."""
    x = np.random.default_rng(seed).uniform(0, 100, (n, FEATURE_COUNT))
    x[:, 7] = 10 + 0.15 * x[:, 7]
    return x


def write_journal(path: Path, n: int, *, edge: float, turned: bool = False, seed: int = 0) -> None:
    """`n` signals whose win probability is 0.5 +- `edge` as momentum is above or below 50.

    `turned`: from two thirds of the time on, the edge has the opposite sign.
    """
    x = vectors(n, seed)
    sign = np.where(x[:, 8] > 50, 1.0, -1.0)
    if turned:
        sign[2 * n // 3 :] *= -1
    win = np.random.default_rng(seed + 1).random(n) < 0.5 + edge * sign
    rows = [score_row(i, x[i]) for i in range(n)]
    stored(path, [*rows, *(outcome_row(i, bool(win[i])) for i in range(n))])
