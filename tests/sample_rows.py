"""Samples made by hand for tests of what is done with samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from protocol.schema import FEATURE_COUNT
from training.dataset.samples import Samples


def sample_rows(
    n: int,
    *,
    edge: float = 0.0,
    seed: int = 0,
    holding_s: float = 60.0,
    every_s: float = 3600.0,
    **changes: Any,
) -> Samples:
    """Wins with probability 0.5 +- `edge` as momentum is above or below 50; an hour apart."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 100, (n, FEATURE_COUNT))
    win = rng.random(n) < 0.5 + edge * np.where(x[:, 8] > 50, 1.0, -1.0)
    time_s = every_s * np.arange(n)
    unknown = np.full(n, np.nan)
    values: dict[str, Any] = {
        "x": x,
        "win": win,
        "time_s": time_s,
        "end_s": time_s + holding_s,
        "weight": np.ones(n),
        "realised_r": unknown,
        "reward_risk": unknown,
        "cost_r": unknown,
        "at_level": np.ones(n, dtype=np.bool_),
        "win_probability": unknown,
        "stop_spreads": unknown,
        "direction": np.ones(n, dtype=np.int8),
        "backfilled": np.zeros(n, dtype=np.bool_),
        "symbol": np.full(n, "EURUSD"),
        "pattern": np.full(n, ""),
        "score_id": np.array([str(i) for i in range(n)]),
        "label_source": np.full(n, "truth_log"),
    }
    return Samples(**(values | changes))
