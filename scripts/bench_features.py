"""Measure the features: a fresh vector, memory of 500 symbols, a minute's end, growth.

Uses recorded markets if they are beside the checkout, else random walks. Every number is
measured in this one run. `make bench-features` runs it after `bench_takein.py`.

    .venv/bin/python scripts/bench_features.py [--growth-ticks 10000000]
"""

import argparse
import gc
import itertools
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator
from time import perf_counter, thread_time

from bench_data import events, gold, minutes, walk
from processes import resident_mib

from protocol.ea_feed import Tick
from service.config.settings import Config
from service.engine import Engine
from service.features.state import SymbolState
from service.features.vector import compute_vector
from service.feed.symbol_feed import Endpoint

PARTS = ("vectors", "symbols", "growth")
SYMBOLS = 500
MINUTE = 1_400_000_000 // 60


def report_vectors(name: str, ticks: list[Tick], asked: set[int]) -> None:
    """Time one vector, without correlation, just after each tick that was asked for."""
    states: dict[str, SymbolState] = {}
    newest: dict[str, int] = {}
    spent: list[float] = []
    first_of_minute: list[float] = []
    gc.collect()
    for i, tick in enumerate(ticks):
        if tick.ask < tick.bid:
            continue
        state = states.setdefault(tick.symbol, SymbolState(tick.symbol))
        state.apply_tick(tick.stamp_s, tick.bid, tick.ask, tick.volume)
        if i not in asked:
            continue
        now_s = int(tick.stamp_s)
        began = perf_counter()
        compute_vector(state, now_s, 1, 70.0, None)
        spent.append((perf_counter() - began) * 1e6)
        if now_s // 60 != newest.get(tick.symbol):
            first_of_minute.append(spent[-1])
        newest[tick.symbol] = now_s // 60
    p90, p99 = (statistics.quantiles(spent, n=100)[i] for i in (89, 98))
    print(f"{name}: {len(spent):,} vectors, median {statistics.median(spent):.1f} us, ", end="")
    print(f"p90 {p90:.1f}, p99 {p99:.1f}; first of a minute ", end="")
    print(f"({len(first_of_minute):,}) {statistics.median(first_of_minute):.1f} us")


