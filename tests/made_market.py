"""A market made by hand in the form of a recorded one, and signals near its quotes."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from protocol.messages import ScoreRequest
from service.recording.market_files import MarketAccount, read_market
from training.backfill.signals import Asked


def made_market(folder: Path) -> Path:
    """Three days of one symbol's ticks, in the form of an FX file."""
    rng, mid, rows = random.Random(8), 1.1, ["ts_ms,bid,ask"]
    at_ms = 1_755_475_200_000
    while len(rows) < 9000:
        at_ms += int(rng.expovariate(1 / 29_000)) + 1
        mid *= 1 + rng.gauss(0, 5e-5)
        rows.append(f"{at_ms},{mid:.5f},{mid + 0.00007:.5f}")
    path = folder / "fx_tick_EURUSD.made.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def quotes_of(path: Path) -> list[tuple[float, str, float, float]]:
    return [
        (r.stamp_s, r.message.symbol, r.message.bid, r.message.ask)  # type: ignore[union-attr]
        for r in read_market([path], MarketAccount())
    ]


def signal_lines(quotes: list[tuple[float, str, float, float]], count: int) -> list[dict[str, Any]]:
    """Signals in the documented shape, near quotes (time, symbol, bid, ask)."""
    rng = random.Random(1)
    lines = []
    for number in range(count):
        time_s, symbol, bid, ask = rng.choice(quotes)
        sign, mid = rng.choice((1, -1)), (bid + ask) / 2
        way = sign * mid * 10 ** rng.uniform(-4.3, -3)
        lines.append(
            {
                "signal_id": f"BF_{number}",
                "symbol": symbol,
                "time": time_s + rng.uniform(0, 20),
                "base_score": rng.uniform(50, 90),
                "direction": "BUY" if sign > 0 else "SELL",
                "entry": mid,
                "stop": mid - way,
                "target": mid + 1.5 * way,
            }
        )
    return lines


def asked_of(lines: list[dict[str, Any]]) -> list[Asked]:
    """What is asked by them, in order of time."""
    found = [
        Asked(
            line["time"],
            ScoreRequest(
                symbol=line["symbol"],
                base_score=line["base_score"],
                signal_id=line["signal_id"],
                direction=line["direction"],
                entry_price=line["entry"],
                stop_loss=line["stop"],
                take_profit=line["target"],
            ),
        )
        for line in lines
    ]
    return sorted(found, key=lambda a: (a.time_s, a.request.signal_id))


def write_lines(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
