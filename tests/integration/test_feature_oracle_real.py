"""Recorded markets through the real intake: every vector is what the batch oracle says.

A part of each file, so that it takes seconds; `make oracle` compares all of them.
"""

from pathlib import Path

import pytest
from oracles.comparison import compare

from protocol.schema import FEATURE_NAMES

FX = [f"lean_fx_tick_{name}.oanda_20140501_07.csv.gz" for name in ("EURUSD", "NZDUSD", "XAUUSD")]
DIRTY = ["lean_fx_tick_EURUSD.fxcm_20140505.csv.gz"]
BINANCE = ["hft_binance_20240808_09_events.csv.gz"]
COINBASE = ["lean_coinbase_1m_quotes_trades_20180404_06.csv.gz"]
TICKS = 60_000  # all of the dirty day

NEEDS_BARS = {
    "atr_volatility",
    "volume_delta",
    "tf_alignment",
    "momentum_strength",
    "support_resistance",
}


@pytest.mark.parametrize(
    ("names", "crossed", "present"),
    [
        (FX, 0, NEEDS_BARS | {"spread_quality", "correlation_check", "sentiment_score"}),
        (DIRTY, 4987, NEEDS_BARS | {"spread_quality", "sentiment_score"}),
        (BINANCE, 0, {"spread_quality", "whale_activity", "sentiment_score"}),
        (COINBASE, 0, set(FEATURE_NAMES)),
    ],
    ids=["oanda", "fxcm", "binance", "coinbase"],
)
def test_stream_and_batch_agree_on_recorded_markets(
    names: list[str], crossed: int, present: set[str], shared_data: Path
) -> None:
    result = compare([shared_data / "market" / name for name in names], 120, 1, TICKS)
    assert result.disagreements == []
    for feature in present:
        assert result.present[feature] >= 20
    assert result.counts["tick_crossed"] == crossed
    assert result.counts.total() == result.ticks
