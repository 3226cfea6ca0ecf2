"""Paper outcomes on recorded markets, through the engine, against the brute-force oracle."""

from __future__ import annotations

from pathlib import Path

import pytest
from oracles.paper_comparison import compare


@pytest.mark.parametrize(
    ("pattern", "rows", "holding_s", "words"),
    [
        ("lean_fx_tick_*.oanda_*.csv.gz", 40_000, 3600.0, {"WIN_TP", "LOSS_SL", "EXPIRED"}),
        ("lean_fx_tick_EURUSD.fxcm_*.csv.gz", 15_000, 600.0, {"WIN_TP", "LOSS_SL", "EXPIRED"}),
        ("hft_binance_*.csv.gz", 30_000, 30.0, {"WIN_TP", "LOSS_SL", "EXPIRED"}),
    ],
)
def test_each_outcome_equals_the_oracles_to_the_bit(
    shared_data: Path, pattern: str, rows: int, holding_s: float, words: set[str]
):
    paths = sorted((shared_data / "market").glob(pattern))
    result = compare(paths, signals=1000, holding_s=holding_s, limit=rows)
    assert result.differ == []
    assert result.signals == 1000
    assert all(result.words[word] >= 10 for word in words), result.words
