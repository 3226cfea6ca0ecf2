"""Compare paper outcomes with a brute-force oracle on recorded markets; measure a tick's cost.

Ends with 1 if any of the outcomes differs in any field or bit. `make evidence-paper` runs it.

    .venv/bin/python scripts/oracle_paper.py [--signals 5000] [--seed 1]
"""

import argparse
import sys
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from bench_data import MARKET, gold  # noqa: E402
from oracles.paper_comparison import compare  # noqa: E402

from protocol.ea_feed import Tick  # noqa: E402
from service.journal.records import PaperRow  # noqa: E402
from service.paper.positions import Paper  # noqa: E402

MARKETS = {
    "OANDA EURUSD, NZDUSD, XAUUSD": ("lean_fx_tick_*.oanda_*.csv.gz", 7500.0),
    "FXCM EURUSD": ("lean_fx_tick_EURUSD.fxcm_*.csv.gz", 7500.0),
    "Binance": ("hft_binance_*.csv.gz", 240.0),
}


def report(name: str, pattern: str, holding_s: float, signals: int, seed: int) -> int:
    """Compare one market; returns the number of outcomes that differ."""
    began = perf_counter()
    paths = sorted(MARKET.glob(pattern))
    result = compare(paths, signals=signals, holding_s=holding_s, seed=seed)
    words = ", ".join(f"{count:,} {word}" for word, count in sorted(result.words.items()))
    print(f"\n{name}: {result.rows:,} ticks, holding time {holding_s:g} s")
    print(f"  {result.signals:,} signals: {words}; {len(result.differ)} differ")
    print(f"  in {perf_counter() - began:.0f} s")
    for line in result.differ[:10]:
        print(f"  DIFFERS {line}")
    return len(result.differ)


def nanoseconds(ticks: list[Tick], count: int) -> float:
    """One tick's cost with so many positions open on its symbol, none of which it ends."""
    paper = Paper()
    mid = (ticks[0].bid + ticks[0].ask) / 2
    for number in range(count):
        sign, distance = 1 - 2 * (number % 2), mid * (0.5 + number / 1e5)
        row = PaperRow(
            score_id=str(number),
            signal_id=None,
            symbol="XAUUSD",
            direction=sign,
            stop_loss=mid - sign * distance,
            take_profit=mid + sign * distance,
            risk=distance,
            event_time=ticks[0].stamp_s,
            deadline=ticks[0].stamp_s + 1e9,
            last_time=ticks[0].stamp_s,
        )
        paper.resume([row], [])
    books = paper.books
    began = perf_counter()
    for tick in ticks:
        book = books.get("XAUUSD")
        if book is not None:
            book.on_tick(tick.stamp_s, tick.bid, tick.ask)
    return (perf_counter() - began) / len(ticks) * 1e9


def main() -> int:
    """Run all comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--signals", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    differ = 0
    if MARKET.is_dir():
        for name, (pattern, holding_s) in MARKETS.items():
            differ += report(name, pattern, holding_s, options.signals, options.seed)
    else:
        print(f"nothing to compare with: {MARKET} is not there")
    print("\nA tick's cost, by positions open on its symbol:")
    ticks = gold(50_000)
    for count in (0, 1, 10, 100, 1000, 4096):
        best = min(nanoseconds(ticks, count) for _ in range(3))
        print(f"  {count:5,}: {best:6.0f} ns")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
