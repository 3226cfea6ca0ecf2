"""Measure the feature core: ticks applied against ticks only parsed, vectors, memory, growth.

Uses the recorded XAUUSD and BTCUSDT feeds if they are beside the checkout, else a random walk.
Every number is measured in this one run; nothing is asserted.

    .venv/bin/python scripts/bench_features.py [--ticks 300000]
"""

import argparse
import csv
import gc
import gzip
import itertools
import random
import statistics
import tracemalloc
from pathlib import Path
from time import perf_counter

import msgspec

from service.correlation import correlation_check
from service.features.state import SymbolState
from service.features.vector import compute_vector

MARKET = Path(__file__).resolve().parents[2] / "shared" / "data" / "market"
Tick = tuple[float, float, float, float]


class TickMessage(msgspec.Struct):
    """The fields of a tick message that the state needs."""

    symbol: str
    timestamp: float
    bid: float
    ask: float
    volume: float


def walk(count: int, seed: int = 1, start_s: float = 1_400_000_000.0) -> list[Tick]:
    rng, mid, now = random.Random(seed), 100.0, start_s
    ticks = []
    for _ in range(count):
        now += rng.expovariate(2.0)
        mid *= 1 + rng.gauss(0, 1e-5)
        ticks.append((now, mid * 0.9999, mid * 1.0001, rng.choice((0.0, rng.expovariate(1.0)))))
    return ticks


def gold(count: int) -> list[Tick]:
    with gzip.open(MARKET / "lean_fx_tick_XAUUSD.oanda_20140501_07.csv.gz", "rt") as lines:
        rows = itertools.islice(csv.DictReader(lines), count)
        return [(int(r["ts_ms"]) / 1000, float(r["bid"]), float(r["ask"]), 0.0) for r in rows]


def bitcoin(count: int) -> list[Tick]:
    ticks, bid, ask = [], 0.0, 0.0
    with gzip.open(MARKET / "hft_binance_20240808_09_events.csv.gz", "rt") as lines:
        for row in csv.DictReader(lines):
            if row["symbol"] != "BTCUSDT.spot":
                continue
            if row["kind"] == "Q":
                bid, ask = float(row["bid"]), float(row["ask"])
            deal = float(row["qty"]) if row["kind"] == "T" else 0.0
            ticks.append((int(row["recv_ms"]) / 1000, bid, ask, deal))
    return ticks[:count]


def seconds(ticks: list[Tick], state: SymbolState) -> float:
    began = perf_counter()
    for tick in ticks:
        state.apply_tick(*tick)
    return perf_counter() - began


def report_rates(name: str, ticks: list[Tick]) -> None:
    decoder = msgspec.json.Decoder(TickMessage)
    frames = [msgspec.json.encode(TickMessage("X", *tick)) for tick in ticks]
    began = perf_counter()
    for frame in frames:
        decoder.decode(frame)
    parsed = perf_counter() - began
    applied = seconds(ticks, SymbolState("X"))
    print(f"{name}: {len(ticks):,} ticks; parse {len(ticks) / parsed:,.0f}/s, ", end="")
    print(f"apply {len(ticks) / applied:,.0f}/s ({applied / len(ticks) * 1e6:.2f} us)")


def report_vectors(name: str, ticks: list[Tick], every: int) -> None:
    """A fresh vector after every so many ticks: always a new tick, mostly a new second."""
    state, spent, same_minute, last_minute = SymbolState("X"), [], [], 0
    for i, tick in enumerate(ticks):
        state.apply_tick(*tick)
        if i % every or i < len(ticks) // 4:
            continue
        now_s = int(tick[0])
        began = perf_counter()
        compute_vector(state, now_s, 1, 70.0, None)
        spent.append((perf_counter() - began) * 1e6)
        if now_s // 60 == last_minute:
            same_minute.append(spent[-1])
        last_minute = now_s // 60
    middle, tail = statistics.median(spent), statistics.quantiles(spent, n=100)[98]
    print(f"{name}: vector after every {every} ticks: median {middle:.1f} us, p99 {tail:.1f} us")
    if same_minute:
        share = len(same_minute) / len(spent)
        print(f"  {share:.0%} in the same minute: median {statistics.median(same_minute):.1f} us")


def report_many(symbols: int) -> None:
    """Memory, a minute's end, and correlation of many symbols with full windows."""
    minute = 1_400_000_000 // 60
    gc.collect()
    tracemalloc.start()
    states = [SymbolState(f"S{i:03}") for i in range(symbols)]
    for state in states:
        rng = random.Random(state.symbol)
        for ago in range(240, 0, -1):
            close = 100 + rng.random()
            state.add_candle(minute - ago, close, close + 1, close - 1, close)
        for second in range(60):
            state.apply_tick(minute * 60.0 + second, 99.9, 100.1, rng.random())
        compute_vector(state, minute * 60 + 59, 1, 70.0, None)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    print(f"{symbols} symbols x 240 bars: {size / 2**20:.1f} MiB, {size / symbols:,.0f} B each")
    began = perf_counter()
    for state in states:
        state.roll(minute * 60 + 60)
    print(f"  minute's end: {(perf_counter() - began) * 1e3:.2f} ms for all")
    spent = []
    for target in states[:50]:
        began = perf_counter()
        correlation_check(target, states, minute + 1)
        spent.append((perf_counter() - began) * 1e3)
    print(f"  correlation: first {spent[0]:.2f} ms, then {statistics.median(spent):.2f} ms")


def report_growth(ticks: int, symbols: int) -> None:
    states = [SymbolState(f"S{i}") for i in range(symbols)]
    block = walk(ticks // symbols // 2)
    shift = block[-1][0] - block[0][0] + 1
    sizes = []
    tracemalloc.start()
    for part in range(2):
        for state in states:
            for time, bid, ask, deal in block:
                state.apply_tick(time + part * shift, bid, ask, deal)
        gc.collect()
        sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    grown = (sizes[1] - sizes[0]) / 1024
    print(f"growth in the second half of {ticks:,} ticks over {symbols} symbols: {grown:.1f} KiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ticks", type=int, default=300_000)
    count = parser.parse_args().ticks
    feeds = {"random walk": walk(count)}
    if MARKET.is_dir():
        feeds |= {"XAUUSD": gold(count), "BTCUSDT": bitcoin(count)}
    for name, ticks in feeds.items():
        report_rates(name, ticks)
        report_vectors(name, ticks, every=7)
        report_vectors(name, ticks, every=499)
    report_many(500)
    report_growth(count, 50)


if __name__ == "__main__":
    main()
