"""Ticks for the benches: recorded ones where they are beside the checkout, else a random walk."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

from protocol.ea_feed import Tick
from service.recording.market_files import MarketAccount, read_market

MARKET = Path(__file__).resolve().parents[2] / "shared" / "data" / "market"


def gold(count: int) -> list[Tick]:
    """Quotes of XAUUSD over days."""
    return _recorded("lean_fx_tick_XAUUSD.oanda_20140501_07.csv.gz", count, seed=1)


def events(count: int) -> list[Tick]:
    """Quotes and trades of six symbols over ten minutes."""
    return _recorded("hft_binance_20240808_09_events.csv.gz", count, seed=2)


def minutes(count: int) -> list[Tick]:
    """One quote a minute of four symbols, with the minute's volume."""
    return _recorded("lean_coinbase_1m_quotes_trades_20180404_06.csv.gz", count, seed=3)


def walk(count: int, seed: int, start_s: float = 1_400_000_000.0) -> list[Tick]:
    """A random walk, two ticks a second, every other one with a deal."""
    rng, mid, now_s, ticks = random.Random(seed), 100.0, start_s, []
    for _ in range(count):
        now_s += rng.expovariate(2.0)
        mid *= 1 + rng.gauss(0, 1e-5)
        deal = rng.choice((0.0, rng.expovariate(1.0)))
        ticks.append(Tick("WALK", mid * 0.9999, mid * 1.0001, deal, now_s))
    return ticks


def _recorded(name: str, count: int, seed: int) -> list[Tick]:
    path = MARKET / name
    if not path.is_file():
        print(f"{name} is not there: a random walk in its place")
        return walk(count, seed)
    messages = (recorded.message for recorded in read_market([path], MarketAccount()))
    return list(itertools.islice((m for m in messages if isinstance(m, Tick)), count))