def vectors() -> None:
    rng = random.Random(1)
    feeds = {
        "XAUUSD quotes": gold(300_000),
        "Binance trades": events(300_000),
        "Coinbase minutes": minutes(15_000),
        "random walk with deals": walk(300_000, seed=4),
    }
    print("A fresh vector, without correlation; state warm after the first quarter")
    for name, ticks in feeds.items():
        warm = range(len(ticks) // 4, len(ticks))
        if len(ticks) > 50_000:
            report_vectors(f"  {name}, after every 7th tick", ticks, set(warm[::7]))
            report_vectors(f"  {name}, at random", ticks, set(rng.sample(warm, 2000)))
        else:
            report_vectors(f"  {name}, each tick", ticks, set(warm))


def many_ticks(engine: Engine, endpoint: Endpoint, names: list[str], steps: range) -> int:
    """A deal for every symbol at each step, a quarter of a second apart; returns how many."""
    rng = random.Random(7)
    mids = [100.0 + rng.random() for _ in range(997)]
    on_tick = engine.intake.on_tick
    for step in steps:
        now_s = MINUTE * 60 + step * 0.25
        for i, name in enumerate(names):
            mid = mids[(step * 31 + i * 7) % 997]
            on_tick(endpoint, Tick(name, mid - 0.01, mid + 0.01, 1.0 + i % 3, now_s), now_s + 0.01)
    return len(steps) * len(names)


def candles(engine: Engine, names: list[str]) -> None:
    """240 bars for each symbol before its first tick."""
    rng = random.Random(8)
    for name in names:
        state = SymbolState(name)
        for ago in range(240, 0, -1):
            close = 100 + rng.random()
            state.add_candle(MINUTE - ago, close, close + 1, close - 1, close)
        engine.intake.restore(state, MINUTE * 60.0)


def many_symbols() -> None:
    """Memory of 500 symbols with 240 bars and full windows, and how long a minute's end takes."""
    engine = Engine(Config(), "bench")
    endpoint = engine.endpoint("feed", volume_is_deal=True)
    names = [f"SYM{i:03}" for i in range(SYMBOLS)]
    before = resident_mib(os.getpid())
    candles(engine, names)
    bars = resident_mib(os.getpid())
    # One deal a second and symbol: a row for each second that the windows reach back to.
    seconds = range(0, 1500 * 4, 4)
    many_ticks(engine, endpoint, names, seconds)
    after = resident_mib(os.getpid())
    rows = {len(feed.state.bars) for feed in engine.intake.feeds.values()}
    print(f"{SYMBOLS} symbols x {rows} bars, all windows full: {after:.0f} MiB resident ", end="")
    print(f"({before:.0f} before, {bars:.0f} with the bars alone)")
    stalls, cpu = [], []
    for minute in range(25, 35):
        many_ticks(engine, endpoint, names, range(minute * 240, minute * 240 + 1))
        began, began_cpu = perf_counter(), thread_time()
        engine.advance((MINUTE + minute + 1) * 60.0 + 0.01)
        stalls.append((perf_counter() - began) * 1e3)
        cpu.append((thread_time() - began_cpu) * 1e3)
    print(f"  a minute's end with all {SYMBOLS} bars to close: median ", end="")
    print(
        f"{statistics.median(stalls):.2f} ms, longest of {len(stalls)}: {max(stalls):.2f} ms; ",
        end="",
    )
    print(f"CPU time {statistics.median(cpu):.2f} and {max(cpu):.2f} ms")
    for symbols in (1, 40, SYMBOLS):
        began = perf_counter()
        for name in names[:symbols]:
            feed = engine.intake.feeds[name]
            engine.vectors.vector(feed, name, (MINUTE + 35) * 60.0 + 1, 1, 70.0)
        spent_ms = (perf_counter() - began) * 1e3
        print(f"  first vectors of {symbols} symbols with correlation: {spent_ms:.1f} ms")


def growth(ticks: int) -> None:
    """Ten million ticks over 50 symbols, after their rings are full."""
    engine = Engine(Config(), "bench")
    endpoint = engine.endpoint("feed", volume_is_deal=True)
    names = [f"GRW{i:02}" for i in range(50)]
    candles(engine, names)
    block = 8000
    for done in _blocks(engine, endpoint, names, 0, 60_000, block):
        first = done
    full = resident_mib(os.getpid())
    began = perf_counter()
    steps = ticks // len(names)
    sizes = [full]
    for _ in _blocks(engine, endpoint, names, first, steps, max(steps // 5, 1)):
        sizes.append(resident_mib(os.getpid()))
    rate = ticks / (perf_counter() - began)
    print(f"{ticks:,} ticks over {len(names)} symbols ({rate:,.0f} a second): ", end="")
    print("resident " + ", ".join(f"{size:.1f}" for size in sizes) + " MiB")


def _blocks(
    engine: Engine, endpoint: Endpoint, names: list[str], first: int, steps: int, block: int
) -> Iterator[int]:
    edges = [*range(first, first + steps, block), first + steps]
    for start, end in itertools.pairwise(edges):
        many_ticks(engine, endpoint, names, range(start, end))
        yield end


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--growth-ticks", type=int, default=10_000_000)
    parser.add_argument("--part", choices=PARTS, help="only this, in this process")
    options = parser.parse_args()
    if options.part is None:
        # A process each: what one leaves free in memory would hide what another takes.
        for part in PARTS:
            command = [sys.executable, __file__, "--part", part]
            subprocess.run([*command, f"--growth-ticks={options.growth_ticks}"], check=True)
    elif options.part == "vectors":
        vectors()
    elif options.part == "symbols":
        many_symbols()
    else:
        growth(options.growth_ticks)


if __name__ == "__main__":
    main()
