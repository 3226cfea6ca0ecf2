"""What an existing setup of the in-process scorer reads of it and has on disk."""

from __future__ import annotations

import math
import pickle
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from made_market import write_lines

METADATA = {
    *("status", "ml_confidence", "win_probability", "prediction", "prediction_time_ms"),
    *("model_version", "used_base_score", "feature_importance", "original_base_score"),
    *("ml_enhanced_score", "final_score", "session_bonus", "features", "model_stats"),
}
"""The keys of the original's metadata of a score."""
STATS = {
    *("model_version", "trained_at", "sample_count", "feature_count", "avg_prediction_time_ms"),
    *("cache_size", "feature_importance", "model_available"),
}
"""Those of `get_model_stats()`."""
TICK = {"bid": 50_000, "ask": 50_008, "spread": 0.00016, "volume": 1500}
"""A tick that is pushed, but for its time."""
SYMBOLS = ("EURUSD", "GBPUSD")
EVERY_S = 900


class Trap:
    """Unpickled, it touches a file: so a test sees that it never was."""

    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.touched,))


def original_setup(folder: Path, *, now_s: float, signals: int = 120) -> Path:
    """Fill `folder`; returns the file that is there once a model was loaded.

    A signal every quarter of an hour up to three hours ago. Of each its line and its end are in
    the truth log, the line with the score that the original made of the base score; and but for
    every tenth its record is in the training data.
    """
    random.seed(7)
    folder.mkdir(parents=True, exist_ok=True)
    training: list[dict[str, Any]] = []
    truth: list[dict[str, Any]] = []
    began_s = now_s - 3 * 3600 - EVERY_S * signals
    for number in range(signals):
        born_s = began_s + EVERY_S * number
        base = round(random.uniform(60.0, 85.0), 1)
        win = random.random() < 0.3 + 0.4 * (base - 60.0) / 25.0
        one = _Signal(f"ELITE_GUARD_{SYMBOLS[number % 2]}_{number}", number, born_s, base, win)
        truth += one.truth()
        if number % 10:
            training.append(one.training())
    write_lines(folder / "ml_training_data.jsonl", training)
    write_lines(folder / "truth_log.jsonl", truth)
    models = folder / "ml_models"
    models.mkdir()
    loaded = folder / "a_model_was_loaded"
    for name in ("crypto_ml_model.pkl", "crypto_ml_scaler.pkl", "backup_1.pkl"):
        (models / name).write_bytes(pickle.dumps(Trap(loaded)))
    return loaded


class _Signal:
    def __init__(self, name: str, number: int, born_s: float, base: float, win: bool) -> None:
        self.name, self.number, self.born_s, self.base, self.win = name, number, born_s, base, win
        self.symbol = SYMBOLS[number % 2]
        self.runtime_s = 900.0 + 60 * (number % 30)
        self.pips = 15.5 if win else -10.0

    def training(self) -> dict[str, Any]:
        """A line of `record_signal_outcome`."""
        features = {
            "atr_volatility": 61.0,
            "volume_delta": 72.0,
            "tf_alignment": 100.0,
            "sentiment_score": 50.0,
            "whale_activity": 45.0,
            "spread_quality": 88.0,
            "correlation_check": 80.0,
            "session_bonus": 25.0,
            "momentum_strength": 75.0,
            "support_resistance": 40.0,
            "symbol": self.symbol,
            "timestamp": self.born_s,
            "base_score": self.base,
        }
        return {
            "signal_id": self.name,
            "features": features,
            "outcome": self.win,
            "outcome_type": "WIN_TP" if self.win else "LOSS_SL",
            "runtime_minutes": self.runtime_s / 60,
            "max_favorable_pips": max(self.pips, 3.0),
            "max_adverse_pips": min(self.pips, -3.2),
            "final_pips": self.pips,
            "created_at": _naive(self.born_s + self.runtime_s),
        }

    def truth(self) -> list[dict[str, Any]]:
        """Its two lines in the truth log; `confidence` is what the original's score came to."""
        pip = 1e-4
        enhanced = min(100.0, 0.4 * self.base + 0.6 * (40.0 + 8.0 * math.sin(self.number)) + 25.0)
        return [
            {
                "signal_id": self.name,
                "symbol": self.symbol,
                "direction": "BUY",
                "confidence": round(enhanced, 1),
                "entry_price": 1.1,
                "sl": round(1.1 - 10 * pip, 5),
                "tp": round(1.1 + 15.5 * pip, 5),
                "generated_at": _naive(self.born_s),
                "completed": False,
            },
            {
                "signal_id": self.name,
                "symbol": self.symbol,
                "completed": True,
                "outcome": "WIN_TP" if self.win else "LOSS_SL",
                "completed_at": _naive(self.born_s + self.runtime_s),
                "max_favorable_pips": max(self.pips, 3.0),
                "max_adverse_pips": min(self.pips, -3.2),
                "runtime_seconds": self.runtime_s,
            },
        ]


def _naive(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).replace(tzinfo=None).isoformat()
