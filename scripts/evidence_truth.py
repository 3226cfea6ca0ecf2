"""How fast a truth log is read, and in how much memory: a million lines through the command.

    python scripts/evidence_truth.py [--lines N]     (make evidence-truth)

Two logs are written: two lines a signal (born, then ended, as documented), and one line a
signal with levels (as the tracker writes it), which is the most that memory can be asked for.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from processes import trainer
from targets import at_least, at_most, leave

BORN_S = 1_700_000_000
TARGET_S, TARGET_MIB, TARGET_RATE = 15.0, 300.0, 100_000


def stamp(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).replace(tzinfo=None).isoformat()


def signal(number: int, rng: random.Random) -> dict[str, object]:
    symbol = rng.choice(("EURUSD", "GBPUSD", "XAUUSD"))
    sign, entry = rng.choice((1, -1)), round(1.1 + rng.random() / 100, 5)
    return {
        "signal_id": f"ELITE_GUARD_{symbol}_{BORN_S + 30 * number}",
        "symbol": symbol,
        "direction": "BUY" if sign > 0 else "SELL",
        "entry_price": entry,
        "sl": round(entry - sign * 0.001, 5),
        "tp": round(entry + sign * 0.0015, 5),
    }


def documented(lines: int, rng: random.Random) -> Iterator[dict[str, object]]:
    for number in range(lines // 2):
        born_s, born, won = BORN_S + 30 * number, signal(number, rng), rng.random() < 0.6
        confidence = round(rng.uniform(60, 90), 1)
        yield born | {
            "pattern": "VCB_BREAKOUT",
            "confidence": confidence,
            "generated_at": stamp(born_s),
            "status": "pending",
            "completed": False,
        }
        yield {
            "signal_id": born["signal_id"],
            "symbol": born["symbol"],
            "completed": True,
            "outcome": "WIN_TP" if won else "LOSS_SL",
            "completed_at": stamp(born_s + 900),
            "max_favorable_pips": round(rng.uniform(0, 20), 1),
            "max_adverse_pips": -round(rng.uniform(0, 10), 1),
            "runtime_seconds": 900,
        }


def tracked(lines: int, rng: random.Random) -> Iterator[dict[str, object]]:
    for number in range(lines):
        born_s, born, won = BORN_S + 30 * number, signal(number, rng), rng.random() < 0.6
        yield born | {
            "outcome": "WIN" if won else "LOSS",
            "hit_level": "TP" if won else "SL",
            "exit_price": born["tp"] if won else born["sl"],
            "pips_result": 15.0 if won else -10.0,
            "ticks_processed": rng.randrange(50, 900),
            "monitoring_started": stamp(born_s + 2),
            "completed_at": stamp(born_s + rng.randrange(60, 6000)),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    lines = parser.parse_args().lines
    for name, shape in (("two lines a signal", documented), ("one line a signal", tracked)):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "truth_log.jsonl"
            with path.open("w") as file:
                for line in shape(lines, random.Random(1)):
                    file.write(json.dumps(line) + "\n")
            report(name, path, lines)
    leave()


def report(name: str, path: Path, lines: int) -> None:
    """Let the command read it, and say what that took."""
    code, said, took_s, cpu_s, peak_mib = trainer("truth", "check", str(path))
    usable = next(line for line in said.splitlines() if "usable outcomes" in line)
    rate = lines / took_s
    print(f"{name}: {lines:,} lines, {path.stat().st_size / 1e6:.0f} MB; exit code {code}")
    print(f"  {usable.strip()}")
    print(f"  wall time   {took_s:5.1f} s     {at_most(took_s, TARGET_S * lines / 1e6, ' s')}")
    print(f"  of it work  {cpu_s:5.1f} s of processor time")
    print(f"  rate        {rate:,.0f} lines a second   {at_least(rate, TARGET_RATE)}")
    print(f"  peak memory {peak_mib:.0f} MiB   {at_most(peak_mib, TARGET_MIB, ' MiB')}")


if __name__ == "__main__":
    main()
