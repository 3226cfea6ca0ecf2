"""Compare stream and batch oracle on all recorded markets, at random moments; print the result.

Ends with 1 if any value differs by more than 1e-9 (relative, absolute below 1), or is missing
on one side only. `make oracle` runs it.

    .venv/bin/python scripts/oracle_features.py [--moments 1500] [--seed 1]
"""

import argparse
import sys
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from oracles.comparison import Comparison, compare  # noqa: E402

from protocol.schema import FEATURE_NAMES  # noqa: E402

MARKET = ROOT.parent / "shared" / "data" / "market"
MARKETS = {
    "OANDA XAUUSD, EURUSD, NZDUSD": "lean_fx_tick_*.oanda_*.csv.gz",
    "OANDA XAUUSD alone": "lean_fx_tick_XAUUSD.*.csv.gz",
    "FXCM EURUSD": "lean_fx_tick_EURUSD.fxcm_*.csv.gz",
    "Binance": "hft_binance_*.csv.gz",
    "Coinbase": "lean_coinbase_*.csv.gz",
}


def report(name: str, result: Comparison, seconds: float) -> None:
    account = ", ".join(f"{count:,} {fate}" for fate, count in sorted(result.counts.items()))
    print(f"\n{name}: {result.ticks:,} ticks of {result.symbols} symbols ({account})")
    print(f"  {result.moments:,} moments compared in {seconds:.0f} s")
    for feature in FEATURE_NAMES:
        times, worst = result.present[feature], result.worst[feature]
        print(f"  {feature:20} present {times:6,}  largest difference {worst:.1e}")
    for line in result.disagreements[:10]:
        print(f"  DISAGREES {line}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not MARKET.is_dir():
        print(f"nothing to compare with: {MARKET} is not there")
        return 0
    disagreements = moments = 0
    for name, pattern in MARKETS.items():
        began = perf_counter()
        result = compare(sorted(MARKET.glob(pattern)), options.moments, options.seed)
        report(name, result, perf_counter() - began)
        disagreements += len(result.disagreements)
        moments += result.moments
    print(f"\n{moments:,} moments, {disagreements} disagreements")
    return 1 if disagreements else 0


if __name__ == "__main__":
    sys.exit(main())
